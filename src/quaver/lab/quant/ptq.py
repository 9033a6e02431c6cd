"""Quantization after training, without changing weights by gradients: calibration, equalization, bias correction.
(Rounding by task loss is in `rounding.py`.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant import primitives
from quaver.lab.quant.attach import Attachment
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.selection import Method
from quaver.lab.quant.sites import Role, observe, output_axis, site_module, weight_of


def calibrate(
    model: nn.Module,
    plan: QuantPlan,
    run: Callable[[], object],
    *,
    role: Role | None = None,
    method: Method = "mse",
    power_of_two: bool = False,
    symmetric: bool = False,
) -> Calibration:
    """Observe the plan's call sites while `run` runs the model on calibration clips; scales for any bits follow.

    For a recurrent model `run` should go over whole clips, so that later frames are seen as they will be.
    """
    with torch.no_grad():
        stats = observe(model, plan.layers, run, role)
    return Calibration(stats, method, power_of_two, symmetric)


def equalize(
    model: nn.Module, pairs: Iterable[tuple[str, str]], sweeps: int = 20, power_of_two: bool = False
) -> dict[tuple[str, str], Tensor]:
    """Cross-layer equalization: give the channels between two layers the same range in both weights, in place.

    pairs: (first, second) layer names, where the second's input is the first's output after at most a ReLU (anything
    with f(s x) = s f(x) for s > 0; a clamped ReLU only below its clamp) and nothing else reads it. Pairs may form
    chains. Returns the factors (C,) that the first layers' outputs were divided by.

    The model's function stays: to rounding, or to the bit with factors that are powers of two.
    Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019, 4.1.
    """
    pairs = list(pairs)
    total = {pair: torch.ones(input_channels(site_module(model, pair[1])), dtype=torch.float32) for pair in pairs}
    with torch.no_grad():
        for _ in range(sweeps):
            moved = False
            for pair in pairs:
                first, second = site_module(model, pair[0]), site_module(model, pair[1])
                outputs, inputs = _by_output(first), _by_input(second)
                _check(pair, first, second)
                made, used = outputs.abs().amax(1), inputs.abs().amax(1)
                # A channel that is not made or not used has no range to share.
                factor = torch.where((made > 0) & (used > 0), (made / used).sqrt(), torch.ones_like(made))
                if power_of_two:
                    factor = primitives.power_of_two(factor, up=False)
                moved = moved or bool(((factor - 1).abs() > 1e-3).any())
                rescale(model, pair, factor)
                total[pair] = total[pair].to(factor.device) * factor
            if not moved:
                break
    return total


@torch.no_grad()
def rescale(model: nn.Module, pair: tuple[str, str], factor: Tensor) -> None:
    """Divide the outputs of the pair's first layer by factor (C,) and multiply the second's inputs by it, in place."""
    first, second = (site_module(model, name) for name in pair)
    _check(pair, first, second)
    _divide_outputs(first, factor)
    _multiply_inputs(second, factor)


def correct_biases(attachment: Attachment, stats: Mapping[str, SiteStats]) -> dict[str, Tensor]:
    """Biases that make up for the mean error of quantized weights: b - sum((W_q - W) E[x]), with E[x] per input channel
    from `stats` (borders, where padding is 0, are ignored). They hold while the attachment quantizes weights; the
    model keeps its own. Returns them by call site.

    Call sites without observed input or quantized weights are passed over, and transposed convolutions are, whose
    mean output differs between positions. Source: Nagel et al. 2019, section 4.2.
    """
    corrected: dict[str, Tensor] = {}
    with torch.no_grad():
        for site, seen in stats.items():
            module = site_module(attachment.model, site.partition("@")[0])
            quantizer = attachment.weight_quantizer(site)
            if quantizer is None or output_axis(module) != 0:
                continue
            weight = weight_of(module)
            error = (quantizer(weight) - weight).flatten(2).sum(2) if weight.ndim > 2 else quantizer(weight) - weight
            mean = seen.mean.to(weight)
            groups = len(mean) // error.shape[1]
            of_group = mean.reshape(groups, -1).repeat_interleave(len(error) // groups, 0)
            bias = module._parameters.get("bias")
            before = torch.zeros(len(error)).to(weight) if bias is None else bias.detach()
            corrected[site] = before - (error * of_group).sum(1)
    attachment.biases.update(corrected)
    return corrected


def _check(pair: tuple[str, str], first: nn.Module, second: nn.Module) -> None:
    made, read = len(_by_output(first)), input_channels(second)
    if made != read:
        raise UsageError(f"{pair[0]} has {made} output channels, {pair[1]} {read} inputs")


def _groups(module: nn.Module) -> int:
    return int(getattr(module, "groups", 1))


def input_channels(module: nn.Module) -> int:
    """How many channels a layer reads."""
    weight = weight_of(module)
    return weight.shape[0] if output_axis(module) == 1 else weight.shape[1] * _groups(module)


def _by_output(module: nn.Module) -> Tensor:
    """(O, ...) view of the weight by output channel; of a grouped transposed convolution there is none."""
    weight = weight_of(module).detach()
    if output_axis(module) == 0:
        return weight.flatten(1)
    if _groups(module) > 1:
        raise UsageError("grouped transposed convolutions cannot be equalized")
    return weight.transpose(0, 1).flatten(1)


def _by_input(module: nn.Module) -> Tensor:
    """(I, ...) copy of the weight by input channel."""
    weight, groups = weight_of(module).detach(), _groups(module)
    if output_axis(module) == 1:
        return weight.flatten(1)
    # (groups, outputs of one, inputs of one, rest) to (groups, inputs of one, ...)
    parts = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    return parts.transpose(1, 2).reshape(groups * weight.shape[1], -1)


def _divide_outputs(module: nn.Module, factor: Tensor) -> None:
    weight, bias = weight_of(module), module._parameters.get("bias")
    weight.div_(primitives.spread(factor, None, output_axis(module), weight.ndim))
    if bias is not None:
        bias.div_(factor)


def _multiply_inputs(module: nn.Module, factor: Tensor) -> None:
    weight, groups = weight_of(module), _groups(module)
    if output_axis(module) == 1:
        weight.mul_(primitives.spread(factor, None, 0, weight.ndim))
        return
    rows = factor.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
    weight.mul_(rows.reshape(*rows.shape, *[1] * (weight.ndim - 2)))
