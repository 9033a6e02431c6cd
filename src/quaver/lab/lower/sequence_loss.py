"""What a codec loses on the sequences that calibrate it: J in closed loop, as a number and with a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from quaver.codec.decisions import lagrangian
from quaver.lab.analyse.closed_loop import AnalysisError
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import set_integer
from quaver.lab.train.objective import Sequence as Frames
from quaver.lab.train.objective import code_sequence, distortion

_FRAMES, _SIDE = 3, 96  # of what one step of learning sees of a sequence
_ALIGNED = 16  # samples, of crops


class SequenceLoss:
    """The mean over all examples of J / R, with R what the example costs in floating point: what is more than
    `floating` is zeta on these sequences. All frames count with the lambda of the example's quality.

    Both codecs: the encoder's networks in use, vectors found by search, their bits counted. Examples that cost nothing,
    such as crops of one colour, have no share and do not count. AnalysisError where J is not a number, or where no
    example costs anything."""

    def __init__(self, codec: Codec, sequences: Sequence[Frames], seed: int = 0) -> None:
        """codec: in floating point, without a plan; frames of the sequences have sides of at least 32 samples."""
        set_integer(codec, False)
        self.sequences, self.seed = list(sequences), seed
        with torch.no_grad(), coding(codec):
            found = [_costs(codec, sequence) for sequence in self.sequences]
        self._rates = [rate for rate, _ in found]
        if not any(bool((rate > 0).any()) for rate in self._rates):
            raise AnalysisError("the clips cost no bits: steps after calibration need some that move or have texture")
        self.floating = self._mean([cost for _, cost in found])

    @torch.no_grad()
    def __call__(self, codec: Codec) -> float:
        """In integers, with real rounding, on all sequences; the same each time."""
        set_integer(codec, True)
        with coding(codec):
            return self._mean([_costs(codec, sequence)[1] for sequence in self.sequences])

    def surrogate(self, codec: Codec, step: int) -> Tensor:
        """In integers, with gradient through time, straight through what is rounded: the first frames of a part of one
        sequence, which the step draws."""
        draw = np.random.default_rng([self.seed, step])
        number = int(draw.integers(len(self.sequences)))
        whole = self.sequences[number]
        top, left = (_ALIGNED * int(draw.integers(max(0, n - _SIDE) // _ALIGNED + 1)) for n in whole.y.shape[2:])
        set_integer(codec, True)
        with coding(codec):
            _, cost = _costs(codec, _part(whole, top, left))
        return _shares(cost, self._rates[number]).mean()

    def _mean(self, costs: Sequence[Tensor]) -> float:
        each = torch.cat([_shares(cost, rate) for cost, rate in zip(costs, self._rates, strict=True)])
        if not bool(torch.isfinite(each).all()):
            raise AnalysisError(f"J is not a number on {int((~torch.isfinite(each)).sum())} of {len(each)} examples")
        counted = sum(int((rate > 0).sum()) for rate in self._rates)
        return float(each.double().sum()) / counted


def _shares(costs: Tensor, rates: Tensor) -> Tensor:
    """Of examples that cost something; 0 of others."""
    return torch.where(rates > 0, costs / rates.clamp(min=torch.finfo(rates.dtype).tiny), 0.0)


def apart(sequences: Sequence[Frames]) -> tuple[list[Frames], list[Frames]]:
    """(examples to learn from, examples to judge by): of each sequence the last quarter, at least one, judges; of what
    has one example alone both are the same."""
    learn, judge = [], []
    for each in sequences:
        examples = len(each.quality)
        first = examples - max(1, examples // 4)
        judge.append(_some(each, slice(first, None)))
        learn.append(_some(each, slice(first or None)))
    return learn, judge


@contextmanager
def coding(codec: Codec) -> Iterator[None]:
    """As an encoder does by default."""
    switches = codec.use_encoder, codec.count_motion, codec.estimator
    codec.use_encoder, codec.count_motion, codec.estimator = True, True, "search"
    try:
        yield
    finally:
        codec.use_encoder, codec.count_motion, codec.estimator = switches


def _costs(codec: Codec, sequence: Frames) -> tuple[Tensor, Tensor]:
    """(R, J) of each example, (B,): means over frames, in bits per luma sample."""
    lambdas = torch.tensor([lagrangian(quality) for quality in sequence.quality.tolist()])
    area, rates, costs = sequence.y[0, 0].numel(), [], []
    for t, (state, bits) in enumerate(code_sequence(codec, sequence)):
        rates.append(bits / area)
        costs.append(bits / area + lambdas * distortion(state.picture, sequence.frame(t)))
    return torch.stack(rates).mean(0), torch.stack(costs).mean(0)


def _some(whole: Frames, which: slice) -> Frames:
    return Frames(whole.y[which], whole.u[which], whole.v[which], whole.quality[which])


def _part(whole: Frames, top: int, left: int) -> Frames:
    y, u, v = (
        plane[:, :_FRAMES, top // n : (top + _SIDE) // n, left // n : (left + _SIDE) // n]
        for plane, n in ((whole.y, 1), (whole.u, 2), (whole.v, 2))
    )
    return Frames(y, u, v, whole.quality)
