"""Patch bits in training and in the runtime: the same classes, the same bits, on all executors and any size."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.patches import PatchBits
from quaver.lab.models.weights import read_codec, save_weights, set_integer
from quaver.lab.train.objective import code_sequence, run_sequence
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import load_model, read_model, save_model
from quaver.runtime.patches import NETWORKS, PatchTable, round_codes

from .random_plans import STAGE, random_codec
from .test_integer_path import FORMAT, moving, sequence

# Of 2 x 2 x 2 x 3 classes; features of the clips lie on both sides of each.
THRESHOLDS = {"levels": (375,), "motion": (140,), "gradient": (86000,), "change": (60000, 66000)}


def random_table(seed: int) -> PatchTable:
    bits = np.random.default_rng(seed).choice(np.array([0, 0, 1, 3, 6, 8], np.uint8), (24, 3))
    return PatchTable(THRESHOLDS, bits)


@pytest.fixture(scope="module")
def codec() -> Codec:
    codec = random_codec(4)
    calibrate(codec, [sequence(moving(3), 30)], STAGE)
    return codec


@pytest.mark.parametrize("seed", range(3))
def test_training_equals_the_runtime(codec: Codec, seed: int, tmp_path: Path) -> None:
    codec.patches = random_table(seed)
    save_weights(codec, tmp_path / "w.safetensors")
    again = read_codec(tmp_path / "w.safetensors", load_model("skeleton"))
    save_model(lower(again, "patched"), tmp_path / "patched.qvm")
    model = read_model(tmp_path / "patched.qvm")
    frames, quality = moving(5, seed=seed), 24 + 8 * seed
    stream = io.BytesIO()
    with Encoder(stream, FORMAT, quality, model=model, scene_cuts=False, executor="onnx") as encoder:
        for frame in frames:
            encoder.encode(frame)
    decoded = list(Decoder(io.BytesIO(stream.getvalue()), model, "reference", 1))
    set_integer(again, True)
    again.use_encoder = True
    with torch.no_grad():
        for t, (state, _) in enumerate(code_sequence(again, sequence(frames, quality))):
            for plane, name in zip(state.picture, "yuv", strict=True):
                np.testing.assert_array_equal(plane[0].numpy(), getattr(decoded[t], name), f"frame {t}, {name}")


@pytest.mark.parametrize(("width", "height"), [(33, 17), (16, 70), (100, 46)])
def test_odd_sizes_and_threads(codec: Codec, width: int, height: int) -> None:
    codec.patches = random_table(7)
    model = lower(codec, "patched")
    rng = np.random.default_rng(width)
    wide = rng.integers(0, 256, (height + 20, width + 20), np.uint8)
    wide = (wide // 4 + np.roll(wide, 1, 0) // 4 + np.roll(wide, 1, 1) // 4 + np.roll(wide, 2, 1) // 4).astype(np.uint8)
    format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
    stream = io.BytesIO()
    with Encoder(stream, format, 30, model=model, scene_cuts=False, threads=2) as encoder:
        for t in range(4):
            y = wide[t : t + height, 2 * t : 2 * t + width]
            u = np.resize(y[::2, ::2], format.chroma_shape)
            encoder.encode(Frame(y, u, 255 - u, t, format))
    decoded = None
    for name, threads in (("reference", 1), ("onnx", 1), ("onnx", 2), ("onnx-f32", 2)):
        frames = [frame.y for frame in Decoder(io.BytesIO(stream.getvalue()), model, name, threads)]
        decoded = decoded or frames
        np.testing.assert_array_equal(np.stack(frames), np.stack(decoded), f"{name} {threads}")


@pytest.mark.parametrize("network", NETWORKS)
def test_rounding_is_the_runtimes_and_gradients_pass(network: str) -> None:
    rng = np.random.default_rng(1)
    side = 16 if network == "inter.loop" else 4
    codes = rng.integers(0, 256, (5, 2 * side, 3 * side), np.uint8)
    bits = rng.permutation(np.array([0, 1, 2, 5, 7, 8], np.uint8)).reshape(2, 3)
    wide = bits.repeat(side, 0).repeat(side, 1)
    patches = PatchBits(torch.from_numpy(np.stack([bits] * 3))[None].float())
    for scale in (None, torch.tensor(0.013), torch.linspace(0.001, 0.03, 5)):
        unit = np.float32(1 / 64) if scale is None else scale.reshape(-1, 1, 1).numpy()
        x = torch.from_numpy((codes.astype(np.float32) - 128) * unit)[None].requires_grad_()
        read = patches.read(network, x, scale)
        got = np.rint(read[0].detach().numpy() / unit) + 128
        np.testing.assert_array_equal(got, round_codes(codes, wide))
        read.sum().backward()
        np.testing.assert_array_equal(x.grad[0].numpy(), np.broadcast_to(wide > 0, codes.shape))


def test_floating_point_trains_with_patches_too(codec: Codec) -> None:
    free = random_codec(4)
    whole = run_sequence(free, sequence(moving(3), 30), STAGE).cost
    free.patches = PatchTable(THRESHOLDS, np.full((24, 3), 8, np.uint8))
    assert run_sequence(free, sequence(moving(3), 30), STAGE).cost == whole
    free.patches = PatchTable(THRESHOLDS, np.full((24, 3), 3, np.uint8))
    outcome = run_sequence(free, sequence(moving(3), 30), STAGE)
    outcome.loss.backward()
    assert outcome.cost != whole
    gradient = free.inter.loop.enter.weight.grad
    assert gradient is not None and bool(torch.isfinite(gradient).all()) and bool(gradient.any())
