"""From curves to rows: what is planned, and what its numbers mean."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.errors import UsageError
from quaver.lab.analyse.closed_loop import Curves
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.jobs import Job, Part, Setting, key_of
from quaver.lab.analyse.survey import Survey, survey
from quaver.lab.analyse.table import MEAN
from quaver.lab.analyse.truth import Reading, Trial, jobs_of, noise_jobs, trials

from .toy import ToyAdapter, toy_clips

POINTS = (0, 1)
PART = Part("a", "m", "layer", "w", ("a",))


@pytest.fixture(scope="module")
def seen() -> Survey:
    return survey(ToyAdapter(), toy_clips(), 2, (4, 8))


def constant(rate: float, distortion: float, frames: int = 4, clips: int = 2) -> Curves:
    shape = (2, clips, frames)
    return Curves(np.full(shape, rate), np.full(shape, distortion))


def reading(seen: Survey, noise: tuple[Curves, ...] = (), open_noise: tuple[Curves, ...] = ()) -> Reading:
    return Reading(seen, (0.1, 0.5), ("x", "y"), "hash", ("m",), constant(2.0, 10.0), noise, open_noise)


def test_plan_holds_every_part_mode_and_width(seen: Survey) -> None:
    config = AnalyseConfig(bits=(4, 8), frames=4, drift_frames=8, impulse_frames=6)
    plan = trials(config, seen, POINTS)
    count = {(t.level, t.mode): sum((t.level, t.mode) == (o.level, o.mode) for o in plan) for t in plan}
    modules, layers, sites, state = 3, 5, 10, 1
    parts = 3 * modules + state
    assert count["module", "add"] == 2 * parts + (2 * modules + state)  # the last are drift curves
    assert count["module", "open"] == 2 * parts and count["module", "drop"] == 3 * modules
    assert count["pair", "add"] == 3
    assert count["layer", "add"] == count["layer", "open"] == 2 * count["layer", "drop"] == 2 * (layers + sites)
    assert count["module", "impulse"] == 2 * modules + state
    assert len(set(jobs_of(plan))) == len(jobs_of(plan))


def test_drop_raises_one_part_of_everything(seen: Survey) -> None:
    plan = trials(AnalyseConfig(bits=(4,), frames=4, drift_frames=0, impulse_frames=0), seen, POINTS)
    drops = [trial for trial in plan if trial.mode == "drop" and trial.level == "layer"]
    for trial in drops:
        assert trial.against is not None
        gone = set(trial.against.settings) - set(trial.job.settings)
        assert gone == set(trial.part.settings(4)) and not set(trial.job.settings) - set(trial.against.settings)


def test_zeta_is_dj_over_r_of_the_float_model(seen: Survey) -> None:
    job = Job((Setting("a", "w", 4),), 4, POINTS)
    worse = constant(2.5, 11.0)
    worse.rate[:, 1] += 0.5  # the second clip
    rows = list(reading(seen).rows(Trial(PART, 4, "layer", "add", job), {job: worse}))
    assert [row["clip"] for row in rows] == ["x", "y", MEAN] * 2
    assert [row["zeta"] for row in rows[:3]] == pytest.approx([0.6 / 2, 1.1 / 2, 0.85 / 2])
    assert rows[2]["stderr"] == pytest.approx(0.125) and rows[0]["stderr"] is None
    assert (rows[2]["dR"], rows[2]["dD"], rows[2]["rate"]) == pytest.approx((0.75, 1.0, 2.0))
    assert rows[5]["zeta"] == pytest.approx((0.75 + 0.5) / 2) and rows[5]["lambda"] == 0.5
    assert rows[0]["encoder_only"] and rows[0]["under_floor"] is None


def test_drop_and_pairs_have_their_own_references(seen: Survey) -> None:
    one, two, all_ = (Job((Setting(name, "w", 4),), 4, POINTS) for name in ("a", "b", "c"))
    results = {one: constant(2.1, 10), two: constant(2.2, 10), all_: constant(2.5, 10)}
    drop = Trial(PART, 4, "layer", "drop", one, all_, -1)
    assert next(reading(seen).rows(drop, results))["zeta"] == pytest.approx(0.4 / 2)
    pair = Trial(PART, 4, "pair", "add", all_, less=(one, two))
    assert next(reading(seen).rows(pair, results))["zeta"] == pytest.approx(0.2 / 2)


def test_what_noise_reaches_is_marked(seen: Survey) -> None:
    noise = (constant(2.02, 10), constant(1.98, 10))
    job = Job((Setting("a", "w", 4),), 4, POINTS)
    for rate, marked in ((2.03, True), (2.05, False), (1.97, True)):
        rows = list(reading(seen, noise).rows(Trial(PART, 4, "layer", "add", job), {job: constant(rate, 10)}))
        assert [row["under_floor"] for row in rows] == [marked] * 6
        assert rows[0]["floor"] == pytest.approx(2 * 0.02 / 2)
    config = AnalyseConfig(frames=4, drift_frames=0, noise=2)
    assert [job.noise for job in noise_jobs(config, POINTS)] == [0, 1]
    assert {row["mode"] for row in reading(seen, noise).noise_rows(config)} == {"noise"}


def test_impulses_report_their_memory(seen: Survey) -> None:
    job = Job((Setting("a", "w", 4),), 4, POINTS, only=1)
    curves = constant(2.0, 10.0)
    curves.rate[:] += np.array([0, 0.4, 0.2, 0.1])
    trial, figures = Trial(PART, 4, "module", "impulse", job), ("gain", "gain_low", "gain_high", "decay")
    row = list(reading(seen, open_noise=(constant(2.0, 10, 2),) * 2).rows(trial, {job: curves}))[2]
    assert [row[name] for name in figures] == pytest.approx([0.7 / 0.4, 0.7 / 0.4, 0.7 / 0.4, 0.5])


def test_impulses_that_do_not_exceed_the_noise_of_their_frame_have_no_memory(seen: Survey) -> None:
    job = Job((Setting("a", "w", 4),), 4, POINTS, only=1)
    curves, noise = constant(2.0, 10.0), constant(2.0, 10.0, 2)
    curves.rate[:] += np.array([0, 0.4, 0.2, 0.1])
    noise.rate[:, 0, 1] += 0.3  # of the first clip, in the impulse's frame; of the mean 0.15
    noise.rate[:, 0, 0] += 9
    trial = Trial(PART, 4, "module", "impulse", job)
    rows = list(reading(seen, open_noise=(noise,) * 2).rows(trial, {job: curves}))
    assert [row["gain"] is None for row in rows] == [True, False, False] * 2
    assert [row["decay"] is None for row in rows] == [True, False, False] * 2
    assert all(row["gain"] is None for row in reading(seen).rows(trial, {job: curves}))
    config = AnalyseConfig(modes=("add",), impulse_frames=4, noise=2)
    assert [job.frames for job in noise_jobs(config, POINTS, open=True)] == [2, 2]


def test_keys_tell_jobs_apart() -> None:
    a = Job((Setting("a", "w", 4),), 4, POINTS)
    others = [Job((Setting("a", "a", 4),), 4, POINTS), Job(a.settings, 5, POINTS), Job(a.settings, 4, POINTS, only=1)]
    keys = {key_of(job, base) for job in (a, *others) for base in ("m", "n")}
    assert len(keys) == 8 and key_of(a, "m") == key_of(Job((Setting("a", "w", 4),), 4, POINTS), "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": "net"}, "level 'net': legal are module, layer, channel"),
        ({"modes": ()}, "mode missing: legal are add, open, drop"),
        ({"kinds": ("x",)}, "kind 'x'"),
        ({"bits": (1,)}, "bits"),
        ({"bits": (4, 4)}, "different"),
        ({"frames": 1}, "at least 2"),
        ({"target": 5}, "target of 5 bits: one of 4, 6, 8 is legal"),
        ({"drift_frames": 2}, "at least 4"),
        ({"noise": 1}, "at least 2"),
    ],
)
def test_configurations_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AnalyseConfig(**change)  # type: ignore[arg-type]
