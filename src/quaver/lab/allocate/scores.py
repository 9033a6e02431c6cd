"""Sensitivities as the allocator needs them: zeta of every call site, kind and width, and of channels and modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING

from scipy.optimize import isotonic_regression

from quaver.errors import UsageError
from quaver.lab.allocate.problem import Pair

if TYPE_CHECKING:
    from quaver.lab.analyse.table import SensitivityTable

Key = tuple[str, str, int]  # call site (or module), "w", "a" or "wa", bits
# In standard errors: rounding happens to help on some clips, and a programme that may choose among hundreds finds all
# those. With a whole one, which all parts of a plan have, their sum is far too high (docs/laboratory/allocation.md).
CAUTION = 0.25


@dataclass(frozen=True, slots=True)
class Scores:
    """layers, modules: zeta where only this call site (only this module) has so many bits, and the rest is float.
    channels: by (call site, kind), bits -> zeta of each channel. pairs: of modules, beyond the sum of their own.
    errors: standard errors of layers, where they are known."""

    model_hash: str
    layers: Mapping[Key, float]
    channels: Mapping[tuple[str, str], Mapping[int, tuple[float, ...]]] = field(default_factory=dict)
    modules: Mapping[Key, float] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    errors: Mapping[Key, float] = field(default_factory=dict)

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

    def believed(self) -> Scores:
        """What can be believed of every call site and kind at its measured widths, and at those between.

        From the fewest bits up. Loss is of second order in the error, whose square falls by four with a bit; so
        zeta 4^-n is expected n bits further on, within zeta 2^-n, since few bits may have lost all that can be lost.
        The measurement counts beside that by its own error, as means of normal distributions do: much at few bits, and
        little where losses drown in noise. CAUTION of what is left of the error is added. Between measured widths zeta
        falls by equal factors.
        """
        layers: dict[Key, float] = {}
        for site, kind in dict.fromkeys((site, kind) for site, kind, _ in self.layers):
            keys = {bits: (site, kind, bits) for bits in self.bits(site, kind)}
            measured = {bits: (self.layers[key], self.errors.get(key)) for bits, key in keys.items()}
            layers |= {(site, kind, bits): zeta for bits, zeta in _between(_supported(measured)).items()}
        return replace(self, layers=layers, errors={})


def _supported(measured: Mapping[int, tuple[float, float | None]]) -> dict[int, float]:
    """By bits, ascending, what a measurement and its standard error are worth beside those at fewer bits."""
    (first, (zeta, error)), *rest = measured.items()
    mean, spread = max(0.0, zeta), error or 0.0
    result = {first: mean + CAUTION * spread}
    for before, (bits, (zeta, error)) in zip(measured, rest, strict=False):
        prior, width = mean * 4.0 ** (before - bits), mean * 2.0 ** (before - bits)
        error = width if error is None else error
        share = width**2 / (width**2 + error**2) if width > 0 else 0.0
        mean = min(mean, max(0.0, prior + share * (zeta - prior)))
        spread = share**0.5 * error
        result[bits] = min(mean + CAUTION * spread, result[before])
    return result


def _between(believed: Mapping[int, float]) -> dict[int, float]:
    """All widths from the first to the last."""
    result = dict(believed)
    for low, high in pairwise(believed):
        first, last = believed[low], believed[high]
        factor = (last / first) ** (1 / (high - low)) if first > 0 and last > 0 else 0.25
        result |= {bits: first * factor ** (bits - low) for bits in range(low + 1, high)}
    return result


def table_scores(table: SensitivityTable) -> Scores:
    """Means over clips and lambda of what a table measured or predicted with one part quantized, in closed loop ("add")
    as far as its noise permits and else without the loop ("open"). UsageError where it holds several models or no
    layers."""
    hashes = table.rows["model_hash"].unique().to_list()
    if len(hashes) != 1:
        raise UsageError(f"the table holds {len(hashes)} models; one is legal")
    layers, errors = _scores(table, "layer")
    if not layers:
        raise UsageError('the table scores no layers with one part quantized; analyse at level "layer" first')
    pairs = []
    for (name, kind, bits), zeta in _scores(table, "pair")[0].items():
        first, _, second = name.partition(" + ")
        pairs.append(Pair((first, kind, bits), (second, kind, bits), zeta))
    return Scores(hashes[0], layers, _channels(table), _scores(table, "module")[0], tuple(pairs), errors)


def _scores(table: SensitivityTable, level: str) -> tuple[dict[Key, float], dict[Key, float]]:
    """zeta and standard error of a part; where it has several, an estimate from measurements counts more than a
    prediction."""
    modes = set(table.means.filter(level=level)["mode"])
    sources = [table.scores(level, "add")] + ([table.estimates(level)] if "open" in modes else [])
    ranked: dict[Key, tuple[bool, float, float | None]] = {}
    for row in (row for rows in sources for row in rows.iter_rows(named=True)):
        key = row["call_site"], row["kind"], row["bits"]
        if row["kind"] not in ("w", "a", "wa") or row["channel"] is not None or row["zeta"] is None:
            continue
        error = row["stderr"]
        known = None if error is None or isnan(error) else float(error)
        new = (row["source"] != "predicted", float(row["zeta"]), known)
        if key not in ranked or new[0] >= ranked[key][0]:
            ranked[key] = new
    zetas = {key: zeta for key, (_, zeta, _) in ranked.items()}
    return zetas, {key: error for key, (_, _, error) in ranked.items() if error is not None}


def _channels(table: SensitivityTable) -> dict[tuple[str, str], dict[int, tuple[float, ...]]]:
    """Of channels without the loop, and in closed loop where there is nothing else."""
    known = replace(table, rows=table.channels)
    found: dict[tuple[str, str], dict[int, dict[int, float]]] = {}
    for row in (row for mode in ("add", "open") for row in known.scores("channel", mode).iter_rows(named=True)):
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
