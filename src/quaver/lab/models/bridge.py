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
from quaver.codec import decisions
from quaver.codec.coefficients import DC_CHANNELS, Levels, table_indices
from quaver.codec.frame_coder import grey
from quaver.codec.motion_search import search_motion
from quaver.lab.twin.transform import Planes
from quaver.runtime import network_inputs
from quaver.runtime.activity import activity_mask
from quaver.runtime.companding import compand
from quaver.runtime.model import IntegerModel
from quaver.runtime.picture import Picture
from quaver.runtime.transform import CHANNELS
from quaver.runtime.warp import compensate

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Kept:
    """What the integer codec keeps of one example's last frame, beside the picture."""

    vectors: NDArray[np.int16]
    latents: NDArray[np.int32]
    levels: Levels


@dataclass(frozen=True)
class Prepared:
    """What is known before the latents: prediction and network inputs."""

    prediction: Planes  # as integers, without gradient
    vectors: Tensor  # (B, h8, w8, 2)
    picture_planes: Tensor  # port grid
    prediction_planes: Tensor
    quality_plane: Tensor
    carried: Tensor | None
    vector_planes: Tensor | None
    past_levels: tuple[Levels | None, ...]


@dataclass(frozen=True)
class Known:
    """What is known before the symbols."""

    inputs: Tensor
    levels: tuple[Levels, ...]
    base_index: Tensor  # (B, 96, h8, w8)
    coded: Tensor  # bool: a symbol is coded here
    coded_channels: Tensor  # 0 for intra DC, whose mean the pyramid gives


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2)


def _map(function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
    return list(_pool().map(function, *arguments))


def port(planes: Sequence[Bytes]) -> Tensor:
    """Stacked u8 planes as real numbers on the port grid."""
    return (torch.from_numpy(np.stack(planes)).float() - 128) / 64


def _pictures(planes: Planes) -> list[Picture]:
    y, u, v = (plane.detach().numpy().astype(np.uint8) for plane in planes)
    return [Picture(*parts) for parts in zip(y, u, v, strict=True)]


def _stack(planes: Sequence[tuple[NDArray[np.int32], ...]]) -> Planes:
    y, u, v = (torch.from_numpy(np.stack(parts)).double() for parts in zip(*planes, strict=True))
    return y, u, v


def intra(frame: Planes, quality: Tensor, model: IntegerModel) -> Prepared:
    """Grey prediction; the networks see a smooth picture through the DC symbols."""
    pictures, shape = _pictures(frame), (frame[0].shape[1] // 8, frame[0].shape[2] // 8)

    def one(picture: Picture, q: int) -> tuple[Bytes, Bytes, Bytes]:
        steps = model.channel_steps(q)
        scaled = decisions.analyse(picture, grey(shape), model, q)
        dc = np.rint(scaled[DC_CHANNELS]).astype(np.int32)
        smooth = network_inputs.smooth_from_dc(dc, steps[DC_CHANNELS, 0, 0])
        return (
            _transformed(picture, steps),
            network_inputs.coefficient_planes(smooth, steps),
            network_inputs.quality_plane(q, shape),
        )

    done = _map(one, pictures, quality.tolist())
    vectors = torch.zeros(len(pictures), *shape, 2, dtype=torch.int16)
    picture, prediction, plane = (port(planes) for planes in zip(*done, strict=True))
    return Prepared(
        _stack([grey(shape)] * len(pictures)),
        vectors,
        picture,
        prediction,
        plane,
        None,
        None,
        (None,) * len(pictures),
    )


def inter(frame: Planes, past: Planes, kept: Sequence[Kept], quality: Tensor, model: IntegerModel) -> Prepared:
    """Motion search and prediction on the decoded pictures."""
    shape = (frame[0].shape[1] // 8, frame[0].shape[2] // 8)

    def one(picture: Picture, reference: Picture, last: Kept, q: int) -> tuple[Any, ...]:
        steps = model.channel_steps(q)
        vectors = search_motion(picture.y, reference.y, last.vectors, decisions.motion_bit_cost(q))
        prediction = compensate(reference, vectors)
        return (
            prediction,
            vectors,
            _transformed(picture, steps),
            network_inputs.coefficient_planes(prediction, steps),
            network_inputs.quality_plane(q, shape),
            compand(network_inputs.carry_latents(last.latents, vectors)),
            network_inputs.vector_planes(vectors),
        )

    done = _map(one, _pictures(frame), _pictures(past), list(kept), quality.tolist())
    prediction, vectors, *planes = zip(*done, strict=True)
    picture, past_planes, plane, carried, moved = map(port, planes)
    return Prepared(
        _stack(prediction),
        torch.from_numpy(np.stack(vectors)),
        picture,
        past_planes,
        plane,
        carried,
        moved,
        tuple(last.levels for last in kept),
    )


def _transformed(picture: Picture, steps: NDArray[np.int32]) -> Bytes:
    y, u, v = (plane.astype(np.int32) << 4 for plane in (picture.y, picture.u, picture.v))
    return network_inputs.coefficient_planes((y, u, v), steps)


def coded_channels(kind: FrameKind) -> Tensor:
    """(1, 96, 1, 1): 0 for intra DC, which the pyramid codes, else 1."""
    active = torch.ones(1, CHANNELS, 1, 1)
    if kind == FrameKind.INTRA:
        active[:, DC_CHANNELS] = 0
    return active


def decide(batch: Prepared, latents: Tensor, quality: Tensor, kind: FrameKind, model: IntegerModel) -> Known:
    """Activity levels, and with them the tables to start from."""
    table = model.intra_levels if kind == FrameKind.INTRA else model.inter_levels

    def one(scaled: NDArray[np.float32], q: int, past: Levels | None) -> tuple[Levels, Bytes]:
        levels = decisions.choose_activity(scaled, model, q, kind, past)
        return levels, table_indices(levels, table)

    done = _map(one, list(latents.float().numpy()), quality.tolist(), batch.past_levels)
    levels = tuple(level for level, _ in done)
    index = torch.from_numpy(np.stack([base for _, base in done]))
    planes = [batch.prediction_planes, port([network_inputs.level_planes(level) for level in levels])]
    if batch.carried is not None and batch.vector_planes is not None:
        planes += [batch.carried, batch.vector_planes]
    active = coded_channels(kind)
    return Known(
        torch.cat([*planes, batch.quality_plane], 1), levels, index.float(), (index > 0) & (active > 0), active
    )


def quantize(latents: Tensor, means: Tensor, levels: Sequence[Levels], kind: FrameKind) -> Tensor:
    """Symbols (B, 96, h8, w8), float64."""

    def one(scaled: decisions.Scaled, mean: decisions.Scaled, level: Levels) -> NDArray[np.int32]:
        return decisions.quantize(scaled, mean, level, kind)

    symbols = _map(one, list(latents.float().numpy()), list((means / 64).float().numpy()), list(levels))
    return torch.from_numpy(np.stack(symbols)).double()


def activity(symbols: Tensor, batch: Prepared, kind: FrameKind) -> Tensor:
    """(B, 1, h8, w8) of 0 and 1, float64."""
    if kind == FrameKind.INTRA:
        return torch.ones(symbols.shape[0], 1, *symbols.shape[2:], dtype=torch.float64)
    pairs = zip(symbols.numpy().astype(np.int32), batch.vectors.numpy(), strict=True)
    return torch.from_numpy(np.stack([activity_mask(*pair) for pair in pairs]))[:, None].double()


def companded(latents: Tensor) -> Tensor:
    return port(list(compand(latents.numpy().astype(np.int32))))


def keep(latents: Tensor, known: Known, batch: Prepared) -> tuple[Kept, ...]:
    """For the next frame; an intra frame's latents are of another kind and not handed on."""
    values = latents.numpy().astype(np.int32)
    if batch.carried is None:
        values = np.zeros_like(values)
    parts = zip(batch.vectors.numpy(), values, known.levels, strict=True)
    return tuple(Kept(vectors, kept, levels) for vectors, kept, levels in parts)
