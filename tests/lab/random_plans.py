"""Random codecs, random plans for them (bits per layer, channel, group; pruned channels, splits, fitted zero-points,
scales that layers share), random patch tables and picture sizes, and whether all that computes the same everywhere. For
tests and scripts/try_random_plans.py."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product
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
from quaver.media.frame import VideoFormat
from quaver.runtime.model import load_model, read_model, save_model
from quaver.runtime.patches import FULL, NETWORKS, PatchTable
from quaver.runtime.picture import Picture, crop, pad, plain_format

from .test_integer_path import moving, sequence

STAGE = Stage("calibration", 1, 3, encoder=True)
EXECUTORS, THREADS = ("reference", "onnx", "onnx-f32"), (1, 2)
TYPICAL = {"levels": 375, "motion": 140, "gradient": 86000, "change": 63000}  # of patches of `moving`


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


def random_patches(seed: int) -> PatchTable | None:
    """Up to two thresholds of each feature where patches lie, any bits; none for a quarter of the seeds."""
    rng = np.random.default_rng((seed, 1))
    if rng.random() < 0.25:
        return None
    thresholds, classes = {}, 1
    for feature, typical in TYPICAL.items():
        count = int(rng.integers(0, 3))
        thresholds[feature] = tuple(sorted({int(typical * rng.uniform(0.6, 1.4)) for _ in range(count)}))
        classes *= len(thresholds[feature]) + 1
    return PatchTable(thresholds, rng.integers(0, FULL + 1, (classes, len(NETWORKS)), np.uint8))


def random_format(seed: int) -> VideoFormat:
    """A size up to 78x62 whose sides no multiple of 16 is, and often no multiple of 2."""
    rng = np.random.default_rng((seed, 2))
    width, height = (int(rng.choice([n for n in range(low, high) if n % 16])) for low, high in ((37, 79), (27, 63)))
    return plain_format(width, height)


def assert_exact(codec: Codec, plan: QuantPlan, tmp_path: Path, seed: int) -> Codec:
    """Training, executors and files agree: each of `EXECUTORS` decodes with each of `THREADS` what "onnx" encoded, and
    training computes it; scales and clips being as training would leave them. The codec as its file has it."""
    calibrate(codec, [sequence(moving(3), 30)], STAGE, plan)
    for name, parameter in codec.named_parameters():
        if name.endswith(("log_gain", "log_clip")):
            torch.nn.init.normal_(parameter, std=0.1)
    save_weights(codec, tmp_path / "w.safetensors")
    again = read_codec(tmp_path / "w.safetensors", load_model("skeleton"))
    assert again.plan == plan
    save_model(lower(again, "random"), tmp_path / "random.qvm")
    model, format = read_model(tmp_path / "random.qvm"), random_format(seed)
    assert model.profile == (1 if codec.patches is None else 2)
    frames = moving(4, seed, format)
    stream = io.BytesIO()
    with Encoder(stream, format, 28, model=model, scene_cuts=False, executor="onnx") as encoder:
        for frame in frames:
            encoder.encode(frame)
    decoded = list(Decoder(io.BytesIO(stream.getvalue()), model, EXECUTORS[0], THREADS[0]))
    for name, threads in list(product(EXECUTORS, THREADS))[1:]:
        for frame, other in zip(decoded, Decoder(io.BytesIO(stream.getvalue()), model, name, threads), strict=True):
            for plane in "yuv":
                where = f"{format.width}x{format.height}, {name}, {threads} threads, {plane}"
                np.testing.assert_array_equal(getattr(frame, plane), getattr(other, plane), where)
    set_integer(codec, True)
    codec.use_encoder = True
    with torch.no_grad():
        for t, (state, _) in enumerate(code_sequence(codec, sequence(map(pad, frames), 28))):
            seen = crop(Picture(*(plane[0].numpy() for plane in state.picture)), format, t)
            for name in "yuv":
                np.testing.assert_array_equal(getattr(seen, name), getattr(decoded[t], name), f"frame {t}, {name}")
    return again
