"""Quaver's own codec as the laboratory sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from quaver.codec.coefficients import DC_CHANNELS, Levels, code_dc, code_levels
from quaver.codec.decisions import analyse, intra_quality, lagrangian
from quaver.codec.frame_coder import grey
from quaver.codec.symbol_coder import Symbols
from quaver.errors import UsageError
from quaver.lab.analyse.adapter import Grids, Planes, Step
from quaver.lab.analyse.quaver_grids import codec_grids
from quaver.lab.models.codec import Codec, State
from quaver.lab.models.rate import MAGNITUDES, code_lengths
from quaver.lab.models.weights import read_codec, set_integer
from quaver.lab.quant.observers import SiteStats
from quaver.lab.train.objective import distortion
from quaver.runtime.model import QUALITIES, IntegerModel, load_model
from quaver.runtime.picture import Picture

_ENCODER_PARTS = ("encoder", "estimator")


class QuaverAdapter:
    """A `Codec` at a few qualities; operating point i is qualities[i]. The codec is set to floating point (`integer`:
    to the integers of the plan it has), to counting the bits of motion, and to using its encoder's networks.

    R is all that a frame costs: coefficients and vectors as the codec counts them, and what no network touches:
    levels and intra DC, whose bits are table lengths.
    """

    name = "quaver"
    surrogate = "straight-through: rounding noise, levels and vectors fixed"

    def __init__(
        self, codec: Codec, qualities: tuple[int, ...] = (12, 32, 52), use_encoder: bool = True, integer: bool = False
    ) -> None:
        if not qualities or not all(0 <= quality < QUALITIES for quality in qualities):
            raise UsageError(f"qualities {list(qualities)}: one or more of 0 to {QUALITIES - 1} are legal")
        self.module, self.qualities = codec, qualities
        codec.use_encoder = use_encoder
        codec.count_motion = True
        codec.eval()
        set_integer(codec, integer)

    @classmethod
    def load(cls, checkpoint: Path, skeleton: str = "skeleton", qualities: tuple[int, ...] = (12, 32, 52)) -> Self:
        """From weights that `quaver train` wrote."""
        return cls(read_codec(checkpoint, load_model(skeleton)), qualities)

    @property
    def lambdas(self) -> tuple[float, ...]:
        return tuple(lagrangian(quality) for quality in self.qualities)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "preset": asdict(self.module.preset),
            "skeleton": self.module.skeleton.hash.hex(),
            "qualities": list(self.qualities),
            "use_encoder": self.module.use_encoder,
            "largest_magnitude_counted": MAGNITUDES,
        }

    @property
    def modules(self) -> tuple[str, ...]:
        children = self.module.named_children()
        return tuple(f"{top}.{name}" for top, child in children for name, _ in child.named_children())

    @property
    def encoder_only(self) -> tuple[str, ...]:
        return tuple(name for name in self.modules if name.rpartition(".")[2] in _ENCODER_PARTS)

    def role(self) -> str:
        return ""  # intra and inter frames have networks of their own

    def step(self, frame: Planes, state: State | None, points: Tensor) -> Step:
        y, u, v = (plane.double() for plane in frame)
        quality = torch.tensor(self.qualities)[points]
        if state is None:
            quality = torch.tensor([intra_quality(q) for q in quality.tolist()])
            coded, bits = self.module.code_intra((y, u, v), quality)
        else:
            coded, bits = self.module.code_inter((y, u, v), state, quality)
        side = self._side_bits(frame, state, coded, quality.tolist())
        return Step(coded, (bits + side) / frame[0][0].numel(), distortion(coded.picture, (y, u, v)))

    def state_parts(self, state: State) -> Mapping[str, Tensor]:
        y, u, v = state.picture
        latents = np.stack([kept.latents for kept in state.kept])
        vectors = np.stack([kept.vectors for kept in state.kept])
        return {
            "picture": torch.cat([plane.flatten(1) for plane in (y, u, v)], 1).float(),
            "latents": torch.from_numpy(latents).float() / 64,
            "vectors": torch.from_numpy(vectors).float(),
        }

    def with_state_parts(self, state: State, parts: Mapping[str, Tensor]) -> State:
        picture, kept = state.picture, state.kept
        if "picture" in parts:
            sizes = [plane[0].numel() for plane in picture]
            flat = parts["picture"].double().round().clamp(0, 255).split(sizes, 1)
            y, u, v = (part.reshape(plane.shape) for part, plane in zip(flat, picture, strict=True))
            picture = y, u, v
        if "latents" in parts:
            latents = (64 * parts["latents"]).round().numpy().astype(np.int32)
            kept = tuple(replace(old, latents=new) for old, new in zip(kept, latents, strict=True))
        if "vectors" in parts:
            vectors = parts["vectors"].round().numpy().astype(np.int16)
            kept = tuple(replace(old, vectors=new) for old, new in zip(kept, vectors, strict=True))
        return replace(state, picture=picture, kept=kept)

    def grids(self, stats: Mapping[str, SiteStats], bits: int) -> Grids:
        return codec_grids(self.module, stats, bits)

    def _side_bits(self, frame: Planes, past: State | None, coded: State, quality: list[int]) -> Tensor:
        """(B,) bits of what no network touches."""
        model = self.module.skeleton
        before = [None] * len(coded.kept) if past is None else [kept.levels for kept in past.kept]
        bits = [_level_bits(now.levels, last, model) for now, last in zip(coded.kept, before, strict=True)]
        if past is None:
            pictures = zip(*(plane.numpy() for plane in frame), strict=True)
            dc = [_dc_bits(Picture(*planes), q, model) for planes, q in zip(pictures, quality, strict=True)]
            bits = [a + b for a, b in zip(bits, dc, strict=True)]
        return torch.tensor(bits)


class _Counter:
    """A SymbolCoder that adds up code lengths."""

    def __init__(self, model: IntegerModel) -> None:
        self.model, self.bits = model, 0.0

    def code(self, symbols: Symbols | None, indices: np.ndarray[Any, np.dtype[np.uint8]]) -> Symbols:
        assert symbols is not None
        lengths = code_lengths(self.model.tables)
        tables = np.minimum(indices, len(lengths) - 1)
        self.bits += float(lengths[tables, np.abs(symbols)].sum())
        return symbols


def _dc_bits(picture: Picture, quality: int, model: IntegerModel) -> float:
    shape = picture.blocks
    dc = np.rint(analyse(picture, grey(shape), model, quality)[DC_CHANNELS]).astype(np.int32)
    counter = _Counter(model)
    code_dc(counter, dc, shape)
    return counter.bits


def _level_bits(now: Levels, last: Levels | None, model: IntegerModel) -> float:
    counter = _Counter(model)
    rows, columns = now.shape[1:]
    code_levels(counter, now, last, (rows, columns))
    return counter.bits
