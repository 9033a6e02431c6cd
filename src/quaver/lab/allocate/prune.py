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

from quaver.lab.allocate.grouped import Variants
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import run
from quaver.lab.analyse.over_time import standard_error
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.pruning import followers
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.sites import first_input, site_module, weight_of

_STEP = 8  # channels are left in multiples: kernels work on so many at once


def pruned_outputs(
    adapter: CodecAdapter,
    clips: ClipSet,
    layers: Sequence[Layer],
    shares: Sequence[float],
    zeta_at: Mapping[str, float],
    gains: Mapping[str, float],
    weight_bits: int = 7,
    seed: int = 0,
) -> Variants:
    """Of every layer with followers a plan for each share of channels that goes, with its zeta.

    zeta_at: of the layer's weights at `weight_bits`, which adds to that. gains: by module, what the loop makes of an
    open zeta; 1 where it is not known.
    """
    by_name = {layer.call_site: layer for layer in layers if layer.planned and layer.share}
    chosen = {name: layer for name, layer in by_name.items() if followers(name) and followers(name)[-1] in by_name}
    if not chosen:
        return {}
    states: list[Any] = []
    energies = _energies(adapter, [followers(name)[-1] for name in chosen], clips, seed, states)
    reference = run(adapter, clips, clips.frames, seed)
    variants: Variants = {}
    for name, layer in chosen.items():
        order = energies[followers(name)[-1]].argsort()
        for share in shares:
            left = max(_STEP, round(layer.outputs * (1 - share) / _STEP) * _STEP)
            if left >= layer.outputs:
                continue
            gone = order[: layer.outputs - left]
            with _without(site_module(adapter.module, name), gone):
                curves = run(adapter, clips, clips.frames, seed, after=lambda t, state: states[t])
            change = curves.cost(adapter.lambdas) - reference.cost(adapter.lambdas)
            zeta = believed((change.mean(-1) / reference.rate.mean(-1)).mean(0))
            bits = torch.full((layer.outputs,), weight_bits)
            bits[gone] = 0
            plan = LayerPlan(weight_bits, channel_bits=tuple(bits.tolist()))
            loss = zeta * gains.get(layer.network, 1.0)
            variants.setdefault(name, []).append((plan, loss + zeta_at.get(name, 0.0)))
    return variants


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
