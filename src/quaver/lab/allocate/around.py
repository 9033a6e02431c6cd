"""Sensitivities around a plan: what a trained codec loses where a module gives up one more weight bit.

Scores are measured one part at a time on the float model; a codec that was trained with a plan is another one, and its
parts meet each other's errors. Module by module one more bit is taken away, without the loop, and the scores of the
module's layers are multiplied by how much more, or less, that costs than they say. Allocate, train briefly, measure
around the plan, allocate again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quaver.errors import UsageError
from quaver.lab.allocate.scores import Scores
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import run
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.weights import set_integer
from quaver.lab.quant.plan import QuantPlan

LARGEST = 8.0  # times that a measurement may raise or lower scores: it is of few clips


def module_losses(codec: Codec, clips: ClipSet, qualities: Sequence[int] = (20, 44), seed: int = 0) -> dict[str, float]:
    """zeta that each module loses beyond the plan when every layer in it has one weight bit less (no fewer than 2)."""
    if codec.plan is None:
        raise UsageError("the codec has no plan to measure around")
    adapter = QuaverAdapter(codec, tuple(qualities))
    set_integer(codec, True)
    states: list[Any] = []

    def keep(t: int, state: Any) -> Any:
        states.append(state)
        return state

    reference = run(adapter, clips, clips.frames, seed, after=keep)
    losses = {}
    for module, names in members(codec.plan).items():
        _set_bits(codec, codec.plan, names, 1)
        try:
            curves = run(adapter, clips, clips.frames, seed, after=lambda t, state: states[t])
        finally:
            _set_bits(codec, codec.plan, names, 0)
        change = curves.cost(adapter.lambdas) - reference.cost(adapter.lambdas)
        losses[module] = float((change.mean(-1) / reference.rate.mean(-1)).mean())
    return losses


def ratios(
    scores: Scores, plan: QuantPlan, losses: Mapping[str, float], gains: Mapping[str, float]
) -> dict[str, float]:
    """By module: how many times what the scores say it loses, `gains` being what the loop makes of an open loss."""
    found = {}
    for module, names in members(plan).items():
        expected = 0.0
        for name in names:
            bits = plan.layers[name].weight_bits or 0
            now, less = scores.layers.get((name, "w", bits)), scores.layers.get((name, "w", max(2, bits - 1)))
            expected += less - now if now is not None and less is not None else 0.0
        if module in losses and expected > 0:
            ratio = losses[module] * gains.get(module, 1.0) / expected
            found[module] = min(LARGEST, max(1 / LARGEST, ratio))
    return found


def rescaled(scores: Scores, factors: Mapping[str, float]) -> Scores:
    """Scores of weights, times their module's factor."""
    layers = {
        (site, kind, bits): zeta * (factors.get(module_of(site), 1.0) if kind == "w" else 1.0)
        for (site, kind, bits), zeta in scores.layers.items()
    }
    return replace(scores, layers=layers)


def members(plan: QuantPlan) -> dict[str, list[str]]:
    """A plan's call sites by module."""
    found: dict[str, list[str]] = {}
    for name in plan.layers:
        found.setdefault(module_of(name), []).append(name)
    return found


def module_of(site: str) -> str:
    """The first two parts of the name, such as "inter.decoder"."""
    return ".".join(site.split(".")[:2])


def _set_bits(codec: Codec, plan: QuantPlan, names: Sequence[str], fewer: int) -> None:
    for name in names:
        conv, layer = codec.get_submodule(name), plan.layers[name]
        assert isinstance(conv, Conv) and layer.weight_bits is not None
        own = layer.channel_bits or (layer.weight_bits,) * conv.weight.shape[0]
        conv.set_bits(tuple(max(2, bits - fewer) if bits else 0 for bits in own))
