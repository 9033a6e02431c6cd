"""Where jobs run: here, in processes, or on a Dask cluster; all behind concurrent.futures.Executor."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from quaver.errors import QuaverError, UsageError
from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.cache import Result
from quaver.lab.analyse.gradients import curvature, slopes
from quaver.lab.analyse.jobs import Job, Slopes, Work


class SerialExecutor(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def worker_died(error: BaseException) -> bool:
    """Whether an executor says so: concurrent.futures, or Dask, which may not be installed."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


def perform(bench: Bench, work: Work) -> Result:
    """Any job on a bench."""
    if isinstance(work, Job):
        return bench.measure(work)
    return slopes(bench, work) if isinstance(work, Slopes) else curvature(bench, work)


def perform_in_worker(setup: str, work: Work) -> Result:
    """The same in another process, from a file that `save_setup` wrote."""
    return perform(_bench(setup), work)


def save_setup(setup: Setup, path: Path) -> None:
    """Written beside and renamed. UsageError where the adapter cannot be pickled."""
    try:
        content = pickle.dumps(setup)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"the adapter cannot be sent to other processes: {error}; define its class in a module, or use no processes"
        ) from error
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


@contextmanager
def executor(processes: int, dask: str | None = None) -> Iterator[tuple[Executor, int]]:
    """(executor, workers). `processes` 0: in this process. On the way out what has not begun is
    cancelled; after an error what has begun is, too."""
    if dask is not None:
        with _cluster(dask) as client:
            yield client.get_executor(), max(1, len(client.scheduler_info()["workers"]))
        return
    if processes < 0:
        raise UsageError(f"{processes} processes: 0 for none beside this one, or more")
    if processes == 0:
        yield SerialExecutor(), 1
        return
    context = multiprocessing.get_context("spawn")  # forking a process that has used torch's threads may hang
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, initializer=_settle)
    try:
        yield pool, processes
    except BaseException:
        # Nobody waits for what is being measured: it is measured again.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=1)
def _bench(path: str) -> Bench:
    torch.set_num_threads(1)
    try:
        setup = pickle.loads(Path(path).read_bytes())
    except OSError as error:
        raise QuaverError(f"{path}: a worker cannot read what it is to measure: {error.strerror}") from error
    return Bench(setup)


def _settle() -> None:
    """Ctrl-C is for the process that has the cache; workers finish their job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("a Dask cluster needs the package `distributed`: pip install distributed") from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise UsageError(f"{address}: no Dask scheduler answers there: {error}") from error
    with client:
        yield client
