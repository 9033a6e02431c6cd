"""HardwareProfile: what a machine runs, and how fast. Rules and a table of measurements; frozen, versioned, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.costs import interpolation
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.pruning import pruned
from quaver.lab.costs.table import planned
from quaver.lab.quant.plan import LayerPlan, QuantPlan

VERSION = 1
GRANULARITIES = ("layer", "channel", "group", "split")

Bits = int | None  # None: floating point


@dataclass(frozen=True, slots=True)
class Rules:
    """What plans may ask for. weight_bits, activation_bits: legal widths, None for floating point. granularities:
    those of `GRANULARITIES` that are legal. ops: kinds of layers (`costs.layers.Layer.op`)."""

    weight_bits: tuple[Bits, ...]
    activation_bits: tuple[Bits, ...]
    granularities: tuple[str, ...]
    ops: tuple[str, ...]

    def problem(self, layer: Layer, plan: LayerPlan) -> str | None:
        """The rule that the plan of a layer breaks, in words."""
        if layer.op not in self.ops:
            return f"operation {layer.op}; it runs {', '.join(self.ops)}"
        if not layer.planned:
            return None
        pruned = plan.channel_bits is not None and plan.weight_bits is None
        if not pruned and plan.weight_bits not in self.weight_bits:
            return f"{_bits(plan.weight_bits)} weight bits; it runs {_range(self.weight_bits)}"
        if plan.activation_bits not in self.activation_bits:
            return f"{_bits(plan.activation_bits)} activation bits; it runs {_range(self.activation_bits)}"
        used = {"channel": plan.channel_bits is not None, "group": plan.groups is not None, "split": bool(plan.split)}
        for granularity, asked in used.items():
            if asked and granularity not in self.granularities:
                return f"bits or scales per {granularity}; it runs per {', '.join(self.granularities)}"
        odd = [bits for bits in plan.channel_bits or () if bits and bits not in self.weight_bits]
        return f"{odd[0]} weight bits in a channel; it runs {_range(self.weight_bits)}" if odd else None


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of arithmetic with a speed of its own, and the bits that run in it."""

    name: str
    weight_bits: tuple[Bits, ...]
    activation_bits: tuple[Bits, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """Where nothing was measured: `giga_per_second` operations (unit "mac", or "bop" for bit operations) of an op in
    a format; "*" stands for any."""

    op: str
    format: str
    unit: str
    giga_per_second: float
    source: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A measurement: milliseconds of one call, one thread."""

    op: str
    format: str
    inputs: int
    outputs: int
    taps: int
    rows: int
    columns: int
    operations: int
    ms: float


@dataclass(frozen=True, slots=True)
class GraphTime:
    """A whole network measured, beside what its layers sum to."""

    graph: str
    format: str
    rows: int
    columns: int
    macs: int
    ms: float
    predicted_ms: float


@dataclass(frozen=True)
class HardwareProfile:
    """description: the machine and how it was measured, with date and versions."""

    name: str
    description: Mapping[str, str]
    rules: Rules
    formats: tuple[Format, ...]
    speeds: tuple[Speed, ...] = ()
    table: tuple[Entry, ...] = ()
    graphs: tuple[GraphTime, ...] = ()
    version: int = VERSION

    def problem(self, layer: Layer, plan: LayerPlan) -> str | None:
        """Why the profile cannot run a layer so; None where it can."""
        return self.rules.problem(layer, plan)

    def check(self, plan: QuantPlan, layers: Iterable[Layer]) -> None:
        """UsageError naming layer and rule where the profile cannot run the plan."""
        for layer in layers:
            problem = self.problem(layer, planned(plan, layer))
            if problem is not None:
                raise UsageError(f"profile {self.name!r} cannot run {layer.call_site}: {problem}")

    def predict(self, plan: QuantPlan, layers: Iterable[Layer]) -> float:
        """Milliseconds per frame of the layers' workload: the sum over layers, pruned channels left out; one thread."""
        return sum(self.milliseconds(layer, planned(plan, layer)) for layer in pruned(layers, plan))

    def milliseconds(self, layer: Layer, plan: LayerPlan) -> float:
        """Of one layer per frame, its helpers included, and its clips where those were measured. As measured where the
        table has the shape; else between numbers of channels and sizes of the map; else at the rate of its kind, or by
        its speed."""
        ms = float(layer.share) * self._call(layer, plan)
        clips = layer.clips(plan) if "clip" in self.rules.ops else ()
        ms += sum(float(clip.share) * self._call(clip, plan) for clip in clips)
        return ms + sum(self.milliseconds(each.layer, each.plan) for each in layer.helpers(plan))

    def _call(self, layer: Layer, plan: LayerPlan) -> float:
        format = self._format(layer, plan)
        kind = self._kinds.get((layer.op, format), [])
        shape = layer.op, format, (layer.inputs, layer.outputs, layer.taps)
        if shape not in self._sizes:
            self._sizes[shape] = interpolation.by_channels(layer.op, shape[2], kind)
        if self._sizes[shape]:
            return interpolation.between(self._sizes[shape], layer.positions)
        if kind:
            return layer.operations / interpolation.rate([(row.operations, row.ms) for row in kind], layer.operations)
        for speed in self.speeds:
            if speed.op in (layer.op, "*") and speed.format in (format, "*"):
                amount = float(layer.bops(plan) / layer.share) if layer.share and speed.unit == "bop" else 0.0
                return (amount if speed.unit == "bop" else layer.operations) / speed.giga_per_second / 1e6
        raise UsageError(f"profile {self.name!r} knows no speed of {layer.op} in format {format} ({layer.call_site})")

    @cached_property
    def _kinds(self) -> dict[tuple[str, str], list[Entry]]:
        """The table by operation and format."""
        found: dict[tuple[str, str], list[Entry]] = {}
        for row in self.table:
            found.setdefault((row.op, row.format), []).append(row)
        return found

    @cached_property
    def _sizes(self) -> dict[tuple[str, str, tuple[int, int, int]], interpolation.Points]:
        """Of shapes that were asked for: an allocation asks for the same ones a hundred thousand times."""
        return {}

    def _format(self, layer: Layer, plan: LayerPlan) -> str:
        if not layer.planned:
            return "fixed"
        for format in self.formats:
            if plan.weight_bits in format.weight_bits and plan.activation_bits in format.activation_bits:
                return format.name
        raise UsageError(f"profile {self.name!r} has no format for {layer.call_site}: {plan.label}")

    def to_json(self) -> str:
        """Two levels indented, one measurement a line."""
        plain = asdict(self)
        lines = [f" {json.dumps(key)}: {_compact(value)}" for key, value in plain.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, where: str = "profile") -> HardwareProfile:
        """UsageError says what is wrong with it."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values.get("version") != VERSION:
                raise UsageError(f"{where}: profile version {values.get('version')}; this version reads {VERSION}")
            rules = {key: tuple(value) for key, value in values.pop("rules").items()}
            formats = tuple(
                Format(f["name"], tuple(f["weight_bits"]), tuple(f["activation_bits"])) for f in values.pop("formats")
            )
            parts: tuple[tuple[str, Any], ...] = (("speeds", Speed), ("table", Entry), ("graphs", GraphTime))
            values |= {key: tuple(kind(**row) for row in values.pop(key)) for key, kind in parts}
            return cls(rules=Rules(**rules), formats=formats, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"{where}: not a hardware profile: {error}") from error

    def save(self, path: Path) -> None:
        """Written beside and renamed."""
        part = path.with_name(path.name + ".part")
        part.write_text(self.to_json())
        part.replace(path)


def shipped() -> list[str]:
    """Names of the profiles in the package."""
    folder = resources.files("quaver.lab.costs").joinpath("profiles")
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_profile(name: str) -> HardwareProfile:
    """A shipped profile by name, or one from a .json file."""
    if name.endswith(".json"):
        try:
            return HardwareProfile.from_json(Path(name).read_text(), name)
        except OSError as error:
            raise UsageError(f"{name}: cannot read the profile: {error.strerror}") from error
    if name not in shipped():
        raise UsageError(f"no hardware profile named {name!r}; known: {', '.join(shipped())}; or give a .json")
    return HardwareProfile.from_json(
        resources.files("quaver.lab.costs").joinpath("profiles", f"{name}.json").read_text(), name
    )


def _bits(bits: Bits) -> str:
    return "floating-point" if bits is None else str(bits)


def _range(values: Sequence[Bits]) -> str:
    return ", ".join(_bits(bits) for bits in values)


def _compact(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        rows = ",\n  ".join(json.dumps(row) for row in value)
        return f"[\n  {rows}\n ]" if rows else "[]"
    if isinstance(value, dict):
        rows = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in value.items())
        return f"{{\n  {rows}\n }}"
    return json.dumps(value)
