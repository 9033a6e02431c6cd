"""What the programme chooses from: for every layer the widths that were scored and that the machine runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from quaver.errors import UsageError
from quaver.lab.allocate.channels import calibrated, grouped_points, pareto_points, spread
from quaver.lab.allocate.problem import Option, Pair, Problem, Tie
from quaver.lab.allocate.scores import Scores
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.profile import HardwareProfile
from quaver.lab.costs.pruning import chain, kept
from quaver.lab.costs.table import FULL
from quaver.lab.quant.plan import LayerPlan

BUDGETS = ("bytes", "bops", "ms", "avg_bits")
_GROUPS = (2, 4)  # of an input's channels, with bits of their own
_LEAST = LayerPlan(2, 2)
Candidates = Mapping[str, Sequence[tuple[LayerPlan, float]]]


@dataclass(frozen=True, slots=True)
class Choices:
    """What to choose from.

    layers: of a workload. fixed_bytes: of the model file beside its layers. channel_points: ways to give a layer's
    output channels bits of their own (0 prunes where that was scored), and each of 2 and of 4 groups of its input's
    channels, where channels were scored; 0 for none. candidates: further plans of a layer with their zeta, such as
    groups, splits or pruned channels; one that leaves weights (inputs) in floating point is combined with every choice
    of weights (inputs). per: "layer", or "module": one width for all layers of a module, so that pair terms, which are
    measured between modules, count.
    """

    layers: Sequence[Layer]
    scores: Scores
    profile: HardwareProfile | None = None
    fixed_bytes: int = 0
    channel_points: int = 8
    candidates: Candidates = field(default_factory=dict)
    ties: tuple[Tie, ...] = ()
    per: str = "layer"


def build_problem(choices: Choices, budgets: Mapping[str, Fraction]) -> Problem:
    """UsageError where the table names layers that the model lacks, a budget has no meaning, or a layer cannot run."""
    for key in budgets:
        if key not in BUDGETS:
            raise UsageError(f"budget {key!r}: {', '.join(BUDGETS)} are known")
    if "ms" in budgets and choices.profile is None:
        raise UsageError("a budget in milliseconds needs a hardware profile")
    by_name = {layer.call_site: layer for layer in choices.layers if layer.planned}
    scored = {site for site, _, _ in choices.scores.layers} | set(choices.candidates)
    unknown = sorted(scored - set(by_name))
    if unknown:
        raise UsageError(f"the table scores {unknown[0]!r}, which the model does not have: it is of another model")
    costs = _Costs(choices, by_name, sum(layer.stored_weights for layer in by_name.values()), tuple(budgets))
    options = {name: _layer_options(choices, costs, by_name[name]) for name in by_name if name in scored}
    rest = [layer for layer in choices.layers if layer.call_site not in options]
    fixed = {key: sum((costs.of(layer, FULL)[key] for layer in rest), Fraction(0)) for key in budgets}
    if "bytes" in fixed:
        fixed["bytes"] += choices.fixed_bytes
    ties, pairs = choices.ties, tuple[Pair, ...]()
    if choices.per == "module":
        ties, pairs = _by_module(choices.scores, list(options))
        options = {
            name: [each for each in own if not each.plan.channel_bits and not each.plan.group_bits]
            for name, own in options.items()
        }
    return Problem(options, budgets, fixed, ties, pairs)


@dataclass(frozen=True, slots=True)
class _Costs:
    choices: Choices
    layers: Mapping[str, Layer]
    weights: int
    keys: tuple[str, ...]

    def of(self, layer: Layer, plan: LayerPlan) -> dict[str, Fraction]:
        """Of the layer; where it prunes channels, less what its readers save at least: they may have any bits."""
        count = kept(plan, layer.call_site)
        if count is None:
            return self._of(layer, plan)
        changed = chain(self.layers, layer.call_site, count)
        own = self._of(changed.pop(layer.call_site), plan)
        for name, smaller in changed.items():
            saved = [(self._of(self.layers[name], bits), self._of(smaller, bits)) for bits in (FULL, _LEAST)]
            own = {key: value - min(before[key] - after[key] for before, after in saved) for key, value in own.items()}
        return own

    def _of(self, layer: Layer, plan: LayerPlan) -> dict[str, Fraction]:
        result = {}
        for key in self.keys:
            if key == "bytes":
                result[key] = Fraction(layer.file_bytes(plan))
            elif key == "bops":
                result[key] = layer.bops(plan)
            elif key == "avg_bits":
                result[key] = layer.stored_bits(plan) / self.weights if layer.planned else Fraction(0)
            else:
                assert self.choices.profile is not None
                result[key] = Fraction(self.choices.profile.milliseconds(layer, plan))
        return result


def _layer_options(choices: Choices, costs: _Costs, layer: Layer) -> list[Option]:
    options, problem = [], ""
    for plan, zeta in _plans(choices, layer):
        refused = choices.profile.problem(layer, plan) if choices.profile is not None else None
        if refused is None:
            options.append(Option(plan, zeta, costs.of(layer, plan)))
        else:
            problem = refused
    if not options:
        name = choices.profile.name if choices.profile is not None else ""
        raise UsageError(f"profile {name!r} runs none of the scored widths of {layer.call_site}: {problem}")
    return options


def _plans(choices: Choices, layer: Layer) -> Iterator[tuple[LayerPlan, float]]:
    """Choices of weights times choices of inputs, then whole candidates."""
    scores, name = choices.scores, layer.call_site
    weights = [(LayerPlan(bits), scores.layers[name, "w", bits]) for bits in scores.bits(name, "w")]
    inputs = [(LayerPlan(None, bits), scores.layers[name, "a", bits]) for bits in scores.bits(name, "a")]
    weights += _own_bits_of_weights(choices, layer)
    inputs += _own_bits_of_inputs(choices, layer)
    for plan, zeta in choices.candidates.get(name, ()):
        if plan.weight_bits is None:
            inputs.append((plan, zeta))
        elif plan.activation_bits is None:
            weights.append((plan, zeta))
        else:
            yield plan, zeta
    # What was not scored stays as wide as it can be.
    for w, loss in weights or [(LayerPlan(FULL.weight_bits), 0.0)]:
        for a, more in inputs or [(LayerPlan(None, FULL.activation_bits), 0.0)]:
            yield replace(a, weight_bits=w.weight_bits, channel_bits=w.channel_bits), loss + more


def _own_bits_of_weights(choices: Choices, layer: Layer) -> Iterator[tuple[LayerPlan, float]]:
    """Points of bits per output channel, of widths that the machine runs: of those with one that it refuses it would
    refuse all."""
    scores, name = choices.scores, layer.call_site
    known = scores.channels.get((name, "w"))
    own = {bits: scores.layers[name, "w", bits] for bits in scores.bits(name, "w") if _runs(choices, layer, w=bits)}
    if known and own and choices.channel_points > 1:
        for point in spread(pareto_points(calibrated(known, own)), choices.channel_points):
            if max(point.bits) > 0 and len(set(point.bits)) > 1:
                yield LayerPlan(max(point.bits), channel_bits=point.bits), point.zeta


def _own_bits_of_inputs(choices: Choices, layer: Layer) -> Iterator[tuple[LayerPlan, float]]:
    """Points of bits per group of input channels, alike, of widths at which scores of channels mean something."""
    scores, name = choices.scores, layer.call_site
    known = scores.channels.get((name, "a"))
    own = {bits: scores.layers[name, "a", bits] for bits in scores.bits(name, "a") if _runs(choices, layer, a=bits)}
    if known and own and choices.channel_points > 1:
        shares = calibrated(known, _unsaturated(own))
        for count in _GROUPS:
            for groups, point in grouped_points(shares, count, choices.channel_points):
                yield LayerPlan(None, max(point.bits), groups=groups, group_bits=point.bits), point.zeta


def _unsaturated(zetas: Mapping[int, float]) -> dict[int, float]:
    """The widths from the most bits down to where a bit less no longer doubles the loss, of which small errors make
    four times as much. Below, all that an input says may be lost already, and derivatives, which channels are scored
    by, tell nothing: 136 of 197 channels at 2 bits lost nine times what their scores said."""
    widths = sorted(zetas, reverse=True)
    kept = widths[:1]
    for more, few in pairwise(widths):
        if zetas[few] < 2 * zetas[more]:
            break
        kept.append(few)
    return {bits: zetas[bits] for bits in kept}


def _runs(choices: Choices, layer: Layer, w: int | None = None, a: int | None = None) -> bool:
    """Whether the machine has so many bits, the other operand at its widest."""
    plan = LayerPlan(w or FULL.weight_bits, a or FULL.activation_bits)
    return choices.profile is None or choices.profile.problem(layer, plan) is None


def _by_module(scores: Scores, names: Sequence[str]) -> tuple[tuple[Tie, ...], tuple[Pair, ...]]:
    """All layers of a module tied, and pair terms between the first layers of modules."""
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(".".join(name.split(".")[:2]), []).append(name)
    ties = tuple(Tie(kind, tuple(own)) for own in members.values() if len(own) > 1 for kind in ("w", "a"))
    pairs = []
    for pair in scores.pairs:
        sides = [
            (members[module][0], kind, bits) for module, kind, bits in (pair.first, pair.second) if module in members
        ]
        if len(sides) == 2:
            pairs.append(replace(pair, first=sides[0], second=sides[1]))
    return ties, tuple(pairs)
