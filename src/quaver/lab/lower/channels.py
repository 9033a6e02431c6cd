"""Convolutions whose channels are stored in several codes or with limits of their own, in the operations that profile 1
has.

A split channel is two channels: the first keeps its place, the second follows after all others. A depthwise
convolution that writes such a pair reads a copy of its input channel there. Limits of single channels are depthwise
1x1 convolutions with weights 1 that move the codes to the end of the tensor's range, where they are cut off, and back.
Zero-points of single channels are in the biases of who writes the tensor and of who reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from quaver.lab.models.layers import Conv
from quaver.lab.models.sites import Site
from quaver.runtime import graph


@dataclass(frozen=True, slots=True)
class Arrays:
    """Of a convolution in a graph."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.float32]
    groups: int


def convolution(conv: Conv, source: Site, target: Site, copies: tuple[int, ...]) -> Arrays:
    """`copies`: output channels that follow once more after all others, for a depthwise layer that splits them."""
    weight, bias, multiplier = (tensor.detach() for tensor in conv.integers(source, target))
    if source.split:
        weight = torch.cat([weight, weight[:, list(source.split)]], 1)
    apart = source.apart()
    if apart is not None:  # of 1x1 convolutions alone: padding has one code
        bias = bias - (weight * _pieces(source, apart)[None, :, None, None]).sum((1, 2, 3))
    again = list(target.split or copies)
    other = bias[again]
    if target.split:
        multiplier, shift = target.halves(multiplier)
        bias, other = bias + shift, other - shift[again]
    moves = target.moves(multiplier)
    if moves is not None:
        bias, other = bias + moves, other + moves[again]
    groups = 1 if conv.groups == 1 else conv.groups + len(again)
    rows = torch.cat([weight, weight[again]]), torch.cat([bias, other]), torch.cat([multiplier, multiplier[again]])
    return _arrays(*rows, groups)


def entry(conv: Conv, source: Site) -> tuple[Arrays, Arrays | None]:
    """The source's codes brought to the layer's own grid, depthwise; and second halves of split channels, from all."""
    assert conv.entry is not None
    site = conv.entry
    gain, multiplier = (tensor.detach() for tensor in conv.entry_integers(source))
    channels = len(gain)
    if not site.split:
        moves = site.moves(multiplier)
        bias = torch.zeros_like(gain) if moves is None else moves
        return _arrays(gain[:, None, None, None], bias, multiplier, channels), None
    half, shift = site.halves(multiplier)
    moves = site.moves(half)
    moves = torch.zeros_like(shift) if moves is None else moves
    again = list(site.split)
    second = torch.diag(gain)[again][:, :, None, None]
    return (
        _arrays(gain[:, None, None, None], moves + shift, half, channels),
        _arrays(second, (moves - shift)[again], half[again], 1),
    )


def limited(name: str, site: Site, copies: tuple[int, ...], x: str, y: str) -> list[graph.Conv]:
    """Tensor x with every channel's own limits as y; nothing where all channels have the tensor's."""
    if site.channel_bits is None:
        return []
    apart = site.apart()
    low, high = ((limit if apart is None else limit + apart).cpu().numpy().astype(np.int32) for limit in site.limits())
    again = list(site.split or copies)
    above, below = site.high - site.zero - high, low - (site.low - site.zero)
    moves = [above, -above - below] + ([below] if below.any() else [])
    moves = [np.concatenate([move, move[again]]).astype(np.int32) for move in moves]
    if not any(move.any() for move in moves):
        return []
    channels = len(moves[0])
    ones, same = np.ones((channels, 1, 1, 1), np.int8), np.ones(channels, np.float32)
    names = [f"{name}.limit{number}" for number in range(len(moves))]
    return [
        graph.Conv(each, read, made, ones, move, same, site.zero, site.zero, channels, site.low, site.high)
        for each, read, made, move in zip(names, [x, *names], [*names[:-1], y], moves, strict=False)
    ]


def _pieces(site: Site, values: torch.Tensor) -> torch.Tensor:
    """(C,) values of channels to those of their codes: second halves of split channels follow."""
    return torch.cat([values, values[list(site.split)]])


def _arrays(weight: torch.Tensor, bias: torch.Tensor, multiplier: torch.Tensor, groups: int) -> Arrays:
    return Arrays(
        np.ascontiguousarray(weight.cpu().numpy().astype(np.int8)),
        bias.cpu().numpy().astype(np.int32),
        multiplier.cpu().numpy().astype(np.float32),
        groups,
    )
