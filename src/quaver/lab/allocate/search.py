"""Bits by gradient descent (N7), to compare with the integer programme.

    J / R + lambda_q E_q + lambda_c C / C_full                      one point of a front for each lambda_c
    J / R + lambda_q E_q + hinge * sum max(0, C_k / budget_k - 1)   under budgets

J / R is zeta but for a constant, on the codec's differentiable surrogate; E_q is `quant.error`, C by default the bit
operations and C_full those of 7 weight and 8 activation bits. Weights stay as they are: what is found is a plan for
them, as the programme's are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.allocate.measured import observed
from quaver.lab.allocate.relaxed import CostTables, Relaxed, Tape, Widths
from quaver.lab.allocate.unfinished import Unfinished
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet, points_of
from quaver.lab.analyse.closed_loop import AnalysisError, frame_seed, run
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.profile import HardwareProfile
from quaver.lab.costs.table import FULL
from quaver.lab.quant.attach import Attachment, quantized
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.selection import choose_weight
from quaver.lab.quant.sites import output_axis, site_module, weight_of

KEEP_EVERY = 10  # steps: a state is small, and this many are little to lose


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """steps of Adam at `rate` bits each, falling to zero over the last half. batch: clips of a step, each at one
    operating point; frames: that gradients pass through. horizon: the first frame counts as one of so many: groups are
    longer than what gradients pass through. error_price, cost_price: lambda_q, lambda_c. cost: the budget
    that cost_price is for. hinge: per share of a budget that is exceeded; with budgets cost_price is not used.
    group_price: mu, of the bit operations that groups of channels cost (`JointSearch`); None: cost_price.
    """

    steps: int = 200
    batch: int = 2
    frames: int = 3
    horizon: int = 8
    rate: float = 0.08
    error_price: float = 0.1
    cost_price: float = 0.1
    cost: str = "bops"
    hinge: float = 5.0
    group_price: float | None = None
    weight_bits: range = range(2, 8)
    activation_bits: range = range(2, 9)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.frames < 2 or self.horizon < 2:
            raise UsageError("a search needs at least one step, one clip, two frames, and a horizon of two")
        if min(self.error_price, self.cost_price, self.hinge, self.group_price or 0) < 0:
            raise UsageError("prices and the hinge are not negative")


@dataclass(frozen=True, slots=True)
class Step:
    """What a step saw: J / R, E_q, and costs as shares of full precision."""

    number: int
    cost: float
    error: float
    shares: Mapping[str, float]


class Search:
    """A codec whose widths are searched, on clips; `layers`: rows of its cost table, by call site."""

    def __init__(
        self,
        adapter: CodecAdapter,
        clips: ClipSet,
        layers: Sequence[Layer],
        config: SearchConfig,
        budgets: Mapping[str, Fraction] | None = None,
        profile: HardwareProfile | None = None,
        fixed_bytes: int = 0,
    ) -> None:
        if clips.frames < config.frames:
            raise UsageError(f"clips of {clips.frames} frames; this search needs {config.frames}")
        self.adapter, self.clips, self.config, self.budgets = adapter, clips, config, dict(budgets or {})
        planned = {layer.call_site: layer for layer in layers if layer.planned}
        self._stats = observed(adapter, clips, planned, config.seed)
        # What is never called has no gradient, and only its costs would speak.
        called = {site.partition("@")[0] for site in self._stats}
        self.layers = [layer for name, layer in planned.items() if name in called]
        self.widths = Widths([layer.call_site for layer in self.layers], config.weight_bits, config.activation_bits)
        keys = tuple(self.budgets) or (config.cost,)
        rest = [layer for layer in layers if layer.call_site not in self.widths.sites]
        self.costs = _tables(self.layers, rest, self.widths, keys, profile, fixed_bytes)
        self._rates = run(adapter, clips, config.frames, config.seed).rate.mean(-1)  # (points, clips)

    def run(
        self, show: Callable[[Step], None] = lambda step: None, state: Unfinished | None = None
    ) -> dict[str, LayerPlan]:
        """Search, and the layers' plans. state: keeps every tenth step, and where it has one the search goes on from
        there, to the same plan. AnalysisError where J is not a number."""
        config, tape = self.config, Tape()
        full = QuantPlan.uniform(list(self.widths.sites), config.weight_bits[-1], config.activation_bits[-1])
        model = self.adapter.module
        before = {name: each.requires_grad for name, each in model.named_parameters()}
        try:
            model.requires_grad_(False)
            with quantized(model, full, Calibration(self._stats), role=self.adapter.role) as attachment:
                self._relax(attachment, tape)
                optimizer = torch.optim.Adam(self._learned(), betas=(0.9, 0.95))
                for number in range(_restored(optimizer, state), config.steps):
                    for group in optimizer.param_groups:
                        group["lr"] = group["rate"] * min(1.0, 2 * (1 - number / config.steps))
                    self._prepare(number)
                    cost = self._relative_cost(number)
                    error, shares = tape.take(), self._shares()
                    loss = cost + config.error_price * error + self._price(shares)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    self.widths.limit()
                    if state is not None and (number + 1) % KEEP_EVERY == 0:
                        state.keep(step=number + 1, learned=_values(optimizer), optimizer=optimizer.state_dict())
                    plain = {key: float(share.detach()) for key, share in shares.items()}
                    show(Step(number + 1, float(cost.detach()), float(error.detach()), plain))
        finally:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(before[name])
        return self._hardened()

    def _learned(self) -> list[dict[str, Any]]:
        """For the optimizer, each with its rate."""
        return [{"params": list(self.widths.parameters()), "rate": self.config.rate}]

    def _prepare(self, number: int) -> None:
        """Before each step: what else changes over the search."""

    def _shares(self) -> dict[str, Tensor]:
        return self.costs.shares(self.widths)

    def _relax(self, attachment: Attachment, tape: Tape) -> None:
        """Grids of every width, chosen as the analysis chooses them, by least squared error."""
        config, calibration = self.config, Calibration(self._stats)
        for place, name in enumerate(self.widths.sites):
            module = site_module(self.adapter.module, name)
            weight = weight_of(module).detach()
            grids = [choose_weight(weight, bits, "mse", output_axis(module)) for bits in config.weight_bits]
            attachment.set_weight_quantizer(name, Relaxed(self.widths, "w", place, grids, tape))
            grids = [calibration.scale(name, LayerPlan(None, bits)) for bits in config.activation_bits]
            attachment.set_input_quantizer(name, Relaxed(self.widths, "a", place, grids, tape))

    def _relative_cost(self, number: int) -> Tensor:
        """J / R of the step's clips, each at a point drawn for it, with gradient through time."""
        config, adapter = self.config, self.adapter
        rng = np.random.default_rng((config.seed, number))
        point = int(rng.integers(len(adapter.lambdas)))
        chosen = rng.permutation(len(self.clips))[: config.batch]
        clips = self.clips.some(chosen.tolist())
        rate = torch.from_numpy(self._rates[point, chosen])
        state, total = None, torch.zeros((), dtype=torch.float64)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            for t in range(config.frames):
                torch.manual_seed(frame_seed(config.seed, t))
                step = adapter.step(clips.frame(t), state, points_of(clips, (point,)))
                state = step.state
                cost = step.rate.double() + adapter.lambdas[point] * step.distortion.double()
                first = 1 / config.horizon
                total = total + (cost / rate).mean() * (first if t == 0 else (1 - first) / (config.frames - 1))
        if not bool(torch.isfinite(total)):
            raise AnalysisError(f"step {number + 1}: J is not a number; clips {', '.join(clips.names)}")
        return total

    def _price(self, shares: Mapping[str, Tensor]) -> Tensor:
        config = self.config
        if not self.budgets:
            return config.cost_price * shares[config.cost]
        limits = {key: float(limit) / self.costs.full[key] for key, limit in self.budgets.items()}
        over = [torch.relu(share / limits[key] - 1) for key, share in shares.items()]
        return config.hinge * torch.stack(over).sum()

    def _hardened(self) -> dict[str, LayerPlan]:
        """Whole widths; with budgets the largest ones, by one threshold for all layers, that keep them."""
        if not self.budgets:
            return {name: LayerPlan(*bits) for name, bits in self.widths.hard().items()}
        limits = {key: float(limit) / self.costs.full[key] for key, limit in self.budgets.items()}
        whole = Widths(self.widths.sites, self.config.weight_bits, self.config.activation_bits)
        for threshold in np.arange(0, len(self.config.activation_bits), 0.02):
            bits = self.widths.hard(float(threshold))
            with torch.no_grad():
                for place, kind in enumerate("wa"):
                    whole.of(kind).copy_(torch.tensor([float(pair[place]) for pair in bits.values()]))
            shares = {key: share.detach() for key, share in self.costs.shares(whole).items()}
            if all(float(share) <= limits[key] * (1 - 1e-6) for key, share in shares.items()):
                return {name: LayerPlan(*pair) for name, pair in bits.items()}
        raise UsageError("the smallest widths do not keep the budgets; `quaver allocate` says what is possible")


def _values(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Of everything it learns."""
    return [value.detach() for group in optimizer.param_groups for value in group["params"]]


def _restored(optimizer: torch.optim.Optimizer, state: Unfinished | None) -> int:
    """Steps that were done before, what was learned in them put back. Random numbers need not be: each step draws its
    own from the seed and its number."""
    found = {} if state is None else state.load()
    if not found:
        return 0
    for value, kept in zip(_values(optimizer), found["learned"], strict=True):
        value.copy_(kept)
    optimizer.load_state_dict(found["optimizer"])
    return int(found["step"])


def _tables(
    layers: Sequence[Layer],
    rest: Sequence[Layer],
    widths: Widths,
    keys: Sequence[str],
    profile: HardwareProfile | None,
    fixed_bytes: int,
) -> CostTables:
    weights = sum(layer.weights for layer in (*layers, *rest) if layer.planned)

    def cost(key: str, layer: Layer, plan: LayerPlan) -> float:
        if key == "bytes":
            return float(layer.file_bytes(plan))
        if key == "bops":
            return float(layer.bops(plan))
        if key == "avg_bits":
            return float(layer.weight_bits(plan) / weights) if layer.planned else 0.0
        if profile is None:
            raise UsageError("a budget in milliseconds needs a hardware profile")
        return profile.milliseconds(layer, plan)

    tables, fixed, full = {}, {}, {}
    for key in keys:
        rows = [
            [[cost(key, layer, LayerPlan(w, a)) for a in widths.ranges["a"]] for w in widths.ranges["w"]]
            for layer in layers
        ]
        tables[key] = torch.tensor(rows, dtype=torch.float64)
        fixed[key] = sum(cost(key, layer, FULL) for layer in rest) + (fixed_bytes if key == "bytes" else 0)
        full[key] = fixed[key] + sum(cost(key, layer, FULL) for layer in layers)
    return CostTables(tables, fixed, full)
