"""Attached quantizers compute what the grids say; detached, nothing of them is left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.models.codec import PRESETS, Codec
from quaver.lab.quant import (
    Calibration,
    LayerPlan,
    QuantPlan,
    WeightGrids,
    attach,
    call_sites,
    learn,
    observe,
    quantized,
)
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose_weight
from quaver.lab.quant.weights import Granularity
from quaver.runtime.model import load_model

from .toys import Recurrent, clip, model


def calibrated(toy: Recurrent, **options: Any) -> Calibration:
    return Calibration(observe(toy, call_sites(toy), lambda: toy(clip()), lambda: toy.role), **options)


def traces(module: nn.Module) -> list[Any]:
    """What attaching could leave in a model: hooks, attributes, keys, the parameters' identity."""
    seen: list[Any] = [type(module), list(module.state_dict()), [id(p) for p in module.parameters()]]
    for each in module.modules():
        plain = {k: len(v) if k.startswith("_") and isinstance(v, dict) else k for k, v in each.__dict__.items()}
        seen.append(plain)
    return seen


def test_detaching_leaves_no_trace() -> None:
    toy = model()
    before, output = traces(toy), toy(clip())
    attachment = attach(toy, QuantPlan.uniform(call_sites(toy), 3, 3), calibrated(toy), role=lambda: toy.role)
    assert not torch.equal(toy(clip()), output)
    assert list(toy.state_dict()) == before[1]
    attachment.detach()
    attachment.detach()
    assert traces(toy) == before and torch.equal(toy(clip()), output)


def test_also_after_an_error_in_a_layer() -> None:
    toy = model()
    before = traces(toy)
    with (
        pytest.raises(TypeError),
        quantized(toy, QuantPlan.uniform(["leave"], 4, 4), calibrated(toy)),
    ):
        toy.leave(clip().repeat(1, 2, 1, 1), "no gain")
    assert traces(toy) == before


def test_sixteen_bits_hardly_change_the_output_and_fewer_change_it_more() -> None:
    toy = model()
    output, errors = toy(clip()), []
    calibration = calibrated(toy)
    for bits in (16, 8, 4, 2):
        with quantized(toy, QuantPlan.uniform(call_sites(toy), bits, bits), calibration), torch.no_grad():
            errors.append(float((toy(clip()) - output).abs().mean()))
    assert errors[0] < 1e-3 and errors == sorted(errors)


def test_a_layer_computes_with_its_grids() -> None:
    """Input and weight of one call, by hand; the layer's other arguments pass through."""
    toy, x = model(), torch.randn(2, 6, 4, 4)
    scale = Scale.activation(1 / 16, 128, 8)
    with quantized(toy, QuantPlan.uniform(["leave", "mix"], 4, 8), {"leave": scale, "mix": scale}) as attached:
        codes, weights = attached.weight_codes("leave")
        on_grid = weights.dequantize(codes)
        assert codes.abs().amax((1, 2, 3)).tolist() == [7, 7, 7] and attached.input_scale("leave") is not None
        expected = 0.5 * nn.functional.conv2d(scale.fake_quantize(x), on_grid, toy.leave.bias)
        assert torch.equal(toy.leave(x, 0.5), expected) and torch.equal(toy.leave(x, gain=0.5), expected)
        assert torch.equal(toy.leave(x=x, gain=0.5), expected)
        attached.activations = False
        assert torch.equal(toy.leave(x, 1.0), nn.functional.conv2d(x, on_grid, toy.leave.bias))
        attached.activations, attached.weights = True, False
        assert torch.equal(
            toy.leave(x, 1.0), nn.functional.conv2d(scale.fake_quantize(x), toy.leave.weight, toy.leave.bias)
        )


def test_call_sites_have_scales_of_their_own() -> None:
    toy = model()
    calibration = calibrated(toy)
    sites = ["enter@intra", "enter@inter"]
    assert calibration.scale(sites[0], LayerPlan(8, 8)).scale != calibration.scale(sites[1], LayerPlan(8, 8)).scale
    seen: dict[str, Tensor] = {}
    toy.enter.register_forward_pre_hook(lambda _, args: seen.__setitem__(toy.role, args[0]))
    plan = QuantPlan({sites[0]: LayerPlan(None, 8), sites[1]: LayerPlan(None, 3)})
    with quantized(toy, plan, calibration, role=lambda: toy.role) as attached:
        # Hooks run in the order they came: registered again, this one sees what the layer gets.
        toy.enter.register_forward_pre_hook(lambda _, args: seen.__setitem__(toy.role, args[0]))
        toy(clip())
        for site in sites:
            x, scale = seen[site.partition("@")[2]], attached.input_scale(site)
            assert scale.bits == (8 if "intra" in site else 3) and torch.equal(scale.fake_quantize(x), x)
    with pytest.raises(UsageError, match="role="):
        attach(toy, plan, calibration)


def test_one_site_can_change_for_a_while() -> None:
    toy = model()
    plan, calibration = QuantPlan.uniform(call_sites(toy), 8, 8), calibrated(toy)
    with quantized(toy, plan, calibration, role=lambda: toy.role) as attached, torch.no_grad():
        output = toy(clip())
        with attached.changed("mix", LayerPlan(2, 2)):
            assert attached.plan.layer("mix").label == "W2A2" and not torch.equal(toy(clip()), output)
        with attached.changed("mix", LayerPlan(8, 8), Scale.activation(1.0, 128, 8)):
            assert not torch.equal(toy(clip()), output)
        assert attached.plan is plan and torch.equal(toy(clip()), output)
        attached.replace("gate", LayerPlan())
        expected = toy(clip())
        assert attached.weight_quantizer("gate") is None
    rest = QuantPlan({name: layer for name, layer in plan.layers.items() if name != "gate"})
    with quantized(toy, rest, calibration, role=lambda: toy.role), torch.no_grad():
        assert torch.equal(toy(clip()), expected)


def test_weights_are_quantized_once_and_again_when_they_change() -> None:
    toy, asked = model(), []
    with quantized(toy, QuantPlan.uniform(["enter"], 4, None), {}) as attached, torch.no_grad():
        handle = toy.enter.register_forward_pre_hook(lambda layer, _: asked.append(layer.weight))
        for _ in range(2):
            toy.enter(clip())
        with attached.changed("enter", LayerPlan(2, None)):
            toy.enter(clip())
        toy.enter(clip())
        toy.enter.weight.mul_(2)
        toy.enter(clip())
        handle.remove()
    first, second, other, again, changed = asked
    assert first is second is again and other is not first and torch.equal(changed, 2 * first)


def test_gradients_reach_the_parameters() -> None:
    toy = model()
    with quantized(toy, QuantPlan.uniform(call_sites(toy), 4, 8), calibrated(toy)):
        toy(clip()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in toy.parameters())


def test_given_weight_scales_are_kept() -> None:
    toy = model()
    scale = choose_weight(toy.enter.weight, 4, "mse")
    with quantized(toy, QuantPlan.uniform(["enter"], 4, None), {}, weight_scales={"enter": scale}) as attached:
        assert attached.weight_codes("enter")[1] is scale
        with attached.changed("enter", LayerPlan(5, None)):
            assert attached.weight_codes("enter")[1].bits == 5


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    ("per", "enter", "up"),
    [("channel", (6,), (6,)), ("tensor", (), ()), (4, (2,), (2,)), ({"up": (0, 1, 0, 2, 2, 1)}, (6,), (3,))],
)
def test_granularity_of_weights(per: Granularity, enter: tuple[int, ...], up: tuple[int, ...], affine: bool) -> None:
    """What layers compute with, and what is learned from it, is the pure function's."""
    toy, grids = model(), WeightGrids("mse", per, affine)
    plan = QuantPlan.uniform(call_sites(toy), 4, None)
    used: dict[str, Tensor] = {}
    for name in ("enter", "up"):
        layer = toy.get_submodule(name)
        layer.register_forward_hook(lambda layer, *_, name=name: used.update({name: layer.weight.detach()}))
    with quantized(toy, plan, {}, weight_grids=grids) as attached:
        toy(clip())
        for name, shape in (("enter", enter), ("up", up)):
            codes, scale = attached.weight_codes(name)
            assert scale.scale.shape == shape and scale.bits == 4 and bool(scale.zero.any()) == affine
            assert codes.min() >= (0 if affine else -7) and codes.max() <= (15 if affine else 7)
            torch.testing.assert_close(scale.dequantize(codes), used[name])
        fixed = dict(used)
        learned = learn(attached)
        toy(clip())
        for name, shape in (("enter", enter), ("up", up)):
            torch.testing.assert_close(used[name], fixed[name])
            assert learned.weights[name].step.shape == shape
    assert torch.equal(toy.enter.weight, model().enter.weight)


def test_granularities_that_do_not_fit_are_refused() -> None:
    toy, plan = model(), QuantPlan({"enter": LayerPlan(4, None, (4, 4, 0, 2, 2, 2))})
    for grids, why in (
        (WeightGrids(per="tensor"), "enter: the channels of a group have the same bits"),
        (WeightGrids(per={"enter": (0, 1)}), "enter: 6 bits, 2 groups; the weight has 6"),
        (WeightGrids(per={"entre": (0, 1)}), "no layer is named 'entre'"),
    ):
        with pytest.raises(UsageError, match=why), quantized(toy, plan, {}, weight_grids=grids):
            toy(clip())
    for per in ("layer", 0, {"enter": (0, 2)}):
        with pytest.raises(UsageError, match=r"legal|without gaps"):
            WeightGrids(per=per)  # type: ignore[arg-type]


def test_transposed_convolutions_have_their_outputs_second() -> None:
    toy = model()
    with quantized(toy, QuantPlan.uniform(["up"], 4, None), {}) as attached:
        codes, _ = attached.weight_codes("up")
    assert (codes.abs().amax((0, 2, 3)) == 7).all()


def test_a_copy_of_a_quantized_model_is_quantized() -> None:
    toy = model()
    with quantized(toy, QuantPlan.uniform(call_sites(toy), 3, 8), calibrated(toy)), torch.no_grad():
        twin = copy.deepcopy(toy)
        assert torch.equal(twin(clip()), toy(clip()))
        twin.enter.weight.mul_(3)
        changed = twin(clip())
    with torch.no_grad():
        assert torch.equal(twin(clip()), changed) and not torch.equal(toy(clip()), changed)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda toy, scales: attach(toy, QuantPlan.uniform(["nowhere"]), scales), "no layer is named 'nowhere'"),
        (lambda toy, scales: toy.mix(clip().repeat(1, 2, 1, 1).int()), "not a floating-point tensor"),
        (lambda toy, scales: attach(toy, QuantPlan.uniform(["mix"]), scales), "quantized already"),
        (lambda toy, scales: toy.gate(torch.zeros(1, 6)), "gate: there is no activation scale"),
        (lambda toy, scales: toy.enter(clip()), "enter: its scale has 8 bits, the plan wants 4"),
    ],
)
def test_mistakes_are_named(wrong: Callable[[Recurrent, Any], object], message: str) -> None:
    toy, scale = model(), Scale.activation(0.1, 0, 8)
    plan = QuantPlan({"mix": LayerPlan(8, 8), "gate": LayerPlan(8, 8), "enter": LayerPlan(8, 4)})
    with quantized(toy, plan, {"mix": scale, "enter": scale}), pytest.raises(UsageError, match=message):
        wrong(toy, {"mix": scale})


def test_the_codec() -> None:
    """Intra and inter frames of the smallest preset: quantized where asked, and its own bits again afterwards."""
    torch.manual_seed(0)
    codec = Codec(PRESETS["nano"](), load_model("skeleton"))
    with torch.no_grad():
        for p in codec.parameters():
            if p.ndim == 4 and not p.any():
                p.normal_(0, 0.02)  # the last layers, which start as no correction
    y = torch.randint(0, 256, (1, 4, 4)).double().repeat_interleave(8, 1).repeat_interleave(8, 2)
    frame = y, y[:, ::2, ::2], y[:, 1::2, ::2]
    moved = frame[0].roll(1, 2), frame[1], frame[2]
    quality = torch.tensor([24])

    @torch.no_grad()
    def run() -> list[Tensor]:
        state, bits = codec.code_intra(frame, quality)
        states = [*state.picture, bits.sum()]
        state, bits = codec.code_inter(moved, state, quality)
        return [*states, *state.picture, bits.sum()]

    before, output = traces(codec), run()
    stats = observe(codec, call_sites(codec, "int*"), run)
    assert len(stats) > 20
    with quantized(codec, QuantPlan.uniform(list(stats), 3, 3), Calibration(stats)) as attached:
        assert not all(torch.equal(a, b) for a, b in zip(run(), output, strict=True))
        attached.weights = attached.activations = False
        assert all(torch.equal(a, b) for a, b in zip(run(), output, strict=True))
    assert traces(codec) == before and all(torch.equal(a, b) for a, b in zip(run(), output, strict=True))
