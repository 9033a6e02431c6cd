"""Work through jobs: from the cache what is there, the rest on an executor, kept as it comes in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass

from quaver.errors import QuaverError
from quaver.lab.analyse.bench import Bench
from quaver.lab.analyse.cache import Result, ResultCache
from quaver.lab.analyse.closed_loop import AnalysisError
from quaver.lab.analyse.executors import SerialExecutor, perform, perform_in_worker, worker_died
from quaver.lab.analyse.jobs import Job, Work, key_of

_AHEAD = 2  # jobs in flight per worker: enough that none waits, few enough that little is lost


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to be done. `each`: seconds per frame of a batch of all points, measured on the float model."""

    jobs: int
    cached: int
    frames: float  # of jobs that are not cached, in frames of such batches
    each: float
    workers: int

    @property
    def seconds(self) -> float:
        return self.frames * self.each / self.workers

    def __str__(self) -> str:
        left = self.jobs - self.cached
        mean = self.seconds * self.workers / left if left else 0.0
        return (
            f"{self.jobs} jobs, {self.cached} of them done before; {left} x {mean:.2f} s on {self.workers}"
            f" worker{'s' * (self.workers > 1)}: about {duration(self.seconds)}"
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """After a job: how many of how many are done, and the seconds that are likely left."""

    done: int
    total: int
    left: float


Show = Callable[[Progress], None]


class Runner:
    """Runs work and keeps results in memory too."""

    def __init__(
        self,
        bench: Bench,
        base: str,
        cache: ResultCache | None,
        setup: str,
        pool: Executor,
        workers: int,
    ) -> None:
        self._bench, self._base, self._cache = bench, base, cache
        self._setup, self._pool, self.workers = setup, pool, workers
        self._known: dict[Work, Result] = {}

    def missing(self, works: Iterable[Work]) -> list[Work]:
        """What neither this run nor an earlier one has done; results of earlier ones are read."""
        found = []
        for work in dict.fromkeys(works):
            if work not in self._known:
                result = self._cache.get(key_of(work, self._base)) if self._cache else None
                if result is None:
                    found.append(work)
                else:
                    self._known[work] = result
        return found

    def run(self, works: Sequence[Work], show: Show = lambda progress: None) -> dict[Work, Result]:
        """Results of all works. Raises what a job raises, after keeping all that is finished by then."""
        todo = self.missing(works)
        begun, total = time.monotonic(), sum(map(weight, todo))
        flying: dict[Future[Result], Work] = {}
        queue, finished, spent = iter(todo), 0, 0.0
        try:
            while True:
                while len(flying) < self.workers * (1 if self._is_serial else _AHEAD):
                    work = next(queue, None)
                    if work is None:
                        break
                    flying[self._submit(work)] = work
                if not flying:
                    break
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    work = flying.pop(future)
                    self._keep(work, self._result(future, work, finished, len(todo)))
                    finished, spent = finished + 1, spent + weight(work)
                    elapsed = time.monotonic() - begun
                    show(Progress(finished, len(todo), elapsed / spent * (total - spent)))
        finally:
            self._rescue(flying)
        return {work: self._known[work] for work in works}

    @property
    def _is_serial(self) -> bool:
        return isinstance(self._pool, SerialExecutor)

    def _submit(self, work: Work) -> Future[Result]:
        try:
            if self._is_serial:
                return self._pool.submit(perform, self._bench, work)
            return self._pool.submit(perform_in_worker, self._setup, work)
        except BrokenExecutor as error:
            future: Future[Result] = Future()
            future.set_exception(error)
            return future

    def _result(self, future: Future[Result], work: Work, finished: int, total: int) -> Result:
        try:
            return future.result()
        except QuaverError:
            raise
        except Exception as error:
            if worker_died(error):
                raise AnalysisError(
                    f"a worker died while it measured {work.describe()} or another part (was it out of memory?):"
                    f" {finished} of {total} jobs are kept; run the same again to go on, perhaps with fewer processes"
                ) from error
            raise AnalysisError(f"{work.describe()}: {type(error).__name__}: {error}") from error

    def _keep(self, work: Work, result: Result) -> None:
        self._known[work] = result
        if self._cache:
            self._cache.put(key_of(work, self._base), result)

    def _rescue(self, flying: dict[Future[Result], Work]) -> None:
        """After an error: what has finished meanwhile is kept, what has not begun is cancelled."""
        for future, work in flying.items():
            if not future.cancel() and future.done() and future.exception() is None:
                self._keep(work, future.result())


def weight(work: Work) -> float:
    """Cost in frames of a batch of all clips and points; derivatives by rules of thumb."""
    if isinstance(work, Job):
        return work.frames * len(work.points)
    return 12.0 * work.frames * (1 + len(work.bits))


def duration(seconds: float) -> str:
    """Such as 12 s, 3.4 min, 1.2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
