"""A clip's groups of frames coded with a patch table and without: what `compare_patches.py` compares.

A clip is several groups of one intra and some inter frames, coded at every quality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
from measure_patches import WATCHED, Watch, cost, decode, encode
from numpy.typing import NDArray

from quaver.codec import frame_coder
from quaver.evaluate.run import read_clip
from quaver.lab.allocate.patch_table import Operations
from quaver.media.frame import Frame
from quaver.runtime.model import IntegerModel
from quaver.runtime.patches import FULL, NETWORKS, PatchTable, patch_features


class Classes:
    """In place of `patch_bits`: counts classes on the way."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros(classes)

    def __call__(self, table: PatchTable, *known) -> NDArray[np.uint8]:
        classes = table.classify(patch_features(*known))
        self.counts += np.bincount(classes.ravel(), minlength=len(self.counts))
        return WATCHED(table, *known)


@dataclass(frozen=True)
class Point:
    """A group at a quality. j, rate: of the whole file, per luma sample."""

    j: float
    rate: float
    stream: bytes


@dataclass(frozen=True)
class Result:
    """Of a table on a clip. zeta: by group. skipped, saved: shares of multiplications left out at best, of bit
    operations saved. model: with the table; streams: what it coded."""

    zeta: NDArray[np.float64]
    bits: float
    skipped: float
    saved: float
    model: IntegerModel
    streams: Sequence[bytes]


class Clip:
    """A clip's groups, coded without a table, and the shares of its patches in each class."""

    def __init__(
        self,
        path: Path,
        model: IntegerModel,
        thresholds: Mapping[str, tuple[int, ...]],
        groups: int,
        frames: int,
        qualities: Sequence[int],
    ) -> None:
        whole = read_clip(path, 10_000)
        apart = (len(whole) - frames) // max(1, groups - 1)
        self.groups = [whole[apart * number :][:frames] for number in range(groups)]
        self.model, self.qualities = replace(model, patches=None), qualities
        classes = math.prod(len(own) + 1 for own in thresholds.values())
        full = PatchTable(thresholds, np.full((classes, len(NETWORKS)), FULL, np.uint8))
        watch = Classes(classes)
        with mock.patch.object(frame_coder, "patch_bits", watch):
            self._points = self._coded(replace(model, patches=full))
        self.shares = watch.counts / watch.counts.sum()
        self._weights = Watch(model).weights

    def streams(self) -> list[bytes]:
        """Files without a table."""
        plain = [[encode(frames, self.model, quality) for quality in self.qualities] for frames in self.groups]
        return [stream for group in plain for stream in group]

    def average(self, table: PatchTable) -> float:
        """Bits that `table`, with the thresholds of the classes that were counted, would have on average."""
        return float(self.shares @ (table.bits @ self._weights))

    def run(self, table: PatchTable) -> Result:
        """Coded with it."""
        own, watch = replace(self.model, patches=table), Watch(self.model)
        with mock.patch.object(frame_coder, "patch_bits", watch):
            points = self._coded(own)
        zeta = [
            np.mean([(a.j - b.j) / b.rate for a, b in zip(group, plain, strict=True)])
            for group, plain in zip(points, self._points, strict=True)
        ]
        bits, skipped = watch.averages()
        saved = 1 - _bops(watch.maps, own) / _bops([np.full((3, 1, 1), FULL, np.uint8)], own)
        return Result(np.array(zeta), bits, skipped, saved, own, [p.stream for group in points for p in group])

    def _coded(self, model: IntegerModel) -> list[list[Point]]:
        """By group and quality."""
        return [[_point(frames, model, quality) for quality in self.qualities] for frames in self.groups]


def _point(frames: Sequence[Frame], model: IntegerModel, quality: int) -> Point:
    stream = encode(frames, model, quality)
    with mock.patch.object(frame_coder, "patch_bits", WATCHED):  # what the encoder saw is enough
        decoded, _ = decode(stream, model)
    return Point(*cost(frames, decoded, len(stream), quality), stream)


def _bops(maps: Sequence[NDArray[np.uint8]], model: IntegerModel) -> float:
    """Of the three networks, mean over patches, per 8x8 block."""
    total = 0.0
    for number, name in enumerate(NETWORKS):
        own = Operations.of(name, model.graphs[name])
        of_bits = np.array([own.bops(bits) for bits in range(FULL + 1)], float)
        total += float(np.mean([of_bits[bits[number]].mean() for bits in maps]))
    return total
