"""Random codecs, random plans for them (bits per layer, channel, group; pruned channels, splits, fitted zero-points,
scales that layers share), and whether such a plan computes the same everywhere. For tests and
scripts/try_random_plans.py."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.weights import read_codec, save_weights, set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.train.objective import code_sequence
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import load_model, read_model, save_model

from .test_integer_path import FORMAT, moving, sequence

STAGE = Stage("calibration", 1, 3, encoder=True)
REFERENCE, OTHERS = "reference", ("onnx", "onnx-f32")  # executors


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


def assert_exact(codec: Codec, plan: QuantPlan, tmp_path: Path, seed: int) -> Codec:
    """Training, executors and files agree: `REFERENCE` and `OTHERS` decode what "onnx" encoded, and training computes
    it; scales and clips being as training would leave them. The codec as its file has it."""
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
    decoded = list(Decoder(io.BytesIO(stream.getvalue()), model, REFERENCE))
    for name in OTHERS:
        for frame, other in zip(decoded, Decoder(io.BytesIO(stream.getvalue()), model, name), strict=True):
            for plane in "yuv":
                np.testing.assert_array_equal(getattr(frame, plane), getattr(other, plane), f"{name}, {plane}")
    set_integer(codec, True)
    codec.use_encoder = True
    with torch.no_grad():
        for t, (state, _) in enumerate(code_sequence(codec, sequence(frames, 28))):
            for plane, name in zip(state.picture, "yuv", strict=True):
                np.testing.assert_array_equal(plane[0].numpy(), getattr(decoded[t], name), f"frame {t}, {name}")
    return again
