"""Training in integer mode and the runtime compute the same bits, the encoder's decisions included."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.weights import set_integer
from quaver.lab.train.objective import Sequence, code_sequence
from quaver.lab.train.recipes import Stage
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import load_model, read_model, save_model
from quaver.runtime.picture import Picture

FORMAT = VideoFormat(64, 48, Fraction(25), Fraction(1, 25))


def moving(frames: int, seed: int = 0, format: VideoFormat = FORMAT) -> list[Frame]:
    """A textured picture that slides, with a brighter square that goes its own way."""
    rng, height, width = np.random.default_rng(seed), format.height, format.width
    wide = rng.integers(0, 256, (height + 12, width + 26)).astype(np.float64)
    for _ in range(3):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1) + np.roll(wide, -1, 0)) / 4
    wide = np.clip((wide - wide.mean()) * 5 + 120, 0, 255).astype(np.uint8)
    result = []
    for t in range(frames):
        y = wide[t % 8 : t % 8 + height, t % 20 : t % 20 + width].copy()
        y[10 + t % 16 : 26 + t % 16, 20:36] = 200
        u = (y[::2, ::2] // 2 + 60).astype(np.uint8)
        result.append(Frame(y, u, 255 - u, t, format))
    return result


def sequence(frames: Iterable[Frame | Picture], quality: int) -> Sequence:
    frames = list(frames)
    planes = (torch.from_numpy(np.stack([getattr(f, name) for f in frames]))[None] for name in "yuv")
    return Sequence(*planes, torch.tensor([quality]))


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    """A codec whose corrections are random, so that every path matters."""
    torch.manual_seed(3)
    codec = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
    for name, parameter in codec.named_parameters():
        if any(part in name for part in ("index", "mean", "correction", "vectors")) and parameter.ndim == 4:
            # Corrections of motion begin to act at half a quarter sample.
            torch.nn.init.normal_(parameter, std=0.2 if name.startswith("motion.") else 0.05)
    stage = Stage("calibration", 1, 3, encoder=True)
    calibrate(codec, [sequence(moving(3), 30)], stage)
    yield codec


@pytest.mark.parametrize(("quality", "motion"), [(12, "search"), (40, "search"), (25, "network"), (30, "seeded")])
def test_forward_pass_equals_the_runtime(codec: Codec, quality: int, motion: str, tmp_path) -> None:
    frames = moving(6, seed=quality)
    save_model(lower(codec, "random"), tmp_path / "random.qvm")
    model = read_model(tmp_path / "random.qvm")
    stream = io.BytesIO()
    with Encoder(stream, FORMAT, quality, model=model, scene_cuts=False, executor="reference", motion=motion) as e:
        for frame in frames:
            e.encode(frame)
    stream.seek(0)
    decoded = list(Decoder(stream, model, executor="onnx"))

    set_integer(codec, True)
    codec.use_encoder, codec.estimator = True, motion
    with torch.no_grad():
        for t, (state, _) in enumerate(code_sequence(codec, sequence(frames, quality))):
            for plane, name in zip(state.picture, "yuv", strict=True):
                np.testing.assert_array_equal(plane[0].numpy(), getattr(decoded[t], name), f"frame {t}, {name}")


def test_untrained_corrections_change_nothing() -> None:
    """A codec before training codes exactly what the skeleton codes."""
    skeleton = load_model("skeleton")
    model = lower(Codec(Preset(16, 1, 1, 1, 1, 8), skeleton), "untrained")
    records = {}
    for name, each in (("skeleton", skeleton), ("untrained", model)):
        with Encoder(io.BytesIO(), FORMAT, 30, model=each) as encoder:
            coded = [encoder.encode(frame) for frame in moving(4)]
        records[name] = [(record.payload, record.checksum) for record in coded]
    assert records["skeleton"] == records["untrained"]
