"""Fit the activity levels of a model to training clips.

The clips are coded with the model as it is. Every 16x16 area that holds anything then belongs to the level that
codes it with the fewest bits, every level takes for each channel the table that codes its areas with the fewest
bits, and so on in turn: k-means with code length as the distance. Levels are numbered by the bits they spend, since
numbers are predicted from neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind
from quaver.codec import decisions, frame_coder
from quaver.codec.coefficients import PLANES, without_dc
from quaver.codec.motion_search import search_motion
from quaver.codec.networks import prepare
from quaver.media.reader import open_video
from quaver.runtime import activity
from quaver.runtime.model import IntegerModel
from quaver.runtime.picture import Picture

LEVELS = 24
FRAMES = 8
QUALITIES = range(4, 64, 4)
PER_CLIP = 3  # qualities that one clip is coded at
ROUNDS, ITERATIONS = 2, 12
HEIGHT, WIDTH = 192, 320
SIDE_WEIGHT = 1.0  # of the bits of a level's number

Areas = NDArray[np.uint8]  # (areas, channels, 4) magnitudes 0..63
Lengths = NDArray[np.float32]  # (tables, 64) bits


@dataclass(frozen=True, slots=True)
class Sample:
    """The symbols (96, h8, w8) of one frame."""

    kind: FrameKind
    symbols: NDArray[np.int32]


def fit(model: IntegerModel, clips: Sequence[Path]) -> IntegerModel:
    """`model` with level tables fitted to what `clips` hold when coded with it."""
    for number in range(ROUNDS):
        samples = [sample for index, clip in enumerate(clips) for sample in code_clip(model, clip, index)]
        tables = {
            kind: np.concatenate([_fit_plane(samples, kind, plane, model) for plane in range(2)], axis=1)
            for kind in FrameKind
        }
        model = replace(model, intra_levels=tables[FrameKind.INTRA], inter_levels=tables[FrameKind.INTER])
        print(f"round {number + 1}: {len(samples)} frames")
    return model


def code_clip(model: IntegerModel, clip: Path, index: int) -> list[Sample]:
    """The symbols of the middle of a clip's first frames, at qualities that depend on its index."""
    pictures = _load(clip)
    engine = prepare(model)
    samples = []
    for turn in range(PER_CLIP):
        quality = QUALITIES[(index * PER_CLIP + turn) * 7 % len(QUALITIES)]
        past: Picture | None = None
        vectors = None
        for picture in pictures:
            if past is None:
                kind, prediction = FrameKind.INTRA, frame_coder.grey(picture.blocks)
            else:
                kind = FrameKind.INTER
                vectors = search_motion(picture.y, past.y, vectors, decisions.motion_bit_cost(quality))
                prediction = frame_coder.compensate(past, vectors)
            scaled = decisions.analyse(picture, prediction, model, quality)
            levels = decisions.choose_activity(scaled, model, quality, kind)
            symbols = decisions.quantize(scaled, 0.0, levels, kind)
            samples.append(Sample(kind, without_dc(symbols) if kind == FrameKind.INTRA else symbols))
            mask = activity.activity_mask(symbols, np.zeros((*picture.blocks, 2), np.int16))
            past = frame_coder.reconstruct(model, engine.networks[kind], None, prediction, 64 * symbols, mask, quality)
    return samples


def _load(clip: Path) -> list[Picture]:
    with open_video(clip, slice(0, FRAMES)) as source:
        frames = list(source)
    rows, columns = (
        min(limit, side // 16 * 16) for limit, side in zip((HEIGHT, WIDTH), frames[0].y.shape, strict=True)
    )
    top, left = ((side - size) // 4 * 2 for side, size in zip(frames[0].y.shape, (rows, columns), strict=True))

    def middle(plane: NDArray[np.uint8], part: int) -> NDArray[np.uint8]:
        return plane[top // part : (top + rows) // part, left // part : (left + columns) // part]

    return [Picture(middle(frame.y, 1), middle(frame.u, 2), middle(frame.v, 2)) for frame in frames]


def _fit_plane(samples: Sequence[Sample], kind: FrameKind, plane: int, model: IntegerModel) -> NDArray[np.uint8]:
    """(LEVELS, channels) tables of one plane; row 0 is certain zeros."""
    areas = np.concatenate([_areas(sample.symbols[PLANES[plane]]) for sample in samples if sample.kind == kind])
    lengths = model.code_lengths[: model.selector]
    chosen = fit_tables(areas, lengths, LEVELS - 1)
    return np.concatenate([np.zeros((1, areas.shape[1]), np.uint8), chosen])


def _areas(symbols: NDArray[np.int32]) -> Areas:
    """The 2x2 positions of every area that holds anything."""
    channels, rows, columns = symbols.shape
    split = np.minimum(np.abs(symbols), 63).astype(np.uint8).reshape(channels, rows // 2, 2, columns // 2, 2)
    areas = split.transpose(1, 3, 0, 2, 4).reshape(-1, channels, 4)
    return areas[areas.any((1, 2))]


def fit_tables(areas: Areas, lengths: Lengths, count: int) -> NDArray[np.uint8]:
    """(count, channels) tables for `areas`, in order of growing bits."""
    energy = np.log(areas.sum((1, 2)) + 0.5)
    edges = np.linspace(np.quantile(energy, 0.02), np.quantile(energy, 0.995), count + 1)[1:-1]
    levels = np.searchsorted(edges, energy)
    for _ in range(ITERATIONS):
        tables = _best_tables(areas, levels, lengths, count)
        bits = _bits(areas, tables, lengths)
        share = np.bincount(levels, minlength=count) + 1.0
        levels = (bits - SIDE_WEIGHT * np.log2(share / share.sum())).argmin(1)
    mean = np.array(
        [bits[levels == level, level].mean() if (levels == level).any() else np.inf for level in range(count)]
    )
    print(f"  {len(areas)} areas, {bits.min(1).mean():.2f} bits each; {np.bincount(levels, minlength=count)}")
    return tables[np.argsort(mean, kind="stable")]


def _best_tables(areas: Areas, levels: NDArray[np.intp], lengths: Lengths, count: int) -> NDArray[np.uint8]:
    """For each level and channel the table with the fewest bits; a level without areas repeats the one below."""
    channels = areas.shape[1]
    keys = (levels[:, None, None] * channels + np.arange(channels)[None, :, None]) * 64 + areas
    histograms = np.bincount(keys.ravel(), minlength=count * channels * 64).reshape(count, channels, 64)
    # A little of a narrow prior, so that what has never been seen stays possible at a price.
    prior = 0.3 * np.exp(-2.0 * np.arange(64))
    bits = (histograms + prior) @ lengths[1:].T.astype(np.float64)
    tables = (1 + bits.argmin(-1)).astype(np.uint8)
    for level in range(1, count):
        if not (levels == level).any():
            tables[level] = tables[level - 1]
    return tables


def _bits(areas: Areas, tables: NDArray[np.uint8], lengths: Lengths) -> NDArray[np.float32]:
    """(areas, count) bits of every area at every level."""
    channels = np.arange(areas.shape[1])[None, :, None]
    return np.stack([lengths[row][channels, areas].sum((1, 2)) for row in tables], axis=1)
