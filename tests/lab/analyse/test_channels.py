"""Which channels are measured, and what is said about the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.lab.analyse.channels import Channel, audit_channels, channel_rows, mixture, predict, sample, trial_of
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.table import MEAN
from quaver.lab.analyse.truth import noise_jobs


def channels(count: int, seed: int = 0) -> list[Channel]:
    rng = np.random.default_rng(seed)
    kinds = ("w", "a")
    return [
        Channel(f"m{n % 3}.layer", f"m{n % 3}", kinds[n % 2], n, *np.abs(rng.normal(size=3)).tolist())  # type: ignore[arg-type]
        for n in range(count)
    ]


@given(count=st.integers(1, 300), wanted=st.integers(0, 100), top=st.floats(0, 0.3), seed=st.integers(0, 5))
def test_sample_is_large_enough_and_has_the_top(count: int, wanted: int, top: float, seed: int) -> None:
    everything = channels(count, seed)
    chosen = sample(everything, wanted, top, seed)
    assert chosen == sample(everything, wanted, top, seed)
    assert len(set(chosen)) == len(chosen) >= min(count, wanted)
    ranked = sorted(everything, key=lambda each: -each.score)
    assert set(ranked[: int(np.ceil(top * count))]) <= set(chosen)


def test_sample_covers_kinds_and_deciles() -> None:
    everything = channels(600)
    chosen = sample(everything, 120, 0.0, 0)
    for stratum in {each.stratum for each in everything}:
        members = sorted((each for each in everything if each.stratum == stratum), key=lambda each: each.score)
        for decile in np.array_split(np.arange(len(members)), 10):
            assert sum(members[i] in chosen for i in decile) == 2


def test_predictions_follow_a_mixture_of_scores() -> None:
    everything = channels(60)
    truth = {each: 0.5 * each.first + 2 * (2 * each.fisher) ** 0.5 for each in everything}
    measured = {each: truth[each] for each in everything[:20]}
    assert predict(everything, mixture(measured)) == pytest.approx([truth[each] for each in everything])


def test_rows_say_what_was_measured() -> None:
    everything = channels(10)
    measured = {each: {"zeta": each.first, "source": "measured", "call_site": each.site} for each in everything[:4]}
    weights = mixture({each: each.first for each in everything})
    rows = channel_rows(everything, weights, measured, {"bits": 4, "mode": "open"}, ["m1"])
    assert [row["zeta"] for row in rows[4:]] == pytest.approx([each.first for each in everything[4:]])
    assert [row["source"] for row in rows] == ["measured"] * 4 + ["predicted"] * 6
    assert all({"first", "fisher", "zeta"} <= set(row) for row in rows)
    assert {row["mode"] for row in rows[4:]} == {"open"}
    assert [row["encoder_only"] for row in rows[4:]] == [each.module == "m1" for each in everything[4:]]


@pytest.mark.parametrize(
    ("modes", "mode"), [(("add", "open", "drop"), "open"), (("open",), "open"), (("drop",), "open"), (("add",), "add")]
)
def test_channels_are_measured_without_the_loop_unless_it_alone_is_asked_for(modes: tuple[str, ...], mode: str) -> None:
    config = AnalyseConfig(level="channel", modes=modes, frames=5, impulse_frames=0)  # impulses need an open floor too
    trial = trial_of(channels(1)[0], config, 4, 1)
    assert (trial.mode, trial.job.open, trial.job.points, trial.job.frames) == (mode, mode == "open", (1,), 5)
    floor = noise_jobs(config, (0, 1), open=True)  # what is measured without the loop has that floor
    assert [job.frames for job in floor] == [5] * (config.noise if mode == "open" else 0)


def test_scores_are_compared_with_what_was_measured() -> None:
    everything = channels(40)
    weights = np.array([0.0, 0.0, 2.0])
    zetas = predict(everything, weights)
    rng = np.random.default_rng(0)
    measured = {
        each: {"x": zeta + rng.normal(), "y": zeta, MEAN: zeta} for each, zeta in zip(everything, zetas, strict=True)
    }
    rows = list(audit_channels(measured, weights, "open", 3.0, 0.5))
    found = {(row["proxy"], row["kind"]): row for row in rows}
    assert {row["against"] for row in rows} == {"open"} and {row["count"] for row in rows} == {20}
    for kind in ("w", "a"):
        assert found["Fisher", kind]["rank_correlation"] == pytest.approx(1)
        assert found["mixture, fitted to them", kind]["rank_correlation"] == pytest.approx(1)
        assert found["first order", kind]["rank_correlation"] < 0.9
        halves = found["truth, half of the clips", kind]
        assert 0 < halves["rank_correlation"] < 1 and halves["seconds"] == 10
