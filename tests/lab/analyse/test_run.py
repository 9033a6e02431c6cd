"""Jobs in this process and others: kept, resumed, and broken off with a clear word."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from quaver.errors import UsageError
from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.cache import ResultCache
from quaver.lab.analyse.closed_loop import AnalysisError, Curves
from quaver.lab.analyse.executors import SerialExecutor, executor, save_setup
from quaver.lab.analyse.jobs import Job, Setting, Slopes, Work, key_of
from quaver.lab.analyse.run import Estimate, Progress, Runner, duration
from quaver.lab.analyse.survey import survey

from .toy import ToyAdapter, toy_clips

POINTS = (0, 1)
JOBS: list[Work] = [Job((Setting("decoder.0", "w", bits),), 2, POINTS) for bits in (3, 4, 5)] + [Slopes(0, (3,), 2)]


def bench_of(sabotage: str = "") -> Bench:
    torch.set_num_threads(1)
    adapter, clips = ToyAdapter(sabotage), toy_clips()
    return Bench(Setup(adapter, clips, survey(adapter, clips, 2, (3, 4, 5)), 0))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    yield bench_of()


def serial(bench: Bench, folder: Path) -> Runner:
    return Runner(bench, "base", ResultCache(folder), "", SerialExecutor(), 1)


def test_results_are_kept_and_read_again(bench: Bench, tmp_path: Path) -> None:
    shown: list[Progress] = []
    first = serial(bench, tmp_path).run(JOBS, shown.append)
    assert [progress.done for progress in shown] == [1, 2, 3, 4] and shown[-1].left == 0
    again = serial(bench, tmp_path)
    assert again.missing(JOBS) == []
    for work, result in again.run(JOBS, lambda progress: pytest.fail("nothing was left to do")).items():
        if isinstance(result, Curves):
            np.testing.assert_array_equal(result.rate, first[work].rate)  # type: ignore[union-attr]
        else:
            assert result.keys() == first[work].keys()  # type: ignore[union-attr]
    other = Runner(bench, "another model", ResultCache(tmp_path), "", SerialExecutor(), 1)
    assert other.missing(JOBS) == JOBS


def test_a_torn_file_is_measured_again(bench: Bench, tmp_path: Path) -> None:
    serial(bench, tmp_path).run(JOBS[:1])
    key = key_of(JOBS[0], "base")
    path = tmp_path / key[:2] / f"{key}.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert serial(bench, tmp_path).missing(JOBS[:1]) == JOBS[:1]


def test_interruption_keeps_what_is_done(bench: Bench, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serial(bench, tmp_path).run(JOBS, stop)
    assert serial(bench, tmp_path).missing(JOBS) == JOBS[2:]
    assert not list(tmp_path.rglob("*.part"))


def test_errors_name_the_part(bench: Bench, tmp_path: Path) -> None:
    unknown = Job((Setting("decoder.9", "w", 3),), 2, POINTS)
    with pytest.raises(AnalysisError, match=r"decoder.9 \(w, 3 bits\)"):
        serial(bench, tmp_path).run([*JOBS[:1], unknown])
    assert serial(bench, tmp_path).missing(JOBS[:1]) == []


def test_a_worker_that_dies(tmp_path: Path) -> None:
    bench = bench_of("die")
    save_setup(bench.setup, tmp_path / "setup")
    with executor(1) as (pool, workers):
        runner = Runner(bench, "base", ResultCache(tmp_path), str(tmp_path / "setup"), pool, workers)
        with pytest.raises(AnalysisError, match=r"a worker died .* 0 of 4 jobs are kept; run the same again"):
            runner.run(JOBS)
    assert serial(bench, tmp_path).missing(JOBS) == JOBS


def test_processes_measure_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    save_setup(bench_of().setup, tmp_path / "setup")
    with executor(1) as (pool, workers):
        there = Runner(bench, "base", None, str(tmp_path / "setup"), pool, workers).run(JOBS[:3])
    for work, result in serial(bench, tmp_path).run(JOBS[:3]).items():
        assert isinstance(result, Curves)
        np.testing.assert_array_equal(result.rate, there[work].rate)  # type: ignore[union-attr]
        np.testing.assert_array_equal(result.distortion, there[work].distortion)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask scheduler with one worker, a process."""
    distributed = pytest.importorskip("distributed", reason="in the extras `dask` and `dev`")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50) as found,
    ):
        yield found.scheduler_address


def test_a_cluster_measures_the_same_bits(bench: Bench, tmp_path: Path, cluster: str) -> None:
    save_setup(bench_of().setup, tmp_path / "setup")
    with executor(0, cluster) as (pool, workers):
        assert workers == 1
        there = Runner(bench, "base", None, str(tmp_path / "setup"), pool, workers).run(JOBS[:3])
    for work, result in serial(bench, tmp_path).run(JOBS[:3]).items():
        assert isinstance(result, Curves)
        np.testing.assert_array_equal(result.rate, there[work].rate)  # type: ignore[union-attr]


def test_a_worker_of_a_cluster_that_dies(tmp_path: Path, cluster: str) -> None:
    bench = bench_of("die")
    save_setup(bench.setup, tmp_path / "setup")
    with executor(0, cluster) as (pool, workers):
        runner = Runner(bench, "base", ResultCache(tmp_path), str(tmp_path / "setup"), pool, workers)
        with pytest.raises(AnalysisError, match=r"a worker died .* 0 of 4 jobs are kept; run the same again"):
            runner.run(JOBS)


def test_what_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)  # as where it is not installed

    class Local(ToyAdapter):
        pass

    bench = bench_of()
    with pytest.raises(UsageError, match="define its class in a module"):
        save_setup(Setup(Local(), bench.clips, bench.setup.survey, 0), tmp_path / "setup")
    with pytest.raises(UsageError, match="pip install distributed"), executor(0, "tcp://nowhere:1"):
        pass


def test_estimates_are_count_times_seconds() -> None:
    text = str(Estimate(jobs=100, cached=20, frames=640, each=0.5, workers=2))
    assert text == "100 jobs, 20 of them done before; 80 x 4.00 s on 2 workers: about 2.7 min"
    assert [duration(s) for s in (3, 600, 7200)] == ["3 s", "10.0 min", "2.0 h"]
