"""Which way each weight is rounded, and biases, by the task's loss.

Source: Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020, section 3.3: rounding as
a rectified sigmoid between the two neighbouring codes, pushed to 0 or 1 by a regularizer. Changed: instead of layer by
layer on the squared error of its output, all layers together on the loss that the caller gives (for a codec
R + lambda D over a clip, as Shi, Lu, Ma, RDO-PTQ, TCSVT 2024), for hundreds of steps instead of thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant.attach import Attachment
from quaver.lab.quant.quantizers import Quantizer
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.sites import site_module, weight_of

STRETCH_LOW, STRETCH_HIGH = -0.1, 1.1  # of the sigmoid, so that 0 and 1 are reached
LEARNING_RATE, PRESSURE = 0.1, 30.0  # of what decides a rounding; of the regularizer
SHARPEST, SOFTEST = 2.0, 20.0  # exponents of the regularizer, from soft to sharp


class SoftRounding(nn.Module):
    """A weight between its two neighbouring codes: scale * clamp(floor(w / scale) + h), 0 <= h <= 1, starting where
    the weight is."""

    floor: Tensor

    def __init__(self, weight: Tensor, scale: Scale) -> None:
        super().__init__()
        self.current = scale
        step, zero, low, high = (each.to(weight.device) for each in scale.grid(weight.ndim))
        low, high = low - zero, high - zero
        self.step, self.zero, self.low, self.high = step, zero, low, high
        ratio = weight.detach().float() / step
        # A weight that is clipped has no neighbour to choose.
        floor = torch.minimum(torch.maximum(ratio.floor(), low), torch.maximum(high - 1, low))
        share = (ratio - floor).clamp(0.01, 0.99)
        self.register_buffer("floor", floor)
        self.logit = nn.Parameter(torch.logit((share - STRETCH_LOW) / (STRETCH_HIGH - STRETCH_LOW)))

    def up(self) -> Tensor:
        """0..1, how far each weight is rounded up."""
        return (torch.sigmoid(self.logit) * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW).clamp(0, 1)

    def between(self) -> Tensor:
        """Codes less the zero-point, not whole yet."""
        return torch.clamp(self.floor + self.up(), self.low, self.high)

    def forward(self, weight: Tensor) -> Tensor:
        return self.between() * self.step

    def undecided(self, exponent: float) -> Tensor:
        """Sum over weights of 1 - |2h - 1|^exponent: 0 where each is at 0 or 1."""
        return (1 - (2 * self.up() - 1).abs().pow(exponent)).sum()

    def codes(self) -> Tensor:
        return torch.clamp(self.floor + (self.up().detach() >= 0.5), self.low, self.high) + self.zero


class FixedCodes:
    """A quantizer whose codes are decided, whatever the weight is."""

    def __init__(self, codes: Tensor, scale: Scale) -> None:
        self.codes, self.current = codes, scale
        self._value = scale.dequantize(codes)

    def __call__(self, weight: Tensor) -> Tensor:
        return self._value


@dataclass(frozen=True)
class Rounded:
    """What `round_by_loss` did. before: the loss with each weight rounded to the nearest code; after: what it is now.
    changed: the share of codes that are others now. kept: whether the loss fell; where it did not, nothing changed."""

    before: float
    after: float
    changed: float
    kept: bool


@dataclass(frozen=True)
class _Offset:
    """A bias that is learned: start + unit * offset, in steps of the weights so that one learning rate fits all."""

    start: Tensor
    unit: Tensor
    offset: nn.Parameter

    @property
    def bias(self) -> Tensor:
        return self.start + self.unit * self.offset


def round_by_loss(
    attachment: Attachment,
    loss: Callable[[], Tensor],
    steps: int = 300,
    sites: Iterable[str] | None = None,
    *,
    check: Callable[[], Tensor] | None = None,
    learning_rate: float = LEARNING_RATE,
    pressure: float = PRESSURE,
    biases: bool = True,
) -> Rounded:
    """Learn how the weights of `sites` (all that have weight bits) are rounded, and the biases, on `loss()`.

    loss: runs the model on calibration data, other data at each step if it likes, and returns a scalar with gradient.
    check: the loss that decides whether the result is kept, on the same data each time; None: `loss`.
    pressure: of the regularizer, while no weight is decided, in units of what rounding to the nearest costs.
    The model's parameters, and their gradients, stay as they are.
    """
    soft, old, offsets = _soften(attachment, attachment.sites if sites is None else sites, biases)
    if not soft:
        raise UsageError("no call site has quantized weights to round")
    check, old_biases = check or loss, dict(attachment.biases)
    nearest = {site: attachment.weight_codes(site)[0] for site in soft}
    before, excess = _losses(attachment, check)
    for site, each in soft.items():
        attachment.set_weight_quantizer(site, each)

    def with_biases() -> Tensor:
        attachment.biases.update({site: each.bias for site, each in offsets.items()})
        return loss()

    others = [each.offset for each in offsets.values()]
    learn_rounding(list(soft.values()), with_biases, excess, steps, learning_rate, pressure, others)
    changed = total = 0
    for site, each in soft.items():
        codes = each.codes()
        changed, total = changed + int((codes != nearest[site]).sum()), total + codes.numel()
        attachment.set_weight_quantizer(site, FixedCodes(codes, each.current))
    attachment.biases.update({site: each.bias.detach() for site, each in offsets.items()})
    with torch.no_grad():
        after = float(check())
    if after < before:
        return Rounded(before, after, changed / total, True)
    for site, quantizer in old.items():
        attachment.set_weight_quantizer(site, quantizer)
    attachment.biases.clear()
    attachment.biases.update(old_biases)
    return Rounded(before, before, 0.0, False)


def _losses(attachment: Attachment, loss: Callable[[], Tensor]) -> tuple[float, float]:
    """(the loss, how much of it quantized weights cost: never 0)."""
    weights = attachment.weights
    with torch.no_grad():
        before = float(loss())
        attachment.weights = False
        without = float(loss())
        attachment.weights = weights
    return before, max(abs(before - without), 1e-3 * abs(before), 1e-12)


def _soften(
    attachment: Attachment, sites: Iterable[str], biases: bool
) -> tuple[dict[str, SoftRounding], dict[str, Quantizer], dict[str, _Offset]]:
    """Soft roundings and the quantizers they take the place of, one for each quantized weight; biases for each site."""
    soft: dict[str, SoftRounding] = {}
    old: dict[str, Quantizer] = {}
    offsets: dict[str, _Offset] = {}
    for site in sites:
        quantizer = attachment.weight_quantizer(site)
        if quantizer is None:
            continue
        module = site_module(attachment.model, site.partition("@")[0])
        _, scale = attachment.weight_codes(site)
        bias = attachment.biases.get(site, module._parameters.get("bias"))
        if biases and bias is not None:
            start = bias.detach().clone()
            steps = scale.scale if scale.groups is None else scale.scale[scale.groups]
            unit = steps.to(start).expand_as(start)
            offsets[site] = _Offset(start, unit, nn.Parameter(torch.zeros_like(start)))
        if not any(quantizer is other for other in old.values()):
            soft[site], old[site] = SoftRounding(weight_of(module), scale), quantizer
    return soft, old, offsets


def learn_rounding(
    soft: Sequence[SoftRounding],
    loss: Callable[[], Tensor],
    excess: float,
    steps: int,
    learning_rate: float = LEARNING_RATE,
    pressure: float = PRESSURE,
    others: Sequence[nn.Parameter] = (),
) -> None:
    """Learn `soft` and `others` on `loss()`, a scalar with gradient, of which rounding to the nearest costs `excess`.
    Gradients of what else the loss depends on stay as they are."""
    learned = [*(each.logit for each in soft), *others]
    optimizer = torch.optim.Adam(learned, learning_rate)
    weights = sum(each.floor.numel() for each in soft)
    free = steps // 5  # the loss alone, before the regularizer makes up their minds
    for step in range(steps):
        with torch.enable_grad():
            # What can be won is of order one: so is the pressure's share, and Adam's epsilon hides no small loss.
            value = loss() / excess
            if step >= free:
                exponent = SOFTEST + (SHARPEST - SOFTEST) * (step - free) / max(1, steps - free)
                value = value + pressure / weights * sum(each.undecided(exponent) for each in soft)
        # Not backward(): that would add to the gradients of the model's parameters.
        gradients = torch.autograd.grad(value, learned, allow_unused=True)
        for parameter, gradient in zip(learned, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
