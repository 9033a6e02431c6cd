"""Sensitivities as the allocator needs them: zeta of every call site, kind and width, and of channels and modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TYPE_CHECKING

from scipy.optimize import isotonic_regression

from quaver.errors import UsageError
from quaver.lab.allocate.problem import Pair

if TYPE_CHECKING:
    from quaver.lab.analyse.table import SensitivityTable

Key = tuple[str, str, int]  # call site (or module), "w", "a" or "wa", bits


@dataclass(frozen=True, slots=True)
class Scores:
    """layers, modules: zeta where only this call site (only this module) has so many bits, and the rest is float.
    channels: by (call site, kind), bits -> zeta of each channel. pairs: of modules, beyond the sum of their own."""

    model_hash: str
    layers: Mapping[Key, float]
    channels: Mapping[tuple[str, str], Mapping[int, tuple[float, ...]]] = field(default_factory=dict)
    modules: Mapping[Key, float] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()

    def bits(self, call_site: str, kind: str) -> list[int]:
        """Widths that were scored, ascending."""
        return sorted(bits for site, own, bits in self.layers if (site, own) == (call_site, kind))

    def smoothed(self) -> Scores:
        """What can be believed of them: zeta is never negative and never grows with bits, else the programme would pick
        the measurements whose noise is most favourable. The closest such values in squares (isotonic regression)."""
        layers = dict(self.layers)
        for site, kind in {(site, kind) for site, kind, _ in self.layers}:
            widths = self.bits(site, kind)
            values = [self.layers[site, kind, bits] for bits in widths]
            fitted = isotonic_regression(values, increasing=False).x
            layers |= {(site, kind, bits): max(0.0, float(z)) for bits, z in zip(widths, fitted, strict=True)}
        return replace(self, layers=layers)

    def fitted(self) -> Scores:
        """zeta(b) = c 4^-b of every call site and kind, with the c >= 0 that fits its measured widths best in squares;
        and so for all widths between the first and the last of them.

        Loss is of second order in the error, and the error's square falls by four with a bit: few bits show c far above
        the noise, and what is measured at more bits, where a layer's loss is mostly noise, hardly changes it.
        """
        layers: dict[Key, float] = {}
        for site, kind in dict.fromkeys((site, kind) for site, kind, _ in self.layers):
            widths = self.bits(site, kind)
            product = sum(self.layers[site, kind, bits] * 4.0**-bits for bits in widths)
            scale = max(0.0, product / sum(16.0**-bits for bits in widths))
            layers |= {(site, kind, bits): scale * 4.0**-bits for bits in range(widths[0], widths[-1] + 1)}
        return replace(self, layers=layers)


def table_scores(table: SensitivityTable) -> Scores:
    """Means over clips and lambda of what a table measured or predicted with one part quantized, in closed loop ("add")
    as far as its noise permits and else without the loop ("open"). UsageError where it holds several models or no
    layers."""
    hashes = table.rows["model_hash"].unique().to_list()
    if len(hashes) != 1:
        raise UsageError(f"the table holds {len(hashes)} models; one is legal")
    found = {level: _scores(table, level) for level in ("layer", "module", "pair")}
    if not found["layer"]:
        raise UsageError('the table scores no layers with one part quantized; analyse at level "layer" first')
    pairs = []
    for (name, kind, bits), zeta in found["pair"].items():
        first, _, second = name.partition(" + ")
        pairs.append(Pair((first, kind, bits), (second, kind, bits), zeta))
    return Scores(hashes[0], found["layer"], _channels(table), found["module"], tuple(pairs))


def _scores(table: SensitivityTable, level: str) -> dict[Key, float]:
    """Of a part that has several, an estimate from measurements counts more than a prediction.

    What is believed is one standard error above what was measured, and no less than that: an error of rounding happens
    to help on some clips, and a programme that may choose among hundreds finds all that did.
    """
    modes = set(table.means.filter(level=level)["mode"])
    sources = [table.scores(level, "add")] + ([table.estimates(level)] if "open" in modes else [])
    ranked: dict[Key, tuple[bool, float]] = {}
    for row in (row for rows in sources for row in rows.iter_rows(named=True)):
        key = row["call_site"], row["kind"], row["bits"]
        if row["kind"] not in ("w", "a", "wa") or row["channel"] is not None or row["zeta"] is None:
            continue
        error = row["stderr"]
        caution = 0.0 if error is None or isnan(error) else float(error)
        new = (
            row["source"] != "predicted",
            float(row["zeta"]) if not caution else max(0.0, float(row["zeta"])) + caution,
        )
        if key not in ranked or new[0] >= ranked[key][0]:
            ranked[key] = new
    return {key: zeta for key, (_, zeta) in ranked.items()}


def _channels(table: SensitivityTable) -> dict[tuple[str, str], dict[int, tuple[float, ...]]]:
    rows = table.scores(level="channel", mode="add")
    found: dict[tuple[str, str], dict[int, dict[int, float]]] = {}
    for row in rows.iter_rows(named=True):
        if row["channel"] is not None and row["zeta"] is not None:
            by_bits = found.setdefault((row["call_site"], row["kind"]), {})
            by_bits.setdefault(row["bits"], {})[row["channel"]] = float(row["zeta"])
    result: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    for key, widths in found.items():
        count = 1 + max(max(channels) for channels in widths.values())
        whole = {bits: values for bits, values in widths.items() if len(values) == count}
        if whole:
            result[key] = {bits: tuple(values[c] for c in range(count)) for bits, values in whole.items()}
    return result
