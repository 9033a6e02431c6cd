"""Pruned channels as options: which channels of a layer go, and what that loses.

Channels whose tensor one layer alone reads (`costs.pruning.followers`) are ranked by what that reader makes of them,
E[x^2] ||w||^2, and the last ones pruned; the loss of each share is measured on clips without the loop, which is
precise, and multiplied by how much the loop amplifies what the module loses. As of other scores one standard error
over clips is added: what a channel is for shows in some clips alone, so take many. Source of the ranking: the output
error of the layer that follows (Luo, Wu, Lin, ThiNet, ICCV 2017), per channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quaver.lab.allocate.grouped import Show, Variants
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import run
from quaver.lab.analyse.over_time import standard_error
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.pruning import followers
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.sites import first_input, site_module, weight_of

_STEP = 8  # channels are left in multiples: kernels work on so many at once
_WIDEST = 7  # weight bits


def pruned_outputs(
    adapter: CodecAdapter,
    clips: ClipSet,
    layers: Sequence[Layer],
    shares: Sequence[float],
    zeta_at: Mapping[str, Mapping[int, float]],
    gains: Mapping[str, float],
    seed: int = 0,
    show: Show = lambda number, of: None,
) -> Variants:
    """Of every layer with followers plans for each share of channels that goes, with their zeta.

    zeta_at: of the layer's weights at each width that those left may have, which adds to what is measured; 7 bits for
    nothing where there is none. gains: by module, what the loop makes of an open zeta; 1 where it is not known.
    show: is told how many shares of how many are measured; 0 once the float model has run, which takes as long as each.
    """
    by_name = {layer.call_site: layer for layer in layers if layer.planned and layer.share}
    chosen = {name: layer for name, layer in by_name.items() if followers(name) and followers(name)[-1] in by_name}
    if not chosen:
        return {}
    states: list[Any] = []
    energies = _energies(adapter, [followers(name)[-1] for name in chosen], clips, seed, states)
    wanted = [(name, left) for name, layer in chosen.items() for left in _left(layer.outputs, shares)]
    reference = run(adapter, clips, clips.frames, seed)
    show(0, len(wanted))
    variants: Variants = {}
    for number, (name, left) in enumerate(wanted, 1):
        layer = chosen[name]
        gone = energies[followers(name)[-1]].argsort()[: layer.outputs - left]
        with _without(site_module(adapter.module, name), gone):
            curves = run(adapter, clips, clips.frames, seed, after=lambda t, state: states[t])
        change = curves.cost(adapter.lambdas) - reference.cost(adapter.lambdas)
        zeta = believed((change.mean(-1) / reference.rate.mean(-1)).mean(0))
        loss = zeta * gains.get(layer.network, 1.0)
        for weight_bits, more in (zeta_at.get(name) or {_WIDEST: 0.0}).items():
            bits = torch.full((layer.outputs,), weight_bits)
            bits[gone] = 0
            plan = LayerPlan(weight_bits, channel_bits=tuple(bits.tolist()))
            variants.setdefault(name, []).append((plan, loss + more))
        show(number, len(wanted))
    return variants


def _left(outputs: int, shares: Sequence[float]) -> list[int]:
    """Numbers of channels that stay, the most first; no two alike, and none where that is all of them."""
    counts = {max(_STEP, round(outputs * (1 - share) / _STEP) * _STEP) for share in shares}
    return sorted((count for count in counts if count < outputs), reverse=True)


def believed(each: NDArray[np.float64]) -> float:
    """Of clips' zetas (N,) the mean, no less than 0, and one standard error of it."""
    return max(0.0, float(each.mean())) + (float(standard_error(each)) if len(each) > 1 else 0.0)


@torch.no_grad()
def _energies(
    adapter: CodecAdapter, readers: Sequence[str], clips: ClipSet, seed: int, states: list[Any]
) -> dict[str, Tensor]:
    """(C,) of every reader: mean squares of its input channels times the squares of the weights that read them. The
    float model's states are left in `states`."""
    squares: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Any:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = first_input(args, kwargs).detach().float()
            total = x.square().sum((0, 2, 3))
            squares[name] = squares[name] + total if name in squares else total
            counts[name] = counts.get(name, 0) + x[:, 0].numel()

        return site_module(adapter.module, name).register_forward_pre_hook(before, with_kwargs=True)

    def keep(t: int, state: Any) -> Any:
        states.append(state)
        return state

    hooks = [watch(name) for name in set(readers)]
    try:
        run(adapter, clips, clips.frames, seed, after=keep)
    finally:
        for hook in hooks:
            hook.remove()
    result = {}
    for name in squares:
        weight = weight_of(site_module(adapter.module, name)).detach()
        result[name] = squares[name] / counts[name] * weight.square().sum((0, 2, 3))
    return result


@contextmanager
def _without(module: nn.Module, channels: Tensor) -> Iterator[None]:
    """Output channels with weights and bias 0, as pruned ones have."""
    parameters = [
        parameter for parameter in (weight_of(module), getattr(module, "bias", None)) if parameter is not None
    ]
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter[channels] = 0
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
