"""A random plan (bits per layer, channel, group; splits) computes the same in training, executors and files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.errors import UsageError
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.layers import Conv
from quaver.lab.models.precision import shape_for
from quaver.lab.models.weights import read_codec, save_weights, set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.train.objective import code_sequence
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import load_model, read_model, save_model

from .test_integer_path import FORMAT, moving, sequence

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
        activation = int(rng.integers(2, 9))
        mixed = None
        if groups and rng.random() < 0.5:
            mixed = (*(int(b) for b in rng.integers(2, activation + 1, max(groups))), activation)
        some = rng.permutation(inputs)[: rng.integers(1, 4)] if conv.groups == 1 and rng.random() < 0.3 else ()
        layers[name] = LayerPlan(weight, activation, each, groups, tuple(int(c) for c in some), mixed)
    return QuantPlan(layers, "random")


@pytest.mark.parametrize("seed", range(3))
def test_a_random_plan_is_exact(seed: int, tmp_path: Path) -> None:
    codec = random_codec(seed)
    plan = random_plan(codec, seed)
    calibrate(codec, [sequence(moving(3), 30)], STAGE, plan)
    # Scales and clips as training would leave them.
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
        (LayerPlan(4, 9), "9 activation bits"),
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
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        shape_for(random_codec(0), QuantPlan({"nowhere": LayerPlan(4, 8)}))
