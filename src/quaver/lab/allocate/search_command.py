"""The search from files: weights and videos in, a plan out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.allocate.budgets import parse_budgets
from quaver.lab.allocate.joint import JointSearch
from quaver.lab.allocate.search import Search, SearchConfig, Step
from quaver.lab.allocate.unfinished import Unfinished
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.costs.codec import codec_layers, skeleton_bytes
from quaver.lab.costs.profile import load_profile
from quaver.lab.costs.table import totals
from quaver.lab.costs.workload import Workload
from quaver.lab.manifest import beside, clips_note, digest, sealed, write_manifest
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model

QUALITIES = (12, 32, 52)


@dataclass(frozen=True)
class Searcher:
    """A codec in floating point whose bits are searched on `clips`, again for each price or budget."""

    codec: Codec
    clips: ClipSet
    workload: Workload
    profile: str = "onnx-cpu"

    @classmethod
    def load(cls, checkpoint: Path, clips: ClipSet, workload: Workload, profile: str, skeleton: str) -> Searcher:
        codec = read_codec(checkpoint, load_model(skeleton))
        if codec.plan is not None:
            raise UsageError(f"{checkpoint}: these weights are quantized already; search with those in floating point")
        return cls(codec, clips, workload, profile)

    def plan(
        self,
        config: SearchConfig,
        budgets: Sequence[str] = (),
        name: str = "search",
        show: Callable[[Step], None] = lambda step: None,
        state: Unfinished | None = None,
    ) -> QuantPlan:
        """Under budgets as `quaver allocate` has them, or at the price of `config`, with groups of channels where that
        prices them. The profile runs it."""
        layers, machine = codec_layers(self.codec, self.workload), load_profile(self.profile)
        limits, fixed = self.limits(budgets), skeleton_bytes(self.codec.skeleton)
        adapter = QuaverAdapter(self.codec, QUALITIES)
        kind = Search if config.group_price is None else JointSearch
        search = kind(adapter, self.clips, layers, config, limits, machine, fixed)
        found = search.run(show, state)
        prices = {"price": config.cost_price}
        if config.group_price is not None:
            prices["group_price"] = config.group_price
        budget = {key: float(limit) for key, limit in limits.items()} or prices
        plan = QuantPlan(found, name, weights_hash(self.codec), f"search, {date.today()}", budget)
        machine.check(plan, layers)
        return replace(plan, predicted=self.costs(plan))

    def write(
        self,
        path: Path,
        config: SearchConfig,
        budgets: Sequence[str] = (),
        show: Callable[[Step], None] = lambda step: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> QuantPlan:
        """The plan to `path` and its manifest beside it. A search that was interrupted goes on; one whose plan is there
        already has nothing to do."""
        note = self.note(config, budgets)
        found = _written(path, note["hash"])
        if found is not None:
            say(f"{path}: was searched before")
            return found
        state = Unfinished(path, note["hash"], say)
        plan = self.plan(config, budgets, path.stem, show, state)
        plan.save(path)
        write_manifest(beside(path), note, {"plan_hash": plan.hash})
        state.remove()
        return plan

    def note(self, config: SearchConfig, budgets: Sequence[str] = ()) -> dict[str, Any]:
        """The manifest of a plan."""
        ranges = {"weight_bits": list(config.weight_bits), "activation_bits": list(config.activation_bits)}
        limits = {key: str(limit) for key, limit in self.limits(budgets).items()}
        return sealed(
            {
                "command": "search",
                "config": asdict(config) | ranges | {"budgets": limits, "qualities": list(QUALITIES)},
                "workload": asdict(self.workload),
                "profile": {"name": self.profile, "hash": digest(load_profile(self.profile).to_json())},
                "model_hash": weights_hash(self.codec),
                "skeleton_hash": self.codec.skeleton.hash.hex(),
                "clips": clips_note(self.clips),
            }
        )

    def limits(self, budgets: Sequence[str]) -> dict[str, Fraction]:
        """UsageError where a budget is none."""
        full = {key: Fraction(value) for key, value in self.costs(QuantPlan({})).items()}
        return parse_budgets(budgets, full)

    def costs(self, plan: QuantPlan) -> dict[str, float]:
        """Bytes, BOPs, mean weight bits, and milliseconds."""
        layers, fixed = codec_layers(self.codec, self.workload), skeleton_bytes(self.codec.skeleton)
        found = {key: float(value) for key, value in totals(layers, plan, fixed).items()}
        return found | {"ms": load_profile(self.profile).predict(plan, layers)}


def _written(path: Path, key: str) -> QuantPlan | None:
    """The plan that a search with this manifest wrote; None where it has not, or another plan lies there."""
    try:
        note, plan = json.loads(beside(path).read_text()), QuantPlan.load(path)
        return plan if (note["hash"], note["result"]["plan_hash"]) == (key, plan.hash) else None
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None
