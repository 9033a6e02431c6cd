"""QuantPlan: which layer computes with how many bits. Frozen, versioned, JSON.

A plan names call sites. A call site is a layer's name in its module tree (`inter.decoder.trunk.enter`); where one
layer is called in different roles (intra and inter frames, scales of a pyramid) the role follows after an @
(`g_s.2@inter`). A layer that a plan does not name stays in floating point.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.display import html_table, text_table

VERSION = 1
WEIGHT_BITS = range(2, 17)
ACTIVATION_BITS = range(2, 17)

Bits = int | None  # None: floating point


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One call site.

    weight_bits: 2..16, or None for float weights. Codes are symmetric: |q| <= 2**(bits - 1) - 1.
    channel_bits: per output channel instead, 0 for a pruned one; `weight_bits` is then the largest of them.
    activation_bits: of the layer's input, 2..16, or None for float.
    groups: for each input channel the group whose scale and zero-point it has (0, 1, ... without gaps); None for one
    group. group_bits: of each group's activations; `activation_bits` is then the largest of them. split: input channels
    that are split in two halves before they are quantized.
    """

    weight_bits: Bits = None
    activation_bits: Bits = None
    channel_bits: tuple[int, ...] | None = None
    groups: tuple[int, ...] | None = None
    split: tuple[int, ...] = ()
    group_bits: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for label, bits in (("weight", self.weight_bits), ("activation", self.activation_bits)):
            if bits is not None and bits not in WEIGHT_BITS:
                raise UsageError(f"{bits} {label} bits: 2 to 16 are legal, or none for floating point")
        if self.channel_bits is not None:
            wrong = [bits for bits in self.channel_bits if bits != 0 and bits not in WEIGHT_BITS]
            if wrong or max(self.channel_bits, default=0) != (self.weight_bits or 0):
                raise UsageError(
                    f"channel bits {wrong or sorted(set(self.channel_bits))}: 0 or 2 to 16 are legal, and weight_bits"
                    f" ({self.weight_bits}) must be the largest"
                )
        if self.groups is not None and set(self.groups) != set(range(max(self.groups, default=-1) + 1)):
            raise UsageError("groups must be numbered 0, 1, ... without gaps")
        if self.group_bits is not None:
            count = 0 if self.groups is None else max(self.groups) + 1
            legal = all(bits in ACTIVATION_BITS for bits in self.group_bits)
            if len(self.group_bits) != count or not legal or max(self.group_bits) != self.activation_bits:
                raise UsageError(
                    f"bits {self.group_bits} for {count} groups: one of 2 to 16 each, and activation_bits"
                    f" ({self.activation_bits}) must be the largest"
                )

    @property
    def label(self) -> str:
        """Such as W7A8, W4A8g4 (four groups), WfA8 (float weights)."""
        weight, activation = ("f" if bits is None else str(bits) for bits in (self.weight_bits, self.activation_bits))
        count = f"g{max(self.groups) + 1}" if self.groups else ""
        count += "m" if self.group_bits else ""  # mixed: activation bits differ between groups
        return f"W{weight}A{activation}{count}" + (f"s{len(self.split)}" if self.split else "")


FLOAT = LayerPlan()


@dataclass(frozen=True, slots=True)
class QuantPlan:
    """Call sites and their quantization.

    model_hash: SHA-256 of the float weights it was made for (`weights_hash`), or "" for any.
    method, budget: where it comes from. predicted, measured: figures such as zeta, bytes, bops, milliseconds.
    """

    layers: Mapping[str, LayerPlan]
    name: str = "plan"
    model_hash: str = ""
    method: str = ""
    budget: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def uniform(cls, layers: list[str], w: Bits = 7, a: Bits = 8, name: str = "") -> QuantPlan:
        """The same bits everywhere."""
        same = LayerPlan(w, a)
        return cls(dict.fromkeys(layers, same), name or same.label, method="uniform")

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that name the layers' quantization and the model, and nothing else."""
        layers = {key: _plain(value) for key, value in sorted(self.layers.items())}
        text = json.dumps({"version": self.version, "model": self.model_hash, "layers": layers}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def layer(self, name: str) -> LayerPlan:
        """The plan of a call site; FLOAT where there is none."""
        return self.layers.get(name) or self.layers.get(name.partition("@")[0]) or FLOAT

    def matching(self, pattern: str) -> list[str]:
        """Call sites that a shell pattern names; UsageError where none is."""
        found = [name for name in self.layers if fnmatchcase(name, pattern)]
        if not found:
            near = sorted({name.partition(".")[0] for name in self.layers})
            raise UsageError(f"no layer is named {pattern!r}; layers begin with {', '.join(near)}")
        return found

    def with_bits(self, pattern: str, w: Bits | str = "same", a: Bits | str = "same") -> QuantPlan:
        """The plan with other bits where `pattern` matches."""
        layers = dict(self.layers)
        for name in self.matching(pattern):
            old = layers[name]
            weight = old.weight_bits if isinstance(w, str) else w
            activation = old.activation_bits if isinstance(a, str) else a
            keep = old.channel_bits if isinstance(w, str) else None
            own = old.group_bits if isinstance(a, str) else None
            layers[name] = LayerPlan(weight, activation, keep, old.groups, old.split, own)
        return replace(self, layers=layers, predicted={}, measured={})

    def diff(self, other: QuantPlan) -> dict[str, tuple[str, str]]:
        """Call sites that differ: (here, there)."""
        names = sorted({*self.layers, *other.layers})
        pairs = {name: (self.layer(name), other.layer(name)) for name in names}
        return {name: (a.label, b.label) for name, (a, b) in pairs.items() if a != b}

    def to_json(self) -> str:
        layers = {name: _plain(layer) for name, layer in self.layers.items()}
        plain = asdict(self) | {"layers": layers, "hash": self.hash}
        return json.dumps(plain, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "plan") -> QuantPlan:
        """UsageError says what is wrong with it."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values.get("version") != VERSION:
                raise UsageError(f"{where}: plan version {values.get('version')}; this version reads {VERSION}")
            values.pop("hash", None)
            layers = {name: _layer(plain) for name, plain in values.pop("layers").items()}
            return cls(layers, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"{where}: not a quantization plan: {error}") from error

    def save(self, path: Path) -> None:
        """Written beside and renamed."""
        part = path.with_name(path.name + ".part")
        part.write_text(self.to_json())
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> QuantPlan:
        try:
            return cls.from_json(path.read_text(), str(path))
        except OSError as error:
            raise UsageError(f"{path}: cannot read the plan: {error.strerror}") from error

    def _repr_html_(self) -> str:
        return html_table(*self._shown())

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _shown(self) -> tuple[list[str], list[tuple[str, int, str]], str]:
        """One row for each precision: how many layers have it, and which."""
        found: dict[str, list[str]] = {}
        for name, layer in self.layers.items():
            found.setdefault(layer.label, []).append(name)
        rows = [(label, len(names), _some(names)) for label, names in sorted(found.items())]
        figures = self.measured or self.predicted
        caption = f"plan {self.name} {self.hash}" + (f", {self.method}" if self.method else "")
        kind = ", measured " if self.measured else ", predicted " if figures else ""
        return ["bits", "layers", "which"], rows, caption + kind + ", ".join(f"{k} {v:.6g}" for k, v in figures.items())


def _plain(layer: LayerPlan) -> dict[str, Any]:
    """As JSON; without `group_bits` where there are none, so that plans from before there were keep their hash."""
    plain = asdict(layer)
    if layer.group_bits is None:
        del plain["group_bits"]
    return plain


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _layer(plain: Mapping[str, Any]) -> LayerPlan:
    def pair(key: str) -> tuple[int, ...] | None:
        return None if plain.get(key) is None else tuple(int(x) for x in plain[key])

    return LayerPlan(
        plain["weight_bits"],
        plain["activation_bits"],
        pair("channel_bits"),
        pair("groups"),
        pair("split") or (),
        pair("group_bits"),
    )
