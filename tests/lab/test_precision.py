"""A random plan (bits per layer, channel, group; splits) computes the same in training, executors and files."""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.errors import ModelError, UsageError
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.layers import Conv, hidden
from quaver.lab.models.precision import shape_for
from quaver.lab.models.weights import read_codec, save_weights, set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.train.objective import code_sequence, run_sequence
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import load_model, read_model, save_model

from .test_integer_path import FORMAT, moving, sequence

NARROW = "inter.decoder.trunk.blocks.0.narrow"
STAGE = Stage("calibration", 1, 3, encoder=True)


def random_codec(seed: int) -> Codec:
    torch.manual_seed(seed)
    codec = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
    for name, parameter in codec.named_parameters():
        if any(part in name for part in ("index", "mean", "correction")) and parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=0.05)
    return codec


def random_plan(codec: Codec, seed: int) -> QuantPlan:
    rng = np.random.default_rng(seed)
    layers = {}
    for name, wire in wiring(codec).items():
        conv = wire.conv
        inputs, outputs = conv.weight.shape[1] * conv.groups, conv.weight.shape[0]
        each = tuple(int(b) for b in rng.choice([0, 2, 3, 4, 7], outputs)) if rng.random() < 0.3 else None
        if each is not None and not any(each):
            each = None
        weight = max(each) if each else int(rng.integers(2, 8))
        count = int(rng.integers(2, 5))
        groups = tuple(int(g) for g in rng.permutation(np.arange(inputs) % count)) if rng.random() < 0.3 else None
        # What a 1x1 layer alone reads may have 16 bits.
        wide = conv.kernel == conv.groups == 1 and not wire.source.shared and rng.random() < 0.5
        activation = int(rng.integers(9, 17)) if wide else int(rng.integers(2, 9))
        mixed = None
        if groups and not wide and rng.random() < 0.5:
            mixed = (*(int(b) for b in rng.integers(2, activation + 1, max(groups))), activation)
        can = conv.groups == 1 and not wide and rng.random() < 0.3
        some = rng.permutation(inputs)[: rng.integers(1, 4)] if can else ()
        splits = tuple(int(c) for c in some)
        own_grid = not wire.source.shared or activation < 8 or groups or splits
        affine = bool(own_grid and not wide and rng.random() < 0.4)
        if affine and mixed and conv.kernel > 1:  # not both
            mixed = None
        layers[name] = LayerPlan(weight, activation, each, groups, splits, mixed, affine)
    shared = random_sharing(codec, layers, rng)
    return QuantPlan(layers, "random", shared=shared)


def random_sharing(codec: Codec, layers: dict[str, LayerPlan], rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """Two to five layers that share a scale, here and there; they get the same activation bits."""
    kinds: dict[tuple[bool, bool], list[str]] = {}
    for name, wire in wiring(codec).items():
        if layers[name].groups is None and not layers[name].split and not layers[name].affine:
            kinds.setdefault((wire.source.zero == 0, (layers[name].activation_bits or 0) > 8), []).append(name)
    shared = []
    for (_, wide), names in kinds.items():
        left = [str(name) for name in rng.permutation(names)]
        while len(left) > len(names) // 3:
            count = int(rng.integers(2, 6))
            sites, left = left[:count], left[count:]
            if len(sites) > 1:
                bits = int(rng.integers(9, 17) if wide else rng.integers(2, 8))
                layers.update({site: replace(layers[site], activation_bits=bits) for site in sites})
                shared.append(tuple(sites))
    return tuple(shared)


@pytest.mark.parametrize("seed", range(3))
def test_a_random_plan_is_exact(seed: int, tmp_path: Path) -> None:
    codec = random_codec(seed)
    plan = random_plan(codec, seed)
    assert any((layer.activation_bits or 0) > 8 for layer in plan.layers.values())
    assert any(layer.affine and layer.groups for layer in plan.layers.values())
    assert {(layer.activation_bits or 0) > 8 for sites in plan.shared for layer in map(plan.layer, sites)} == {
        True,
        False,
    }
    assert_exact(codec, plan, tmp_path, seed)


def assert_exact(codec: Codec, plan: QuantPlan, tmp_path: Path, seed: int) -> Codec:
    """Training, executors and files agree, scales and clips being as training would leave them. The codec as its file
    has it."""
    calibrate(codec, [sequence(moving(3), 30)], STAGE, plan)
    for name, parameter in codec.named_parameters():
        if name.endswith(("log_gain", "log_clip")):
            torch.nn.init.normal_(parameter, std=0.1)
    save_weights(codec, tmp_path / "w.safetensors")
    again = read_codec(tmp_path / "w.safetensors", load_model("skeleton"))
    assert again.plan == plan
    save_model(lower(again, "random"), tmp_path / "random.qvm")
    model = read_model(tmp_path / "random.qvm")
    frames = moving(4, seed=seed)
    stream = io.BytesIO()
    with Encoder(stream, FORMAT, 28, model=model, scene_cuts=False, executor="onnx") as encoder:
        for frame in frames:
            encoder.encode(frame)
    decoded = list(Decoder(io.BytesIO(stream.getvalue()), model, "reference"))
    for name in ("onnx", "onnx-f32"):
        for frame, other in zip(decoded, Decoder(io.BytesIO(stream.getvalue()), model, name), strict=True):
            np.testing.assert_array_equal(frame.y, other.y, name)
    set_integer(codec, True)
    codec.use_encoder = True
    with torch.no_grad():
        for t, (state, _) in enumerate(code_sequence(codec, sequence(frames, 28))):
            for plane, name in zip(state.picture, "yuv", strict=True):
                np.testing.assert_array_equal(plane[0].numpy(), getattr(decoded[t], name), f"frame {t}, {name}")
    return again


def test_a_shared_scale_stays_one_in_training() -> None:
    """Of a stored input and of one that a layer brings to its grid: fitted on both, learned as one parameter."""
    codec = random_codec(0)
    names = ("inter.decoder.trunk.blocks.0.leave", "inter.decoder.trunk.blocks.0.widen")
    plan = QuantPlan.uniform(list(wiring(codec)), 7, 6)
    alone = random_codec(0)
    calibrate(alone, [sequence(moving(3), 30)], STAGE, plan)
    calibrate(codec, [sequence(moving(3), 30)], STAGE, replace(plan, shared=(names,)))
    own, grids = ([wiring(each)[name].grid for name in names] for each in (alone, codec))
    assert min(site.scale for site in own) <= grids[0].scale == grids[1].scale <= max(site.scale for site in own)
    gains = [name for name, _ in codec.named_parameters() if name.endswith("log_gain")]
    assert len(gains) == len([name for name, _ in alone.named_parameters() if name.endswith("log_gain")]) - 1
    set_integer(codec, True)
    optimizer = torch.optim.SGD(codec.parameters(), 1.0)
    before = grids[0].steps().item()
    run_sequence(codec, sequence(moving(3), 30), replace(STAGE, integer=True)).loss.backward()
    optimizer.step()
    assert grids[0].steps().item() != before
    twin = copy.deepcopy(codec)
    for each in (codec, twin):
        first, second = (wiring(each)[name].grid for name in names)
        assert torch.equal(first.steps(), second.steps())
    wiring(twin)[names[0]].grid.scale.mul_(2)
    first, second = (wiring(twin)[name].grid for name in names)
    assert torch.equal(first.steps(), second.steps()) and not torch.equal(second.steps(), grids[1].steps())


def test_sixteen_bits_are_nearer_to_floating_point() -> None:
    """What a layer computes from 16 bits differs less from the float layer than from 8 bits, by far more than half."""
    torch.manual_seed(0)
    x = torch.rand(1, 32, 8, 8) * 3
    losses = []
    for bits in (8, 12, 16):
        conv, source, target = Conv(32, 16), hidden(True), hidden(False)
        torch.manual_seed(1)
        # Weights that are whole steps, so that the input's rounding alone is seen.
        steps = torch.randint(-63, 64, conv.weight.shape).float()
        steps[:, 0] = 63
        conv.weight.data, conv.integer = steps / 500, True
        source.set_bits(bits)
        target.set_bits(16)
        source.scale.fill_(4 / (2**bits - 1))
        target.scale.fill_(2.0**-13)
        exact = torch.nn.functional.conv2d(x, conv.weight, conv.bias)
        losses.append(
            float((conv(torch.round(x / source.scale) * source.scale, source, target) - exact).detach().std())
        )
    assert losses[0] > 10 * losses[1] > 30 * losses[2]


def test_two_bytes_sum_and_learn_as_one_product() -> None:
    """float32(acc), rounded once; gradients of the whole code, weight and bias."""
    torch.manual_seed(0)
    conv = Conv(200, 4)
    codes = torch.randint(-(1 << 15), 1 << 15, (1, 200, 5, 6)).float().requires_grad_()
    weight = torch.randint(-63, 64, (4, 200, 1, 1)).float().requires_grad_()
    bias = torch.randint(-(1 << 29), 1 << 29, (4,)).float().requires_grad_()
    sums = conv._byte_sums(codes, weight, bias)
    exact = conv._sums(codes.double(), weight.double(), bias.double())
    assert torch.equal(sums, exact.float())
    pull = torch.randint(-3, 4, sums.shape)
    inputs = [codes, weight, bias]
    for ours, whole in zip(
        torch.autograd.grad((sums * pull).sum(), inputs),
        torch.autograd.grad((exact * pull).sum(), inputs),
        strict=True,
    ):
        assert torch.equal(ours, whole)


def test_an_accumulator_without_proof_names_its_layer() -> None:
    codec = random_codec(0)
    calibrate(codec, [sequence(moving(2), 30)], STAGE, QuantPlan({NARROW: LayerPlan(7, 16)}))
    graph = lower(codec, "m").graphs["inter.decoder"]
    wide = {conv.name: conv for conv in graph.convolutions()}
    assert (wide["trunk.0.widen"].y_bytes, wide["trunk.0.narrow"].x_bytes) == (2, 2)
    conv = wide["trunk.0.narrow"]
    broken = replace(conv, bias=np.full_like(conv.bias, (1 << 31) - 1))
    with pytest.raises(ModelError, match=r"'trunk.0.narrow': an accumulator can reach .* not below 2\*\*31"):
        replace(graph, nodes=tuple(broken if node is conv else node for node in graph.nodes))


def test_fewer_bits_make_smaller_files(tmp_path: Path) -> None:
    sizes = []
    for bits in (7, 4):
        codec = random_codec(0)
        calibrate(codec, [sequence(moving(2), 30)], STAGE, QuantPlan.uniform(list(wiring(codec)), bits, 8))
        model = lower(codec, "m")
        assert max(np.abs(conv.weight).max() for g in model.graphs.values() for conv in g.convolutions()) <= 63
        save_model(model, tmp_path / f"{bits}.qvm")
        sizes.append((tmp_path / f"{bits}.qvm").stat().st_size)
    weights = sum(conv.weight.numel() for conv in codec.modules() if isinstance(conv, Conv))
    assert sizes[0] - sizes[1] > 0.9 * weights * 3 / 8


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (LayerPlan(8, 8), "8 weight bits; profile 1 runs 2 to 7"),
        (LayerPlan(None, 8), "float weight bits"),
        (LayerPlan(4, 9), "9 activation bits; profile 1 runs 9 to 16 where the input is this layer's own"),
        (LayerPlan(4, None), "float activation bits"),
        (LayerPlan(4, 8, (4, 4)), "2 output channels"),
        (LayerPlan(4, 8, None, (0, 1)), "2 input channels"),
        (LayerPlan(4, 8, None, None, (999,)), "0 to [0-9]+ are legal"),
        (LayerPlan(4, 8, None, None, (1, 1)), "different ones"),
    ],
)
def test_what_profile_1_cannot_run_is_refused(layer: LayerPlan, said: str) -> None:
    codec = random_codec(0)
    name = next(iter(wiring(codec)))
    with pytest.raises(UsageError, match=said):
        shape_for(codec, QuantPlan({name: layer}))
    mix = "inter.decoder.trunk.blocks.0.mix"
    with pytest.raises(UsageError, match="depthwise"):
        shape_for(random_codec(0), QuantPlan({mix: LayerPlan(4, 8, split=(1,))}))
    for refused, why in (
        ({mix: LayerPlan(7, 16)}, f"{mix}: 16 activation bits; profile 1 runs 9 to 16 in 1x1 layers alone"),
        ({NARROW: LayerPlan(7, 16, split=(1,))}, "none split"),
        ({NARROW: LayerPlan(7, 16, None, (0, 1) * 16, (), (16, 8))}, "bits of its own"),
    ):
        with pytest.raises(UsageError, match=why):
            shape_for(random_codec(0), QuantPlan(refused))
    wires = wiring(random_codec(0))
    signed, relu, reader = (
        next(name for name, wire in wires.items() if (wire.source.shared, wire.source.zero) == kind)
        for kind in ((False, 128), (False, 0), (True, 128))
    )
    for refused, why in (
        ((signed, relu), "zero-point"),
        ((signed, reader), f"{reader}: its input is stored for several layers"),
    ):
        eight = QuantPlan(dict.fromkeys(refused, LayerPlan(7, 8)), shared=(refused,))
        with pytest.raises(UsageError, match=why):
            shape_for(random_codec(0), eight)
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        shape_for(random_codec(0), QuantPlan({"nowhere": LayerPlan(4, 8)}))
