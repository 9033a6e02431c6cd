"""EMA weights of training in integers, in the very configuration of that training, and real files: the same pixels over
32 frames in closed loop, the encoder's decisions included."""

from __future__ import annotations

import io
from dataclasses import replace
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quaver.bitstream.record import FrameKind
from quaver.codec import decisions
from quaver.codec import encoder as encoding
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import CodedFrame, Encoder
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import train
from quaver.lab.train.objective import Sequence, code_sequence
from quaver.lab.train.recipes import Recipe, Stage
from quaver.media.frame import Frame
from quaver.media.reader import open_video
from quaver.runtime.model import IntegerModel, load_model

from .test_integer_path import moving

CLIP = Path(str(resources.files("quaver").joinpath("demo/big_buck_bunny.mp4")))
WEIGHTS = Path(__file__).parents[2] / "weights/nano-float.safetensors"
QUALITIES, FRAMES = (12, 40), 32
STAGE = Stage("integer-aware", 2, 3, size=64, batch=2, encoder=True, through_time=True, integer=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """nano's weights after two steps at W4A6; the average over steps, which ships."""
    torch.set_num_threads(1)
    folder, skeleton = tmp_path_factory.mktemp("ema"), load_model("skeleton")
    plan = QuantPlan.uniform(list(wiring(read_codec(WEIGHTS, skeleton))), 4, 6)
    (folder / "videos").mkdir()
    (folder / "videos/clip.mp4").write_bytes(CLIP.read_bytes())
    cache = build_cache(folder / "videos", folder / "cache")
    train(Recipe("ema", "nano", (STAGE,), warmup=1), cache, skeleton, folder / "run", start=WEIGHTS, plan=plan)
    return read_codec(folder / "run/ema.safetensors", skeleton)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """The middle of the demo clip."""
    with open_video(CLIP) as video:
        found = list(islice(video, FRAMES))
    format = replace(found[0].format, width=96, height=80)
    cut = np.s_[40:120, 80:176], np.s_[20:60, 40:88]
    return [Frame(f.y[cut[0]].copy(), f.u[cut[1]].copy(), f.v[cut[1]].copy(), f.pts, format) for f in found]


def decoded(frames: list[Frame], quality: int, model: IntegerModel) -> list[Frame]:
    stream = io.BytesIO()
    with Encoder(stream, frames[0].format, quality, gop=FRAMES, model=model, scene_cuts=False) as encoder:
        for frame in frames:
            encoder.encode(frame)
    return list(Decoder(io.BytesIO(stream.getvalue()), model))


def test_the_training_forward_pass_is_the_file(
    trained: Codec, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gradients, in a batch of two qualities. What training does not have is the encoder's last resort, to repeat
    a frame where the bytes that it has written cost more than they bring; that is off here."""
    monkeypatch.setattr(encoding, "_unless_repeating_costs_less", lambda coded, *_: coded)
    model = lower(trained, "ema")
    planes = (torch.from_numpy(np.stack([getattr(f, name) for f in frames]))[None].repeat(2, 1, 1, 1) for name in "yuv")
    trained.train()
    set_integer(trained, True)
    trained.use_encoder = STAGE.encoder
    files = [decoded(frames, quality, model) for quality in QUALITIES]
    for t, (state, bits) in enumerate(code_sequence(trained, Sequence(*planes, torch.tensor(QUALITIES)), True)):
        assert bits.requires_grad
        for row, file in enumerate(files):
            for plane, name in zip(state.picture, "yuv", strict=True):
                got = plane[row].detach().numpy()
                where = f"quality {QUALITIES[row]}, frame {t}, {name}"
                np.testing.assert_array_equal(got, getattr(file[t], name), where)
    assert t == FRAMES - 1


@pytest.mark.parametrize(
    ("clip", "quality"), [("demo", 12), ("demo", 40), ("moving", 12), ("moving", 40), ("cut", 12), ("cut", 40)]
)
def test_with_scene_cuts_and_repeated_frames(
    trained: Codec, frames: list[Frame], clip: str, quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder as it ships. Training looks for neither: it is the file up to the first of them, which is all of a
    clip that moves, and told of them, it is the file to the end: symbols, and what a frame leaves for the next."""
    if clip != "demo":
        frames = moving(FRAMES)
    if clip == "cut":
        frames = [*frames[:10], *moving(FRAMES, seed=9)[10:]]
    model, resort = lower(trained, "ema"), encoding._unless_repeating_costs_less
    symbols, decide = list[np.ndarray](), decisions.quantize
    cuts, repeats = list[int](), list[int]()

    def recorded(*arguments: Any) -> np.ndarray:
        symbols.append(decide(*arguments))
        return symbols[-1]

    def last_resort(coded: CodedFrame, *rest: Any) -> CodedFrame:
        chosen = resort(coded, *rest)
        if chosen is not coded:
            repeats.append(t)
        return chosen

    monkeypatch.setattr(decisions, "quantize", recorded)
    monkeypatch.setattr(encoding, "_unless_repeating_costs_less", last_resort)
    states, coded = [], []
    with Encoder(io.BytesIO(), frames[0].format, quality, gop=FRAMES, model=model) as encoder:
        for t, frame in enumerate(frames):
            if encoder.encode(frame).kind == FrameKind.INTRA and t:
                cuts.append(t)
            states.append(encoder._state)
            coded.append(symbols[-1])
    alike = min([*cuts, *repeats, FRAMES])
    # The demo clip rests here and there; where exactly depends on its two steps of training.
    assert {"demo": bool(repeats), "moving": alike == FRAMES, "cut": cuts == [10] and not repeats}[clip]
    trained.eval()
    set_integer(trained, True)
    trained.use_encoder = STAGE.encoder
    planes = (torch.from_numpy(np.stack([getattr(f, name) for f in frames]))[None] for name in "yuv")
    sequence = Sequence(*planes, torch.tensor([quality]))
    with torch.no_grad():
        for t, (state, _) in enumerate(code_sequence(trained, sequence, cuts=cuts, repeats=repeats)):
            where = f"frame {t}; the first {alike} without being told"
            if t not in repeats:
                np.testing.assert_array_equal(symbols[-1], coded[t], where)
            for plane, name in zip(state.picture, "yuv", strict=True):
                np.testing.assert_array_equal(plane[0].numpy(), getattr(states[t].picture, name), where)
            for name in ("vectors", "levels", "latents"):
                np.testing.assert_array_equal(getattr(state.kept[0], name), getattr(states[t], name), where)
    assert t == FRAMES - 1
