"""QuantPlan: which layer computes with how many bits. Frozen, versioned, JSON.

A plan names call sites. A call site is a layer's name in its module tree (`inter.decoder.trunk.enter`); where one
layer is called in different roles (intra and inter frames, scales of a pyramid) the role follows after an @
(`g_s.2@inter`). A layer that a plan does not name stays in floating point.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
    affine: the zero-point of the input is fitted with its scale, for each group. In Quaver's own integers it is
    otherwise the lowest code of what has passed a ReLU, which it then stays, and the middle of all others; observers of
    other codecs fit it anyway, unless they are told to be symmetric.
    """

    weight_bits: Bits = None
    activation_bits: Bits = None
    channel_bits: tuple[int, ...] | None = None
    groups: tuple[int, ...] | None = None
    split: tuple[int, ...] = ()
    group_bits: tuple[int, ...] | None = None
    affine: bool = False

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
        """Such as W7A8, W4A8g4 (four groups), W7A5z (fitted zero-points), WfA8 (float weights)."""
        weight, activation = ("f" if bits is None else str(bits) for bits in (self.weight_bits, self.activation_bits))
        count = f"g{max(self.groups) + 1}" if self.groups else ""
        count += "m" if self.group_bits else ""  # mixed: activation bits differ between groups
        return f"W{weight}A{activation}{count}" + "z" * self.affine + (f"s{len(self.split)}" if self.split else "")


FLOAT = LayerPlan()


@dataclass(frozen=True, slots=True)
class QuantPlan:
    """Call sites and their quantization.

    shared: sets of two or more call sites whose inputs have one scale and zero-point, each set's together; a site is in
    one set at most, the sites of a set have the same activation bits and neither groups, splits nor fitted zero-points.
    Sorted.
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
    shared: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for sites in self.shared:
            if len(sites) < 2:
                raise UsageError(
                    f"one scale for {', '.join(sites) or 'nothing'} alone: two or more call sites share one"
                )
            for site in sites:
                self._check_sharing(site, sites[0], site in seen)
                seen.add(site)
        object.__setattr__(self, "shared", tuple(sorted(tuple(sorted(sites)) for sites in self.shared)))

    def _check_sharing(self, site: str, first: str, again: bool) -> None:
        layer = self.layers.get(site)
        if layer is None:
            raise UsageError(f"{site}: the plan lets it share a scale and does not name it otherwise")
        if again:
            raise UsageError(f"{site}: named twice among call sites that share a scale")
        if layer.activation_bits is None:
            raise UsageError(f"{site}: its input stays in floating point and has no scale to share")
        if layer.groups is not None or layer.split:
            raise UsageError(f"{site}: its channels have groups or splits, so it cannot share one scale with others")
        if layer.affine:
            raise UsageError(f"{site}: its zero-point is fitted to it alone, so it cannot share one with others")
        if layer.activation_bits != self.layers[first].activation_bits:
            raise UsageError(
                f"{site}: {layer.activation_bits} activation bits; {first}, whose scale it shares, has"
                f" {self.layers[first].activation_bits}"
            )

    @classmethod
    def uniform(cls, layers: list[str], w: Bits = 7, a: Bits = 8, name: str = "") -> QuantPlan:
        """The same bits everywhere."""
        same = LayerPlan(w, a)
        return cls(dict.fromkeys(layers, same), name or same.label, method="uniform")

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that name the layers' quantization and the model, and nothing else."""
        layers = {key: _plain(value) for key, value in sorted(self.layers.items())}
        named = {"version": self.version, "model": self.model_hash, "layers": layers}
        named |= {"shared": self.shared} if self.shared else {}  # plans from before there was any keep their hash
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]

    def layer(self, name: str) -> LayerPlan:
        """The plan of a call site; FLOAT where there is none."""
        return self.layers.get(name) or self.layers.get(name.partition("@")[0]) or FLOAT

    def sharing(self, site: str) -> tuple[str, ...]:
        """The call sites whose inputs have one scale with this one's, itself among them; none where it has its own.
        Where the plan names a layer without a role, that layer's sites share in every role."""
        name = site if site in self.layers else site.partition("@")[0]
        return next((sites for sites in self.shared if name in sites), ())

    def with_layers(self, layers: Mapping[str, LayerPlan]) -> QuantPlan:
        """The same with other layers. Of call sites that shared a scale those with the same bits still do."""
        kept: list[tuple[str, ...]] = []
        for sites in self.shared:
            found: dict[int, list[str]] = {}
            for site in sites:
                layer = layers.get(site, FLOAT)
                if layer.activation_bits and not (layer.groups or layer.split or layer.affine):
                    found.setdefault(layer.activation_bits, []).append(site)
            kept += [tuple(same) for same in found.values() if len(same) > 1]
        return replace(self, layers=layers, shared=tuple(kept))

    def matching(self, pattern: str) -> list[str]:
        """Call sites that a shell pattern names; UsageError where none is."""
        found = [name for name in self.layers if fnmatchcase(name, pattern)]
        if not found:
            near = sorted({name.partition(".")[0] for name in self.layers})
            raise UsageError(f"no layer is named {pattern!r}; layers begin with {', '.join(near)}")
        return found

    def with_bits(self, pattern: str, w: Bits | str = "same", a: Bits | str = "same") -> QuantPlan:
        """The plan with other bits where `pattern` matches. Call sites that shared a scale and now differ in activation
        bits no longer do."""
        layers = dict(self.layers)
        for name in self.matching(pattern):
            old = layers[name]
            weight = old.weight_bits if isinstance(w, str) else w
            activation = old.activation_bits if isinstance(a, str) else a
            keep = old.channel_bits if isinstance(w, str) else None
            own = old.group_bits if isinstance(a, str) else None
            layers[name] = LayerPlan(weight, activation, keep, old.groups, old.split, own, old.affine)
        return replace(self.with_layers(layers), predicted={}, measured={})

    def diff(self, other: QuantPlan) -> dict[str, tuple[str, str]]:
        """Call sites that differ in bits, groups or whom they share a scale with: (here, there)."""
        pairs = {name: (self._said(name), other._said(name)) for name in sorted({*self.layers, *other.layers})}
        return {
            name: pair
            for name, pair in pairs.items()
            if self.layer(name) != other.layer(name) or self.sharing(name) != other.sharing(name)
        }

    def _said(self, name: str) -> str:
        others = [site for site in self.sharing(name) if site != name]
        return self.layer(name).label + (f" as {_some(others)}" if others else "")

    def to_json(self) -> str:
        layers = {name: _plain(layer) for name, layer in self.layers.items()}
        plain = asdict(self) | {"layers": layers, "hash": self.hash}
        if not self.shared:
            del plain["shared"]
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
        rows += [("one scale", len(sites), _some(sites)) for sites in self.shared]
        figures = self.measured or self.predicted
        caption = f"plan {self.name} {self.hash}" + (f", {self.method}" if self.method else "")
        kind = ", measured " if self.measured else ", predicted " if figures else ""
        return ["bits", "layers", "which"], rows, caption + kind + ", ".join(f"{k} {v:.6g}" for k, v in figures.items())


def _plain(layer: LayerPlan) -> dict[str, Any]:
    """As JSON; without `group_bits` and `affine` where there are none, so that plans from before there were keep their
    hash."""
    plain = asdict(layer)
    if layer.group_bits is None:
        del plain["group_bits"]
    if not layer.affine:
        del plain["affine"]
    return plain


def _some(names: Sequence[str]) -> str:
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
        bool(plain.get("affine", False)),
    )
