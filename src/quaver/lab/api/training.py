"""`with trained(codec, plan, clips)`: weights and grids learned together on J, in simulation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Literal

import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import AnalysisError
from quaver.lab.analyse.gradients import differentiable
from quaver.lab.api.clips import clips_of
from quaver.lab.api.codecs import AnyCodec, adapter_of
from quaver.lab.api.equalized import unchanged
from quaver.lab.api.recipes import Recipe, fitted
from quaver.lab.api.task_loss import TaskLoss
from quaver.lab.quant.attach import Attachment
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.qat import Learned, learn

METHODS = ("lsq", "lsq+", "pact")
GRID_RATE = 0.01  # a grid's learning rate, as a share of its step, clip or range: Adam moves all parameters alike


@dataclass(frozen=True)
class Trained:
    """attachment: the quantizers. learned: their grids; `learned.scales()` and `weight_scales()` are what `attach` of
    `quaver.lab.quant` takes. losses: J / R of each step's examples on the surrogate. The codec's module holds the
    trained weights until the with statement ends: keep a copy of its `state_dict()`."""

    attachment: Attachment
    learned: Learned
    losses: tuple[float, ...]


@contextmanager
def trained(
    codec: AnyCodec,
    plan: QuantPlan,
    clips: ClipSet | None = None,
    *,
    steps: int = 200,
    method: Literal["lsq", "lsq+", "pact"] = "lsq",
    learning_rate: float = 1e-4,
    batch: int = 2,
    **recipe: Any,
) -> Iterator[Trained]:
    """The codec in simulation after training with quantizers whose grids are learned too; afterwards it is as it was.

    method: of inputs' grids; "pact" is for inputs that cannot be negative, the others have "lsq+". Weights have "lsq".
    learning_rate: Adam's, of weights, falling to 0 as a cosine. batch: clips in a step. recipe: fields of `Recipe` to
    begin with, without rounding by loss; `frames` are unrolled. A few clips are learned by heart: give many.
    AnalysisError names the first step whose J or gradient is not a number; the codec is then as it was too.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r}: {', '.join(METHODS)} are legal")
    chosen, clips, adapter = Recipe(**recipe), clips or clips_of(), adapter_of(codec)
    if chosen.rounding == "loss" or steps < 1:
        raise UsageError(
            f"{steps} steps, rounding {chosen.rounding!r}: at least 1, and trained weights round to the nearest"
        )
    if method == "pact" and chosen.power_of_two:
        raise UsageError("PACT learns the clip, not the step: powers of two need lsq or lsq+")
    loss = TaskLoss(adapter, clips, chosen.frames, batch, chosen.seed)
    with unchanged(adapter.module), fitted(codec, plan, clips, chosen) as (attachment, calibration):
        learned = learn(attachment, method, "lsq", chosen.power_of_two, list(calibration.stats))
        losses = _train(adapter.module, loss, learned, steps, learning_rate)
        yield Trained(attachment, learned, tuple(losses))


def _train(module: nn.Module, loss: TaskLoss, learned: Learned, steps: int, learning_rate: float) -> list[float]:
    weights, losses = list(module.parameters()), list[float]()
    groups = [{"params": weights, "lr": learning_rate}, *_grids(learned)]
    parameters = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.Adam(groups)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + cos(pi * step / steps)) / 2)
    with differentiable(module):
        for step in range(steps):
            value = loss.surrogate(step)
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            if not bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, 1.0))):
                raise AnalysisError(f"{loss.said(step)}: the gradient of J is not a number")
            optimizer.step()
            falling.step()
            losses.append(value.item())
        optimizer.zero_grad()
    return losses


def _grids(learned: Learned) -> list[dict[str, Any]]:
    """Groups for an optimizer, a parameter each, as fast as it is large; inputs that share a grid have one."""
    sizes: dict[nn.Parameter, float] = {}
    for quantizers, scales in ((learned.inputs, learned.scales()), (learned.weights, learned.weight_scales())):
        for quantizer, grid in zip(quantizers.values(), scales.values(), strict=True):
            for name, parameter in quantizer.named_parameters():
                span = 1.0 if name == "step" else float((grid.high - grid.low).max())
                sizes[parameter] = float(grid.scale.mean()) * span
    return [{"params": [parameter], "lr": GRID_RATE * size} for parameter, size in sizes.items()]
