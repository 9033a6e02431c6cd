"""Biases that make up for what integers move in the mean.

Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019, section 4.2, in
its empirical form: per output channel the mean of what a layer computes before it is stored, in floating point less in
integers, is added to the bias, in the order of calls, so that a layer sees corrected earlier ones. Both see the same
frames after the same past ones, those of floating point. Changed: J in closed loop decides whether all of the
correction stays, half of it, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.codec.decisions import intra_quality
from quaver.lab.lower.sequence_loss import SequenceLoss, coding
from quaver.lab.models.codec import Codec, State
from quaver.lab.models.layers import Conv
from quaver.lab.models.sites import Site
from quaver.lab.models.weights import set_integer
from quaver.lab.train.objective import Sequence as Frames
from quaver.lab.train.objective import code_sequence
from quaver.lab.twin.transform import Planes

See = Callable[[str, Conv, Tensor, Site, Site], None]

STRENGTHS = 1.0, 0.5
_SEQUENCES = 8  # at most, whose frames are coded at once


@dataclass(frozen=True)
class Corrected:
    """before, after: J / R. strength: the share of the mean error that is corrected; 0 where J did not fall."""

    before: float
    after: float
    strength: float


@dataclass(frozen=True)
class Known:
    """What floating point did: frames without a past one and their quality, frames with the state before them and
    theirs, and the mean of what each layer computed, (O,) by name."""

    first: Planes
    first_quality: Tensor
    later: Planes
    past: State
    quality: Tensor
    means: dict[str, Tensor]


def correct_biases(codec: Codec, floating: Codec, sequences: Sequence[Frames], judge: SequenceLoss) -> Corrected:
    """Correct the biases of a codec that has a plan, in place. floating: the same weights without one. sequences: of
    one size. Layers that no frame calls stay as they are: those of the MotionEstimator."""
    before = judge(codec)
    start = {conv: conv.bias.detach().clone() for conv in _layers(codec).values()}
    correct_means(codec, known(floating, sequences[:_SEQUENCES]))
    whole = {conv: conv.bias.detach().clone() for conv in start}
    best, strength = before, 0.0
    for tried in STRENGTHS:
        _set(start, whole, tried)
        found = judge(codec)
        if found < best:
            best, strength = found, tried
    _set(start, whole, strength)
    return Corrected(before, best, strength)


@torch.no_grad()
def known(codec: Codec, sequences: Sequence[Frames]) -> Known:
    """Of a codec in floating point and sequences of one size."""
    set_integer(codec, False)
    sums: dict[str, list[Tensor]] = {}
    first, later = [], []

    def note(name: str, conv: Conv, x: Tensor, source: Site, target: Site) -> None:
        sums.setdefault(name, []).append(computed(conv, x, source, target))

    with coding(codec), watched(codec, note):
        for sequence in sequences:
            first.append((sequence.frame(0), _intra(sequence.quality)))
            states = [state for state, _ in code_sequence(codec, sequence)]
            later += [(sequence.frame(t + 1), state, sequence.quality) for t, state in enumerate(states[:-1])]
    means = {name: torch.stack(parts).mean(0) for name, parts in sums.items()}
    pasts = [state for _, state, _ in later]
    past = State(_joined([state.picture for state in pasts]), tuple(kept for state in pasts for kept in state.kept))
    return Known(
        _joined([frame for frame, _ in first]),
        torch.cat([quality for _, quality in first]),
        _joined([frame for frame, _, _ in later]),
        past,
        torch.cat([quality for _, _, quality in later]),
        means,
    )


@torch.no_grad()
def correct_means(codec: Codec, known: Known) -> None:
    """Biases of a codec that has a plan with which every layer computes `known.means`, in place: all frames at once, so
    that a layer is corrected when it is called and the next one sees it."""
    set_integer(codec, True)

    def correct(name: str, conv: Conv, x: Tensor, source: Site, target: Site) -> None:
        error = known.means[name] - computed(conv, x, source, target)
        conv.bias.add_((error * (conv.weight_limit > 0)).float())

    with coding(codec), watched(codec, correct):
        codec.code_intra(known.first, known.first_quality)
        codec.code_inter(known.later, known.past, known.quality)


def computed(conv: Conv, x: Tensor, source: Site, target: Site) -> Tensor:
    """(O,) means of what a convolution computes before it is stored: real values, float64."""
    if not conv.integer:
        y = F.conv2d(x, conv.weight, conv.bias, padding=conv.kernel // 2, groups=conv.groups)
        return y.double().mean((0, 2, 3))
    sums, multiplier = conv.accumulate(x, source, target)
    return sums.double().mean((0, 2, 3)) * multiplier.double() * target.steps().double()


def _set(start: dict[Conv, Tensor], whole: dict[Conv, Tensor], strength: float) -> None:
    with torch.no_grad():
        for conv, bias in start.items():
            conv.bias.copy_(torch.lerp(bias, whole[conv], strength))


def _layers(codec: Codec) -> dict[str, Conv]:
    return {name: module for name, module in codec.named_modules() if isinstance(module, Conv)}


@contextmanager
def watched(codec: Codec, see: See) -> Iterator[None]:
    """see(name, convolution, input, source, target) before each call."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def before(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            assert isinstance(module, Conv)
            see(name, module, *arguments)

        return before

    hooks = [conv.register_forward_pre_hook(hook(name)) for name, conv in _layers(codec).items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _intra(quality: Tensor) -> Tensor:
    return torch.tensor([intra_quality(each) for each in quality.tolist()])


def _joined(frames: Sequence[Planes]) -> Planes:
    y, u, v = (torch.cat(planes) for planes in zip(*frames, strict=True))
    return y, u, v
