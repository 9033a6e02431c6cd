"""Motion in training: the bits that it counts are those that the runtime codes, and old weights go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from quaver.codec.frame_coder import State
from quaver.codec.motion_coder import code_vectors, encode_motion
from quaver.codec.networks import prepare
from quaver.codec.symbol_coder import Symbols
from quaver.errors import ModelError
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.memory import Kept
from quaver.lab.models.rate import code_lengths
from quaver.lab.models.weights import load_weights, read_codec, save_weights, set_integer, weights_hash
from quaver.lab.train.objective import run_sequence
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import IntegerModel, load_model
from quaver.runtime.picture import Picture

from .test_integer_path import codec, moving, sequence

__all__ = ["codec"]  # the fixture: corrections are random
ROWS, COLUMNS, QUALITY = 8, 12, 21


class Counter:
    """A symbol coder that only sums code lengths; what names tables counts nothing."""

    def __init__(self, model: IntegerModel) -> None:
        self.model, self.bits, self.lengths = model, 0.0, code_lengths(model.tables)

    def code(self, symbols: Symbols | None, indices: NDArray[np.uint8]) -> Symbols:
        assert symbols is not None
        if (indices != self.model.selector).all():
            self.bits += float(self.lengths[indices, np.abs(symbols)].sum(dtype=np.float64))
        return symbols


def vectors(rng: np.random.Generator, reach: int) -> NDArray[np.int16]:
    coarse = rng.integers(-reach, reach + 1, (ROWS // 4, COLUMNS // 4, 2)).repeat(4, 0).repeat(4, 1)
    return (coarse + rng.integers(-1, 2, (ROWS, COLUMNS, 2))).astype(np.int16)


@pytest.mark.parametrize("reach", [0, 3, 40, 1020])
def test_vectors_and_their_bits_equal_the_runtime(codec: Codec, reach: int) -> None:
    rng = np.random.default_rng(reach)
    engine = prepare(lower(codec, "random"), "reference", encoding=True)
    past, now = vectors(rng, reach), vectors(rng, reach)
    levels = rng.integers(0, 5, (2, ROWS // 2, COLUMNS // 2)).astype(np.int32)
    grey = np.full((8 * ROWS, 8 * COLUMNS), 128, np.uint8)
    picture = Picture(grey, grey[::2, ::2], grey[::2, ::2])
    state = State(picture, past, levels, np.zeros((96, ROWS, COLUMNS), np.int32))
    expected = encode_motion(now, engine, state, QUALITY)
    counter = Counter(engine.model)
    code_vectors(counter, engine, expected, state, QUALITY)

    set_integer(codec, True)
    kept, quality = (Kept(past, state.latents, levels),), torch.tensor([QUALITY])
    with torch.no_grad():
        motion = codec.motion(torch.from_numpy(now)[None].float(), kept, quality, True)
        bits = codec.motion.bits(motion, kept, quality, codec.tables)
    np.testing.assert_array_equal(motion.vectors[0].numpy(), expected)
    assert (expected != now).any() and np.abs(expected).max() <= 1023
    assert bits.item() == pytest.approx(counter.bits, rel=1e-5)


def test_a_motion_stage_trains_motion_alone() -> None:
    torch.manual_seed(0)
    fresh = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
    outcomes = {}
    for trains in (("inter",), ("motion",)):
        for name, parameter in fresh.named_parameters():
            parameter.requires_grad_(name.startswith(trains))
            parameter.grad = None
        outcomes[trains] = run_sequence(fresh, sequence(moving(3), 30), Stage("s", 1, 3, trains, encoder=True))
        outcomes[trains].loss.backward()
    learning = {name for name, p in fresh.named_parameters() if p.grad is not None and p.grad.any()}
    heads = "average.index", "detail.index", "detail.mean", "encoder.correction", "estimator.vectors"
    assert all(name.startswith("motion.") for name in learning)
    assert {f"motion.{head}.weight" for head in heads} <= learning
    plain, counted = outcomes.values()  # vectors count, and nothing else differs
    assert counted.distortion == plain.distortion and counted.rate > plain.rate


def test_weights_from_before_motion_go_on(codec: Codec, tmp_path: Path) -> None:
    fresh = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
    save_weights(fresh, tmp_path / "new.safetensors")
    old = {key: value for key, value in load_file(tmp_path / "new.safetensors").items() if "motion." not in key}
    save_file(old, tmp_path / "old.safetensors")
    other = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
    load_weights(other, tmp_path / "old.safetensors")
    assert torch.equal(other.inter.entropy.trunk.enter.weight, fresh.inter.entropy.trunk.enter.weight)
    assert not other.motion.detail.mean.weight.any()
    save_file(old, tmp_path / "named.safetensors", {"preset": json.dumps(fresh.preset.__dict__)})
    codecs = [read_codec(tmp_path / "named.safetensors", load_model("skeleton")) for _ in range(2)]
    assert len({weights_hash(each) for each in codecs}) == 1 and codecs[0].motion.detail.trunk.enter.weight.any()
    old.pop("inter.entropy.index.bias")
    save_file(old, tmp_path / "cut.safetensors")
    with pytest.raises(ModelError, match=r"inter\.entropy\.index\.bias"):
        load_weights(other, tmp_path / "cut.safetensors")
