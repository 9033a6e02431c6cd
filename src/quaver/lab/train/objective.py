"""J = R + lambda D of a sequence, and how examples of different lambda are weighed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from quaver.codec.decisions import intra_quality, lagrangian
from quaver.lab.models.codec import Codec, State
from quaver.lab.train.recipes import Stage
from quaver.lab.twin.transform import Planes
from quaver.lab.twin.warp import compensate

_LAMBDA = torch.tensor([lagrangian(quality) for quality in range(64)])
_INTRA_QUALITY = torch.tensor([intra_quality(quality) for quality in range(64)])
_BALANCE = 0.35  # loss is scaled by lambda**-0.35, so that no quality dominates
_MIDDLE = 0.0173
_PHOTOMETRIC = 0.2  # of the error of samples beside that of vectors, in whole luma samples
_ESTIMATION = 0.01  # beside J, so that clipping the gradient does not starve what else is trained


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


def estimation_loss(codec: Codec, frame: Planes, past: State, coded: State, quality: Tensor) -> Tensor:
    """What the MotionEstimator learns from (B,): Huber's loss against the vectors of `coded`, the state after `frame`,
    and the root mean squared error of the prediction that its own make."""
    reference = past.detached().picture
    vectors = codec.motion.estimate(frame, reference, past.kept, quality, codec.tables)
    wanted = torch.from_numpy(np.stack([kept.vectors for kept in coded.kept])).float()
    difference = F.huber_loss(vectors / 4, wanted / 4, reduction="none").mean((1, 2, 3))
    y, u, v = compensate(reference, vectors)
    error = (1 + distortion((y / 16, u / 16, v / 16), frame).float()).sqrt()
    return _ESTIMATION * (difference + _PHOTOMETRIC * error)


def code_sequence(
    codec: Codec,
    sequence: Sequence,
    through_time: bool = True,
    cuts: Collection[int] = (),
    repeats: Collection[int] = (),
) -> Iterator[tuple[State, Tensor]]:
    """Code frame after frame as the encoder does, the intra frame at its better quality: the state after each, and
    the bits (B,) of its coefficients. `through_time`: gradients pass from frame to frame. `cuts`, `repeats`: frames
    that the encoder codes alone, or as the last picture once more, in all examples; training does not look for them."""
    state, bits = codec.code_intra(sequence.frame(0), _INTRA_QUALITY[sequence.quality])
    yield state, bits
    for t in range(1, sequence.y.shape[1]):
        past = state if through_time else state.detached()
        if t in cuts:
            state, bits = codec.code_intra(sequence.frame(t), _INTRA_QUALITY[sequence.quality])
        elif t in repeats:
            state, bits = codec.repeat(past), torch.zeros_like(bits)
        else:
            state, bits = codec.code_inter(sequence.frame(t), past, sequence.quality)
        yield state, bits


def run_sequence(codec: Codec, sequence: Sequence, stage: Stage) -> Outcome:
    """Code a sequence as `stage` says. The rate is that of coefficients and, where motion is trained, of vectors; what
    the encoder decides without gradient (levels, intra DC, other stages' vectors) is left out. Each frame has the
    lambda of the quality it is coded with: the frames after a better intra frame profit from it, also where no gradient
    says so."""
    codec.use_encoder, codec.count_motion = stage.encoder, stage.trains_motion
    quality = sequence.quality
    area = sequence.y.shape[2] * sequence.y.shape[3]
    weight = (_LAMBDA[quality] / _MIDDLE) ** -_BALANCE
    total = torch.zeros(())
    costs, rates, errors = [], [], []
    past: State | None = None
    for t, (state, bits) in enumerate(code_sequence(codec, sequence, stage.through_time)):
        error = distortion(state.picture, sequence.frame(t)).float()
        lmbda = _LAMBDA[_INTRA_QUALITY[quality] if t == 0 else quality]
        cost = bits / area + lmbda * error
        total = total + (weight * cost).mean()
        if stage.trains_motion and past is not None:
            total = total + estimation_loss(codec, sequence.frame(t), past, state, quality).mean()
        past = state
        costs.append(cost.detach().mean())
        rates.append((bits / area).detach().mean())
        errors.append(error.detach().mean())
    frames = len(costs)
    means = (float(torch.stack(values).mean()) for values in (costs, rates, errors))
    return Outcome(total / frames, *means)
