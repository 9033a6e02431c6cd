"""Jobs on the toy codec: they do what they say, no more, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from quaver.errors import UsageError
from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.closed_loop import AnalysisError, Curves, run
from quaver.lab.analyse.jobs import Job, Setting
from quaver.lab.analyse.survey import survey
from quaver.lab.analyse.truth import all_settings
from quaver.lab.manifest import model_hash

from .toy import ToyAdapter, toy_clips

POINTS = (0, 1)
FRAMES = 4


@pytest.fixture
def bench() -> Iterator[Bench]:
    torch.set_num_threads(1)
    adapter, clips = ToyAdapter(), toy_clips()
    bench = Bench(Setup(adapter, clips, survey(adapter, clips, 4, (3, 8)), 0))
    before = model_hash(adapter.module)
    yield bench
    bench.close()
    assert model_hash(adapter.module) == before
    assert not any(module._forward_pre_hooks for module in adapter.module.modules())


def same(a: Curves, b: Curves) -> bool:
    return bool((a.rate == b.rate).all() and (a.distortion == b.distortion).all())


def job(*settings: Setting, **others: Any) -> Job:
    return Job(settings, FRAMES, POINTS, **others)


def test_survey_sees_roles_first_frames_and_state(bench: Bench) -> None:
    seen = bench.setup.survey
    assert seen.sites_of("context.entropy") == ["context.entropy@inter", "context.entropy@intra"]
    assert seen.first["context.entropy@intra"] == 0 and seen.first["context.entropy@inter"] == 1
    assert seen.state == ("picture",) and not seen.idle
    assert seen.widths["decoder.0", "w"] == 4 and seen.widths["decoder.0@intra", "a"] == 8
    assert seen.scales["decoder.2@inter", 3].bits == 3 and seen.scales["picture", 8].bits == 8
    assert [part.name for part in seen.parts("module", ["wa"])] == ["encoder", "decoder", "context"]
    assert sum(seen.histograms["encoder.0"]["w"]["counts"]) == 2 * 8 * 16
    with pytest.raises(UsageError, match="no call site is named 'decodr"):
        survey(bench.adapter, bench.clips, 2, (8,), ("decodr.*",))


def test_float_is_the_codec_itself(bench: Bench) -> None:
    assert same(bench.measure(job()), run(bench.adapter, bench.clips, FRAMES))


def test_settings_act_and_go(bench: Bench) -> None:
    reference = bench.measure(job())
    for setting in (
        Setting("decoder.0", "w", 3),
        Setting("decoder.0@intra", "a", 3),
        Setting("context.entropy@inter", "a", 3),
        Setting("picture", "state", 3),
    ):
        first, again = bench.measure(job(setting)), bench.measure(job(setting))
        assert same(first, again) and not same(first, reference)
        assert same(bench.measure(job()), reference)


def test_starting_behind_the_first_frame_changes_nothing(bench: Bench) -> None:
    setting = Setting("context.entropy@inter", "a", 3)
    short = bench.measure(job(setting))
    assert bench._span(job(setting)) == (1, FRAMES - 1)
    start, bench._start = bench._start, lambda job, first, after: None  # type: ignore[method-assign]
    assert same(short, bench.measure(job(setting)))
    bench._start = start  # type: ignore[method-assign]


def test_open_means_from_the_float_models_state(bench: Bench) -> None:
    """Each frame by itself; where a part is not called, and before its weights were touched, nothing changes."""
    reference = bench.measure(job())
    assert same(bench.measure(job(open=True)), reference)
    setting = Setting("decoder.2", "w", 3)
    closed, unlooped = bench.measure(job(setting)), bench.measure(job(setting, open=True))
    np.testing.assert_array_equal(closed.rate[..., 0], unlooped.rate[..., 0])
    np.testing.assert_array_equal(closed.distortion[..., 0], unlooped.distortion[..., 0])
    assert (closed.distortion[..., 1:] != unlooped.distortion[..., 1:]).all()
    for frame in (1, 3):
        alone = bench.measure(job(setting, only=frame))
        np.testing.assert_array_equal(alone.distortion[..., frame], unlooped.distortion[..., frame])
    intra = bench.measure(job(Setting("decoder.0@intra", "a", 3), open=True))
    assert (intra.distortion[..., 0] != reference.distortion[..., 0]).all()
    np.testing.assert_array_equal(intra.distortion[..., 1:], reference.distortion[..., 1:])
    state = bench.measure(job(Setting("picture", "state", 3), open=True))
    np.testing.assert_array_equal(state.rate[..., 0], reference.rate[..., 0])
    assert (state.rate[..., 1:] != reference.rate[..., 1:]).all()
    noise = [bench.measure(job(noise=1, open=each)).distortion[..., 0] for each in (False, True)]
    np.testing.assert_array_equal(*noise)


def test_more_bits_cost_less(bench: Bench) -> None:
    reference = bench.measure(job()).cost(bench.adapter.lambdas).mean()
    costs = [
        bench.measure(job(*all_settings(bench.setup.survey, bits))).cost(bench.adapter.lambdas).mean()
        for bits in (3, 8)
    ]
    assert abs(costs[1] - reference) < abs(costs[0] - reference) and costs[0] > reference


def test_impulse_begins_in_its_frame(bench: Bench) -> None:
    reference = bench.measure(job())
    for frame in (0, 2):
        curves = bench.measure(job(Setting("decoder.2", "w", 3), only=frame))
        np.testing.assert_array_equal(curves.rate[..., :frame], reference.rate[..., :frame])
        assert (curves.distortion[..., frame] != reference.distortion[..., frame]).all()
    whole, one = (
        bench.measure(job(Setting("decoder.2", "w", 3))),
        bench.measure(job(Setting("decoder.2", "w", 3), only=0)),
    )
    np.testing.assert_array_equal(whole.rate[..., 0], one.rate[..., 0])
    assert not same(whole, one)


def test_channels_one_by_one(bench: Bench) -> None:
    """Quantizing one channel changes only what it must; all together are the whole."""
    weight = bench.adapter.module.decoder[0].weight
    seen: list[torch.Tensor] = []
    handle = bench.adapter.module.decoder[0].register_forward_pre_hook(lambda module, args: seen.append(module.weight))
    bench.attachment  # noqa: B018  hooks in the order of a worker
    bench.measure(job(Setting("decoder.0", "w", 3)))
    whole = seen[-1].detach()
    for channel in range(4):
        bench.measure(job(Setting("decoder.0", "w", 3, channel)))
        now = seen[-1].detach()
        assert torch.equal(now[:, channel], whole[:, channel])
        others = [n for n in range(4) if n != channel]
        assert torch.equal(now[:, others], weight.detach()[:, others])
    handle.remove()
    input_only = bench.measure(job(Setting("decoder.0@inter", "a", 3, 2)))
    assert not same(input_only, bench.measure(job()))
    assert not same(input_only, bench.measure(job(Setting("decoder.0@inter", "a", 3))))


def test_noise_is_small_and_repeats(bench: Bench) -> None:
    reference, a, b = bench.measure(job()), bench.measure(job(noise=1)), bench.measure(job(noise=2))
    assert same(a, bench.measure(job(noise=1))) and not same(a, b) and not same(a, reference)
    np.testing.assert_allclose(a.distortion, reference.distortion, rtol=0.05)


def test_not_a_number_names_the_place() -> None:
    adapter, clips = ToyAdapter("nan"), toy_clips()
    bench = Bench(Setup(adapter, clips, survey(adapter, clips, 2, (3,)), 0))
    with pytest.raises(AnalysisError, match=r"perturbation 0: not a number in frame 1 of clip toy 0 at lambda 0.002"):
        bench.measure(job(noise=0))
    bench.close()
