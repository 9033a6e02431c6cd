"""A network whose inputs have as many bits as the patch they lie in, and which does not run where that is none.

What is left to compute are bands of patch rows, of each the columns that matter, side by side. A band also holds as
many rows and columns around what is wanted as its outputs depend on, so the integers are those of the whole map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.runtime.executors.protocol import Runner, Tensors
from quaver.runtime.graph import IntegerGraph
from quaver.runtime.patches import FULL, per_position, rounded, rounding


@dataclass(frozen=True, slots=True)
class PatchRunner:
    """`runner` of `graph` for one frame: inputs rounded to `bits` (patch rows, patch columns), outputs mid-scale where
    those are 0. ``side``: positions of a patch in each direction."""

    runner: Runner
    graph: IntegerGraph
    bits: NDArray[np.uint8]
    side: int

    def run(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        height, width = next(iter(inputs.values())).shape[1:]
        if self.bits.min() == FULL:
            return self.runner.run(inputs)
        half, kept, on = (
            per_position(each, self.side, (height, width))[None]
            for each in (*rounding(self.bits), np.where(self.bits > 0, 255, 0).astype(np.uint8))
        )
        if self.bits.all():
            return self.runner.run({name: rounded(codes, half, kept) for name, codes in inputs.items()})
        outputs = {port.name: np.full((port.channels, height, width), 128, np.uint8) for port in self.graph.outputs}
        for band in bands(self.bits > 0, self.side, (height, width), self.graph.halo()):
            rule = band.cut(half), band.cut(kept)
            part = self.runner.run({name: rounded(band.cut(codes), *rule) for name, codes in inputs.items()})
            for name, codes in part.items():
                band.paste(codes, outputs[name])
        for codes in outputs.values():
            codes &= on
            codes |= ~on & 128
        return outputs

    def trace(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        """Every tensor, without rounding."""
        return self.runner.trace(inputs)


@dataclass(frozen=True, slots=True)
class Band:
    """Rows top..bottom of a map are wanted; they depend on rows first..last and on `columns`, several ranges."""

    top: int
    bottom: int
    first: int
    last: int
    columns: tuple[slice, ...]

    def cut(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the network reads, of a whole map (C, h, w)."""
        return np.concatenate([codes[:, self.first : self.last, part] for part in self.columns], axis=2)

    def paste(self, result: NDArray[np.uint8], codes: NDArray[np.uint8]) -> None:
        """The network's output into a whole map; near the ends of its columns it is not what the whole map's is."""
        rows, place = result[:, self.top - self.first : self.bottom - self.first], 0
        for part in self.columns:
            count = part.stop - part.start
            codes[:, self.top : self.bottom, part] = rows[:, :, place : place + count]
            place += count


def bands(active: NDArray[np.bool_], side: int, shape: tuple[int, int], halo: int) -> list[Band]:
    """Bands of patch rows that hold all `active` patches (patch rows, patch columns), `side` positions each way, of a
    map of `shape`, and have the least area in all; one band less is worth a hundredth of the map."""
    height, width = shape
    edges = [*range(0, height, side), height]
    masks = [_needed(row, side, width, halo) for row in active.tolist()]
    best = [(0, 0)]  # above each edge: area of all bands, and where the last of them starts
    for end in range(1, len(edges)):
        columns, found = 0, []
        for start in reversed(range(end)):
            columns |= masks[start]
            first, last = _reach(edges[start], edges[end], halo, height)
            area = (last - first) * columns.bit_count() + height * width // 100 if columns else 0
            found.append((best[start][0] + area, start))
        best.append(min(found))
    result, end = [], len(active)
    while end:
        start = best[end][1]
        columns = 0
        for mask in masks[start:end]:
            columns |= mask
        if columns:
            top, bottom = edges[start], edges[end]
            result.append(Band(top, bottom, *_reach(top, bottom, halo, height), _ranges(columns)))
        end = start
    return result


def _needed(row: list[bool], side: int, width: int, halo: int) -> int:
    """Bit x is set where column x is needed for the patches of a row."""
    result = 0
    for number, wanted in enumerate(row):
        if wanted:
            left, right = max(0, number * side - halo), min(width, (number + 1) * side + halo)
            result |= (1 << right) - (1 << left)
    return result


def _ranges(columns: int) -> tuple[slice, ...]:
    """The runs of set bits."""
    found, place = [], 0
    while columns:
        skipped = (columns & -columns).bit_length() - 1
        columns >>= skipped
        count = (~columns & (columns + 1)).bit_length() - 1
        columns >>= count
        found.append(slice(place + skipped, place + skipped + count))
        place += skipped + count
    return tuple(found)


def _reach(top: int, bottom: int, halo: int, height: int) -> tuple[int, int]:
    """The rows that rows top..bottom depend on."""
    return max(0, top - halo), min(height, bottom + halo)
