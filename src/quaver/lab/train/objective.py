"""J = R + lambda D of a sequence, and how examples of different lambda are weighed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quaver.codec.decisions import lagrangian
from quaver.lab.models.codec import Codec
from quaver.lab.train.recipes import Stage
from quaver.lab.twin.transform import Planes

_LAMBDA = torch.tensor([lagrangian(quality) for quality in range(64)])
_BALANCE = 0.35  # loss is scaled by lambda**-0.35, so that no quality dominates
_MIDDLE = 0.0173


@dataclass(frozen=True)
class Sequence:
    """Frames of a batch as 8-bit samples: planes (B, T, H, W) and (B, T, H/2, W/2); quality (B,)."""

    y: Tensor
    u: Tensor
    v: Tensor
    quality: Tensor

    def frame(self, t: int) -> Planes:
        return self.y[:, t].double(), self.u[:, t].double(), self.v[:, t].double()


@dataclass(frozen=True)
class Outcome:
    """What a batch cost: loss to minimize; means of J, bits per luma sample of coefficients, squared error."""

    loss: Tensor
    cost: float
    rate: float
    distortion: float


def distortion(a: Planes, b: Planes) -> Tensor:
    """D (B,) = (6 MSE_Y + MSE_U + MSE_V) / 8."""
    y, u, v = (((p - q) ** 2).mean((1, 2)) for p, q in zip(a, b, strict=True))
    return (6 * y + u + v) / 8


def run_sequence(codec: Codec, sequence: Sequence, stage: Stage) -> Outcome:
    """Code a sequence as `stage` says. The rate is that of coefficients; what the encoder decides without
    gradient (vectors, levels, intra DC) is left out."""
    codec.use_encoder = stage.encoder
    quality = sequence.quality
    area = sequence.y.shape[2] * sequence.y.shape[3]
    weight = (_LAMBDA[quality] / _MIDDLE) ** -_BALANCE
    total = torch.zeros(())
    costs, rates, errors = [], [], []
    state = None
    for t in range(sequence.y.shape[1]):
        frame = sequence.frame(t)
        if state is None:
            state, bits = codec.code_intra(frame, quality)
        else:
            past = state if stage.through_time else state.detached()
            state, bits = codec.code_inter(frame, past, quality)
        error = distortion(state.picture, frame).float()
        cost = bits / area + _LAMBDA[quality] * error
        total = total + (weight * cost).mean()
        costs.append(cost.detach().mean())
        rates.append((bits / area).detach().mean())
        errors.append(error.detach().mean())
    frames = len(costs)
    means = (float(torch.stack(values).mean()) for values in (costs, rates, errors))
    return Outcome(total / frames, *means)
