"""Recipes and training on somebody's codec: each part reachable, each gone afterwards, errors said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab import api
from quaver.lab.analyse.closed_loop import AnalysisError
from quaver.lab.api.equalized import equalized, pairs_of
from quaver.lab.api.task_loss import TaskLoss
from quaver.lab.models.codec import Preset
from quaver.lab.quant import Attachment
from quaver.lab.quant import quantized as attached

from ..analyse.toy import ToyAdapter, toy_clips

CLIPS, HELD = toy_clips(2, 3), toy_clips(2, 3, 32)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def adapter() -> ToyAdapter:
    return ToyAdapter()


def plan_of(adapter: ToyAdapter, w: int | None = 4, a: int | None = 4) -> api.QuantPlan:
    return api.uniform(adapter, w, a)


@contextmanager
def leaves_no_trace(adapter: ToyAdapter) -> Iterator[None]:
    """Bits, objects, gradients, modes, hooks, attributes, what is coded, and the random generator."""
    module = adapter.module
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: (each, each.detach().clone(), each.grad) for name, each in module.named_parameters()}
    attributes = {name: set(part.__dict__) for name, part in module.named_modules()}
    coded, chance = api.code(adapter, HELD), torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), chance)
    for name, now in module.named_parameters():
        same, bits, gradient = before[name]
        assert now is same and torch.equal(now, bits) and now.grad is gradient and now.requires_grad
    for name, part in module.named_modules():
        assert set(part.__dict__) == attributes[name] and not part.training
        assert not part._forward_pre_hooks and not part._forward_hooks
    after = api.code(adapter, HELD)
    np.testing.assert_array_equal(after.rate, coded.rate)
    np.testing.assert_array_equal(after.distortion, coded.distortion)


EVERYTHING = {"observer": "loss", "equalize": True, "rounding": "loss", "bias_correction": True, "steps": 4}


@pytest.mark.parametrize(
    "recipe",
    [{"observer": "minmax"}, {"weights": "minmax"}, {"observer": "percentile"}, {"observer": "loss"},
     {"weights_per": "tensor"}, {"weights_per": 2}, {"weights_affine": True},
     {"weights_per": "tensor", "weights_affine": True, "power_of_two": True, "bias_correction": True},
     {"equalize": True}, {"bias_correction": True}, {"rounding": "loss", "steps": 4}, {"power_of_two": True},
     EVERYTHING],
    ids=lambda recipe: ",".join(recipe),
)  # fmt: skip
def test_each_step_does_something_and_leaves_no_trace(adapter: ToyAdapter, recipe: dict[str, object]) -> None:
    with api.quantized(adapter, plan_of(adapter, 3, 3), CLIPS):
        plain = api.code(adapter, HELD)
    with leaves_no_trace(adapter), api.quantized(adapter, plan_of(adapter, 3, 3), CLIPS, **recipe) as attachment:
        assert isinstance(attachment, Attachment)
        found = api.code(adapter, HELD)
    assert np.isfinite(found.distortion).all()
    if recipe != {"rounding": "loss", "steps": 4}:  # which keeps the nearest codes where four steps find none better
        assert not np.array_equal(found.distortion, plain.distortion)


def test_an_error_inside_leaves_no_trace(adapter: ToyAdapter) -> None:
    with leaves_no_trace(adapter):
        with pytest.raises(ZeroDivisionError), api.quantized(adapter, plan_of(adapter), CLIPS, equalize=True):
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), api.trained(adapter, plan_of(adapter), CLIPS, steps=1):
            raise ZeroDivisionError


def test_what_is_searched_by_loss_loses_no_more_on_its_clips(adapter: ToyAdapter) -> None:
    plan, loss = plan_of(adapter, None, 3), TaskLoss(adapter, CLIPS)
    losses = {}
    for observer in ("mse", "minmax", "percentile", "loss"):
        with api.quantized(adapter, plan, CLIPS, observer=observer):
            losses[observer] = loss()
    assert losses["loss"] < losses["mse"]
    plan = plan_of(adapter, 3, None)
    for steps in ({}, {"rounding": "loss", "steps": 20}):
        with api.quantized(adapter, plan, CLIPS, **steps):
            losses[str(steps)] = loss()
    assert losses[str(steps)] < losses["{}"]


def test_powers_of_two_are(adapter: ToyAdapter) -> None:
    with api.quantized(adapter, plan_of(adapter), CLIPS, power_of_two=True) as attachment:
        api.code(adapter, HELD)
        for site in ("encoder.0", "decoder.2"):
            for scale in (attachment.weight_codes(site)[1].scale, attachment.input_scale(f"{site}@inter").scale):
                assert torch.equal(torch.frexp(scale).mantissa, torch.full_like(scale, 0.5))


@pytest.mark.parametrize(
    ("method", "recipe"),
    [("lsq", {}), ("lsq+", {}), ("pact", {}), ("lsq", {"weights_per": 2, "weights_affine": True})],
)
def test_training(adapter: ToyAdapter, method: str, recipe: dict[str, object]) -> None:
    plan = plan_of(adapter, 3, 4)
    loss = TaskLoss(adapter, CLIPS)
    with api.quantized(adapter, plan, CLIPS):
        before = loss()
    with (
        leaves_no_trace(adapter),
        api.trained(adapter, plan, CLIPS, steps=20, method=method, learning_rate=3e-3, frames=3, **recipe) as inside,
    ):
        assert loss() < before and len(inside.losses) == 20
        coded = api.code(adapter, HELD)
        weights = {name: value.clone() for name, value in adapter.module.state_dict().items()}
        scales, weight_scales = inside.learned.scales(), inside.learned.weight_scales()
        assert {"encoder.0@intra", "encoder.0@inter"} <= set(scales) and "encoder.0" in weight_scales
    other = ToyAdapter()
    other.module.load_state_dict(weights)
    with attached(other.module, plan, scales, role=other.role, weight_scales=weight_scales):
        kept = api.code(other, HELD)
    np.testing.assert_array_equal(kept.distortion, coded.distortion)


def test_training_is_the_same_again(adapter: ToyAdapter) -> None:
    found = []
    for seed in (0, 0, 1):
        with api.trained(adapter, plan_of(adapter), CLIPS, steps=3, seed=seed) as inside:
            found.append(inside.losses)
    assert found[0] == found[1] != found[2]


class Faulty(ToyAdapter):
    """Not a number on the surrogate from a step on: its value, or its gradient alone."""

    def __init__(self, frames: int, gradient: bool) -> None:
        super().__init__()
        self.left, self.gradient = frames, gradient

    def step(self, frame, state, points):  # type: ignore[no-untyped-def]
        found = super().step(frame, state, points)
        self.left -= torch.is_grad_enabled()
        if self.left >= 0 or not torch.is_grad_enabled():
            return found
        bad = (found.rate - found.rate).abs().sqrt() if self.gradient else found.rate * float("nan")
        return found._replace(rate=found.rate + bad)


@pytest.mark.parametrize("gradient", [False, True])
def test_not_a_number_in_training_is_an_error(gradient: bool) -> None:
    adapter = Faulty(2 * 3, gradient)  # two steps of three frames go well
    what = "the gradient of J is not a number" if gradient else "J is not a number on the surrogate; clips toy"
    with (
        leaves_no_trace(adapter),
        pytest.raises(AnalysisError, match=f"toy, step 3: {what}"),
        api.trained(adapter, plan_of(adapter), CLIPS, steps=5),
    ):
        raise AssertionError("nothing was trained")


def test_not_a_number_in_rounding_is_an_error() -> None:
    adapter = Faulty(3, False)
    with (
        leaves_no_trace(adapter),
        pytest.raises(AnalysisError, match="toy, step 2: J is not a number"),
        api.quantized(adapter, plan_of(adapter), CLIPS, rounding="loss"),
    ):
        raise AssertionError("nothing was rounded")


def test_pairs_are_neighbours_in_a_sequence() -> None:
    module = nn.Module()
    module.net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 2, 1),
                               nn.Identity(), nn.ConvTranspose2d(2, 2, 2))  # fmt: skip
    module.other = nn.Conv2d(2, 2, 1)
    assert pairs_of(module) == [("net.0", "net.2"), ("net.4", "net.6")]


class Peeking(ToyAdapter):
    """Somebody reads between the decoder's layers."""

    def step(self, frame, state, points):  # type: ignore[no-untyped-def]
        found = super().step(frame, state, points)
        return found._replace(rate=found.rate + self.module.decoder[0](torch.ones(1, 8, 1, 1)).sum().abs())


def test_equalization_is_refused_where_it_would_change_the_codec(adapter: ToyAdapter) -> None:
    assert pairs_of(adapter.module) == [("decoder.0", "decoder.2")]
    before = api.code(adapter, HELD)
    with equalized(adapter, CLIPS) as factors:
        np.testing.assert_allclose(api.code(adapter, HELD).distortion, before.distortion, rtol=1e-4)
        assert not torch.allclose(factors["decoder.0", "decoder.2"], torch.ones(4))
    with (
        pytest.raises(UsageError, match=r"encoder.0 has 8 output channels, decoder.2 4 inputs"),
        equalized(adapter, CLIPS, [("encoder.0", "decoder.2")]),
    ):
        pass
    peeking = Peeking()
    with (
        leaves_no_trace(peeking),
        pytest.raises(UsageError, match=r"reads .* decoder.0 and decoder.2"),
        api.quantized(peeking, plan_of(peeking), CLIPS, equalize=True),
    ):
        pass


def test_quavers_own_codec_in_simulation() -> None:
    codec = api.random_codec(Preset(16, 1, 1, 1, 1, 8), seed=2)
    clips = api.clips_of(count=2, frames=2, size=32)
    before = api.code(codec, clips)
    plan = api.QuantPlan.uniform(api.layers_of(codec, "inter.decoder.*"), 3, 4)
    with api.simulated(codec, plan, clips, observer="minmax"):
        assert not np.array_equal(api.code(codec, clips).distortion, before.distortion)
    with api.trained(codec, plan, clips, steps=1, frames=2):
        api.code(codec, clips)
    np.testing.assert_array_equal(api.code(codec, clips).distortion, before.distortion)
    with (
        pytest.raises(UsageError, match="observer is for simulation, these are integers"),
        api.quantized(codec, plan, clips, observer="minmax"),
    ):
        pass


def test_what_cannot_be(adapter: ToyAdapter) -> None:
    plan, module = plan_of(adapter), nn.Sequential(nn.Conv2d(1, 1, 1))
    for call, what in (
        (lambda: api.quantized(adapter, plan, CLIPS, observer="median"), "observer 'median': mse, minmax"),
        (lambda: api.quantized(adapter, plan, CLIPS, weights="loss"), "weights by 'loss': mse, minmax are legal"),
        (lambda: api.quantized(adapter, plan, CLIPS, weights_per="layer"), "per 'layer': channel, tensor, a number"),
        (lambda: api.quantized(adapter, plan, CLIPS, rounding="up"), "rounding 'up': nearest, loss are legal"),
        (lambda: api.trained(adapter, plan, CLIPS, method="ste"), r"method 'ste': lsq, lsq\+, pact are legal"),
        (lambda: api.trained(adapter, plan, CLIPS, method="pact", power_of_two=True), "powers of two need lsq"),
        (lambda: api.trained(adapter, plan, CLIPS, rounding="loss"), "round to the nearest"),
        (lambda: api.quantized(module, api.QuantPlan.uniform(["0"], 4, None), equalize=True), "behind a CodecAdapter"),
        (lambda: api.quantized(adapter, plan, CLIPS, equalize=[("encoder.0", "nowhere")]), "no layer is named"),
    ):
        with pytest.raises(UsageError, match=what), call():
            pass
