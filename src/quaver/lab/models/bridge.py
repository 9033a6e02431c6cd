"""Between torch and the integer codec: the encoder's decisions and the networks' inputs, example by example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quaver.bitstream.record import FrameKind
from quaver.codec import decisions, frame_coder
from quaver.codec.coefficients import DC_CHANNELS, Levels, table_indices
from quaver.codec.motion_search import search_motion
from quaver.lab.twin.transform import Planes
from quaver.runtime import network_inputs
from quaver.runtime.activity import activity_mask
from quaver.runtime.companding import compand
from quaver.runtime.model import IntegerModel
from quaver.runtime.picture import Picture
from quaver.runtime.transform import CHANNELS

Bytes = NDArray[np.uint8]
Vectors = NDArray[np.int16]


@dataclass(frozen=True)
class Seen:
    """Port planes of a frame: transforms (B, 96, h8, w8) of the picture and of its prediction, in an intra frame the
    smooth picture through the DC symbols; quality (B, 1, h8, w8)."""

    picture: Tensor
    prediction: Tensor
    quality: Tensor


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2)


def each(function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
    """`function` of every example, on two threads where torch may have more than one: on a busy machine handing over
    costs more than it brings."""
    if torch.get_num_threads() == 1:
        return list(map(function, *arguments))
    return list(_pool().map(function, *arguments))


def port(planes: Sequence[Bytes]) -> Tensor:
    """Stacked u8 planes as real numbers on the port grid."""
    return (torch.from_numpy(np.stack(planes)).float() - 128) / 64


def pictures(planes: Planes) -> list[Picture]:
    y, u, v = (plane.detach().numpy().astype(np.uint8) for plane in planes)
    return [Picture(*parts) for parts in zip(y, u, v, strict=True)]


def vectors_of(vectors: Tensor) -> Vectors:
    """(B, h8, w8, 2)"""
    moved: Vectors = vectors.detach().numpy().astype(np.int16)
    return moved


def grey(frame: Planes) -> Planes:
    """The prediction of an intra frame, 4 fractional bits."""
    y, u, v = (torch.full_like(plane, 128 << 4, dtype=torch.float64) for plane in frame)
    return y, u, v


def see_intra(frame: Planes, quality: Tensor, model: IntegerModel) -> Seen:
    """What the networks of an intra frame see before its latents."""

    def one(picture: Picture, q: int) -> tuple[Bytes, Bytes, Bytes]:
        steps = model.channel_steps(q)
        scaled = decisions.analyse(picture, frame_coder.grey(picture.blocks), model, q)
        dc = np.rint(scaled[DC_CHANNELS]).astype(np.int32)
        smooth = network_inputs.smooth_from_dc(dc, steps[DC_CHANNELS, 0, 0])
        return _planes(picture, smooth, q, steps)

    return Seen(*map(port, zip(*each(one, pictures(frame), quality.tolist()), strict=True)))


def see_inter(frame: Planes, prediction: Planes, quality: Tensor, model: IntegerModel) -> Seen:
    """What the networks of an inter frame see before its latents."""
    predicted = zip(*(plane.detach().numpy().astype(np.int32) for plane in prediction), strict=True)

    def one(picture: Picture, samples: tuple[NDArray[np.int32], ...], q: int) -> tuple[Bytes, Bytes, Bytes]:
        return _planes(picture, samples, q, model.channel_steps(q))

    return Seen(*map(port, zip(*each(one, pictures(frame), list(predicted), quality.tolist()), strict=True)))


def _planes(picture: Picture, prediction: Any, quality: int, steps: NDArray[np.int32]) -> tuple[Bytes, Bytes, Bytes]:
    return (
        network_inputs.picture_planes(picture, steps),
        network_inputs.coefficient_planes(prediction, steps),
        network_inputs.quality_plane(quality, picture.blocks),
    )


def search(frame: Planes, past: Planes, last: Sequence[Vectors], quality: Tensor, seed: Tensor | None = None) -> Tensor:
    """The block search on the decoded past: vectors (B, h8, w8, 2) in quarter samples."""

    def one(picture: Picture, reference: Picture, previous: Vectors, q: int, first: Vectors | None) -> Vectors:
        return search_motion(picture.y, reference.y, previous, decisions.motion_bit_cost(q), first)

    seeds = [None] * len(last) if seed is None else list(vectors_of(seed))
    found = each(one, pictures(frame), pictures(past), list(last), quality.tolist(), seeds)
    return torch.from_numpy(np.stack(found)).float()


def coded_channels(kind: FrameKind) -> Tensor:
    """(1, 96, 1, 1): 0 for intra DC, which the pyramid codes, else 1."""
    active = torch.ones(1, CHANNELS, 1, 1)
    if kind == FrameKind.INTRA:
        active[:, DC_CHANNELS] = 0
    return active


def choose_levels(
    latents: Tensor,
    error: Tensor,
    quality: Tensor,
    kind: FrameKind,
    model: IntegerModel,
    past: Sequence[Levels | None],
) -> tuple[tuple[Levels, ...], Tensor]:
    """Activity levels for latents that stand for `error`, both (B, 96, h8, w8), and the tables (B, 96, h8, w8) that the
    networks' corrections start from."""
    table = model.intra_levels if kind == FrameKind.INTRA else model.inter_levels

    def one(scaled: decisions.Scaled, plain: decisions.Scaled, q: int, before: Levels | None) -> tuple[Levels, Bytes]:
        levels = decisions.choose_activity(scaled, model, q, kind, before, plain)
        return levels, table_indices(levels, table)

    scaled, plain = (list(values.detach().float().numpy()) for values in (latents, error))
    levels, index = zip(*each(one, scaled, plain, quality.tolist(), list(past)), strict=True)
    return levels, torch.from_numpy(np.stack(index)).float()


def level_planes(levels: Sequence[Levels]) -> Tensor:
    return port([network_inputs.level_planes(level) for level in levels])


def quantize(latents: Tensor, means: Tensor, levels: Sequence[Levels], kind: FrameKind) -> Tensor:
    """Symbols (B, 96, h8, w8), float64."""

    def one(scaled: decisions.Scaled, mean: decisions.Scaled, level: Levels) -> NDArray[np.int32]:
        return decisions.quantize(scaled, mean, level, kind)

    scaled, means = latents.detach().float(), (means.detach() / 64).float()
    symbols = each(one, list(scaled.numpy()), list(means.numpy()), list(levels))
    return torch.from_numpy(np.stack(symbols)).double()


def activity(symbols: Tensor, vectors: Tensor) -> Tensor:
    """The activity mask of inter frames: (B, 1, h8, w8) of 0 and 1, float64."""
    pairs = zip(symbols.numpy().astype(np.int32), vectors_of(vectors), strict=True)
    return torch.from_numpy(np.stack([activity_mask(*pair) for pair in pairs]))[:, None].double()


def companded(latents: Tensor) -> Tensor:
    return port(list(compand(latents.detach().numpy().astype(np.int32))))
