"""An analysis from beginning to end: look, plan, measure, write."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.cache import Result, ResultCache
from quaver.lab.analyse.channels import audit_channels, channel_rows, channels_of, mixture, sample, trial_of
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.executors import executor, save_setup
from quaver.lab.analyse.gradients import Arrays
from quaver.lab.analyse.jobs import Curvature, Job, Slopes, Work
from quaver.lab.analyse.proxies import audit
from quaver.lab.analyse.run import Estimate, Progress, Runner, weight
from quaver.lab.analyse.survey import Survey, survey
from quaver.lab.analyse.table import MEAN, PROXY_SCHEMA, SensitivityTable
from quaver.lab.analyse.truth import Reading, float_job, jobs_of, noise_jobs, trials
from quaver.lab.manifest import class_hash, code_hash, digest, manifest, write_manifest

_TIMED = 3  # frames
# Folders of the package that results depend on. Others, such as the allocator's, change without costing an analysis.
_COMPUTING = ("bitstream", "codec", "lab/analyse", "lab/models", "lab/quant", "lab/train", "lab/twin", "runtime")

Announce = Callable[[Estimate], None]
Show = Callable[[Progress], None]


def analyse(
    adapter: CodecAdapter,
    clips: ClipSet,
    config: AnalyseConfig | None = None,
    out: Path | None = None,
    processes: int = 0,
    dask: str | None = None,
    announce: Announce = lambda estimate: None,
    show: Show = lambda progress: None,
) -> SensitivityTable:
    """How sensitive the parts of a codec are to low precision, in closed loop on `clips`.

    out: a folder for the table, the report, the manifest and the cache that makes interrupted runs go on; without one
    nothing is written. processes, dask: beside this process, or on a cluster whose workers see `out`.
    Raises UsageError for layers or clips that are not there, AnalysisError where values are not numbers or a worker
    dies; what is finished by then is kept.
    """
    config = config or AnalyseConfig()
    if clips.frames < config.longest:
        raise UsageError(f"clips of {clips.frames} frames; this analysis needs {config.longest}")
    if dask is not None and out is None:
        raise UsageError("a cluster needs a folder (out) that its workers see")
    # Before the weights are hashed: some layers write theirs as they run, such as masked convolutions.
    seen = survey(adapter, clips, config.frames, config.bits, config.only)
    note = manifest(adapter, clips, config.to_dict())
    setup = Setup(adapter, clips, seen, config.seed)
    cache = ResultCache(out / "cache") if out else None
    bench = Bench(setup)
    try:
        with _setup_file(setup, out, processes, dask) as path, executor(processes, dask) as (pool, workers):
            runner = Runner(bench, _base(note, adapter), cache, path, pool, workers)
            table = _Analysis(bench, config, note, runner, announce, show).table()
    finally:
        bench.close()
    if out is not None:
        write(table, out)
    return table


def write(table: SensitivityTable, out: Path) -> None:
    """sensitivity.parquet, sensitivity.json, manifest.json, report.html."""
    from quaver.lab.analyse.report import write_report

    table.save(out)
    write_manifest(out / "manifest.json", table.manifest)
    write_report(table, out / "report.html")


@dataclass
class _Analysis:
    """The steps after the survey."""

    bench: Bench
    config: AnalyseConfig
    note: dict[str, Any]
    runner: Runner
    announce: Announce
    show: Show

    def table(self) -> SensitivityTable:
        config, lambdas = self.config, self.bench.adapter.lambdas
        every = tuple(range(len(lambdas)))
        plan = trials(config, self.survey, every)
        reference, noise = float_job(config.longest, every), noise_jobs(config, every)
        open_noise = noise_jobs(config, every, open=True)
        derivatives = self._derivatives()
        works: list[Work] = [reference, *noise, *open_noise, *jobs_of(plan), *derivatives]
        wall, processor = self._time(every)
        self.announce(self._estimate(works, wall))
        # First what a broken model shows in, then the rest, of which the longest jobs end last.
        results = self.runner.run([reference], self.show) | self.runner.run(works, self.show)
        curves = {work: _curves(result) for work, result in results.items() if isinstance(work, Job)}
        reading = Reading(
            self.survey,
            lambdas,
            self.bench.clips.names,
            self.note["model_hash"],
            self.bench.adapter.encoder_only,
            curves[reference],
            tuple(curves[job] for job in noise),
            tuple(curves[job] for job in open_noise),
        )
        rows = [row for trial in plan for row in reading.rows(trial, curves)]
        rows += list(reading.noise_rows(config))
        proxies, seconds = [], processor * config.frames
        if config.proxies:
            slopes, second = self._scores(results, Slopes), self._scores(results, Curvature)
            truth = SensitivityTable.of(rows).rows
            proxies = list(audit(truth, slopes, second, self.bench.adapter.surrogate, seconds))
        if config.level == "channel":
            measured, audited = self._channels(reading, results, seconds)
            rows, proxies = rows + measured, proxies + audited
        return SensitivityTable.of(rows, proxies=_frame(proxies), manifest=self.note, histograms=self.survey.histograms)

    @property
    def survey(self) -> Survey:
        return self.bench.setup.survey

    @property
    def middle(self) -> int:
        """The operating point that channels are measured at."""
        return len(self.bench.adapter.lambdas) // 2

    def _derivatives(self) -> list[Work]:
        config, points = self.config, range(len(self.bench.adapter.lambdas))
        audited = config.proxies and config.reaches("layer") and not {"add", "open"}.isdisjoint(config.modes)
        if audited:
            second = [Curvature(point, config.bits, config.curvature_frames, config.probes) for point in points]
            return [*map(self._slopes, points), *(second if "w" in config.kinds else [])]
        return [self._slopes(self.middle)] if config.level == "channel" else []

    def _slopes(self, point: int) -> Slopes:
        """Of every width, and of pruned channels (0 bits) where channels are asked for."""
        pruned = (0,) if self.config.level == "channel" else ()
        return Slopes(point, (*pruned, *self.config.bits), self.config.slope_frames)

    def _scores(self, results: dict[Work, Result], kind: type) -> dict[float, Arrays]:
        """By lambda."""
        lambdas = self.bench.adapter.lambdas
        return {
            lambdas[work.point]: result
            for work, result in results.items()
            if isinstance(work, kind) and isinstance(work, Slopes | Curvature) and isinstance(result, dict)
        }

    def _channels(
        self, reading: Reading, results: dict[Work, Result], truth_seconds: float
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of channels, measured at the fewest bits and predicted at the others, and how well their scores predict
        the measured ones. truth_seconds: what one measurement costs."""
        config, bits = self.config, min(self.config.bits)
        scores = results[self._slopes(self.middle)]
        assert isinstance(scores, dict)
        channels = channels_of(self.survey, scores, bits, config.kinds)
        chosen = sample(channels, config.channel_sample, config.channel_top, config.seed)
        plan = {each: trial_of(each, config, bits, self.middle) for each in chosen}
        curves = {
            job: _curves(result)
            for job, result in self.runner.run(jobs_of(plan.values()), self.show).items()
            if isinstance(job, Job)
        }
        by_clip = {each: {row["clip"]: row for row in reading.rows(trial, curves)} for each, trial in plan.items()}
        measured = {each: found[MEAN] for each, found in by_clip.items()}
        mode, lmbda = config.channel_mode, self.bench.adapter.lambdas[self.middle]
        common = {"model_hash": self.note["model_hash"], "mode": mode, "lambda": lmbda, "frames": config.frames}
        weights, rows = mixture({each: row["zeta"] for each, row in measured.items()}), []
        for width in (0, *config.bits):
            own = channels_of(self.survey, scores, width, config.kinds if width else {"w"}.intersection(config.kinds))
            known = measured if width == bits else {}
            rows += channel_rows(own, weights, known, common | {"bits": width}, self.bench.adapter.encoder_only)
        zetas = {each: {clip: row["zeta"] for clip, row in found.items()} for each, found in by_clip.items()}
        audited = audit_channels(zetas, weights, mode, float(scores["seconds"][1]), truth_seconds)
        shared = {"bits": bits, "lambda": lmbda, "surrogate": self.bench.adapter.surrogate}
        return rows, [shared | row for row in audited]

    def _time(self, points: tuple[int, ...]) -> tuple[float, float]:
        """Seconds, by the clock and of the processor, that a frame of all clips at one point costs."""
        job = float_job(min(_TIMED, self.config.frames), points)
        self.bench.measure(job)
        begun, used = time.perf_counter(), time.process_time()
        self.bench.measure(job)
        wall, processor = time.perf_counter() - begun, time.process_time() - used
        return wall / weight(job), processor / weight(job)

    def _estimate(self, works: Sequence[Work], each: float) -> Estimate:
        left = self.runner.missing(works)
        total, frames = len(set(works)), sum(map(weight, left))
        if self.config.level == "channel":
            count = self._channel_jobs()
            total, frames = total + count, frames + count * self.config.frames
        return Estimate(total, len(set(works)) - len(left), frames, each, self.runner.workers)

    def _channel_jobs(self) -> int:
        count = sum(width for (_, kind), width in self.survey.widths.items() if kind in self.config.kinds)
        return min(count, round(self.config.channel_sample + self.config.channel_top * count))


def _curves(result: Result) -> Curves:
    assert isinstance(result, Curves)
    return result


def _frame(proxies: list[dict[str, Any]]) -> Any:
    import polars as pl

    return pl.DataFrame(proxies, schema=PROXY_SCHEMA)


def _base(note: dict[str, Any], adapter: CodecAdapter) -> str:
    """What results depend on beside their job, the code that computes them among it; not on which other jobs there
    are."""
    classes = {type(adapter), *map(type, adapter.module.modules())}
    environment = note["environment"]
    return digest(
        {
            "model": note["model_hash"],
            "codec": note["codec"],
            "lambdas": note["lambdas"],
            "clips": note["clips"],
            "seed": note["config"]["seed"],
            "look": note["config"]["frames"],
            "torch": environment["versions"]["torch"],
            "quaver": [environment["versions"]["quaver"], code_hash(*_COMPUTING)],
            "adapter": class_hash(classes),
            "cpu": environment["cpu_capability"],
        }
    )


@contextmanager
def _setup_file(setup: Setup, out: Path | None, processes: int, dask: str | None) -> Iterator[str]:
    """What workers read, where there are any."""
    if not processes and dask is None:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="setup-", dir=out) as folder:
        path = Path(folder) / "setup.pkl"
        save_setup(setup, path)
        yield str(path)
