"""SensitivityTable: what every part costs, as rows. Docs: docs/laboratory/sensitivity.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.exceptions import PolarsError

from quaver.errors import UsageError
from quaver.lab.display import html_table, percent, text_table
from quaver.lab.manifest import digest

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

VERSION = 1
_SHOWN = 12  # parts, where a table prints itself
ALL = "all"  # kinds of modules together
MEAN = "mean"  # the clip of rows that are means over clips

# One row is a part at a precision, for one lambda and one clip or their mean.
SCHEMA: dict[str, Any] = {
    "model_hash": pl.String,
    "call_site": pl.String,  # of a layer; a module's name; two modules "a + b"; a recirculated part
    "module": pl.String,
    "kind": pl.String,  # w | a | state
    "level": pl.String,  # module | layer | channel | pair | codec
    "channel": pl.Int32,
    "bits": pl.Int32,
    "mode": pl.String,  # add | open | drop | impulse | noise | open noise
    "lambda": pl.Float64,
    "clip": pl.String,  # or "mean"
    "frames": pl.Int32,
    "rate": pl.Float64,  # R of the float model, bits per luma sample
    "dR": pl.Float64,
    "dD": pl.Float64,
    "zeta": pl.Float64,  # dJ / R; of pairs, what is left beyond the sum of the two
    "stderr": pl.Float64,  # of zeta over clips
    "floor": pl.Float64,  # |zeta| that a perturbation of 1e-4 reaches
    "under_floor": pl.Boolean,
    "slope": pl.Float64,  # of dJ(t) / R per frame, with its 95 % interval
    "slope_low": pl.Float64,
    "slope_high": pl.Float64,
    "gain": pl.Float64,  # of an impulse, with its 95 % interval; null where its first frame is not above the floor
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "decay": pl.Float64,
    "decay_low": pl.Float64,
    "decay_high": pl.Float64,
    "first": pl.Float64,  # first-order and Fisher scores, in units of zeta
    "fisher": pl.Float64,
    "source": pl.String,  # measured | predicted
    "encoder_only": pl.Boolean,
    "curve": pl.List(pl.Float64),  # dJ(t) / R
}
_LATER = ("gain_low", "gain_high", "decay_low", "decay_high")  # columns that earlier tables of this version lack
KEY = ("model_hash", "call_site", "kind", "level", "channel", "bits", "mode", "lambda", "clip", "frames")
PROXY_SCHEMA: dict[str, Any] = {
    "proxy": pl.String,
    "level": pl.String,
    "modules": pl.String,  # all, or one kind of them: decoder, loop, ...
    "kind": pl.String,
    "bits": pl.Int32,
    "lambda": pl.Float64,  # null: means over all
    "against": pl.String,  # closed | open: the truth it is compared with
    "rank_correlation": pl.Float64,  # Spearman's, to the measured zeta
    "count": pl.Int32,  # of layers or channels compared
    "seconds": pl.Float64,  # of the processor, for all of them together
    "surrogate": pl.String,
}


@dataclass(frozen=True, repr=False)
class SensitivityTable:
    """Rows of `SCHEMA`, the proxies' audit, and the manifest of the run that measured them.

    histograms: per call site and kind what its values are, for the report.
    """

    rows: pl.DataFrame
    proxies: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PROXY_SCHEMA))
    manifest: Mapping[str, Any] = field(default_factory=dict)
    histograms: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], **others: Any) -> SensitivityTable:
        """From plain rows; what a row does not say is null."""
        return cls(pl.DataFrame([dict(row) for row in rows], schema=SCHEMA), **others)

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of the rows."""
        return digest(self.rows.rows())

    def __len__(self) -> int:
        return len(self.rows)

    def to_polars(self) -> pl.DataFrame:
        return self.rows

    @cached_property
    def means(self) -> pl.DataFrame:
        """Only the means over clips."""
        return self.rows.filter(pl.col("clip") == MEAN)

    @property
    def clips(self) -> Sequence[str]:
        """Names of the clips measured, in the order of their first rows."""
        return [name for name in self.rows["clip"].unique(maintain_order=True) if name not in (MEAN, None)]

    def of_clips(self, clips: Sequence[str]) -> SensitivityTable:
        """What some of the clips say alone: rates, losses, standard errors and floors of their means, with neither
        curves nor what is only known of all clips, such as predictions."""
        own = self.rows.filter(pl.col("clip").is_in(clips))
        keys = [key for key in KEY if key != "clip"] + ["module", "source", "encoder_only"]
        means = own.group_by(keys, maintain_order=True).agg(
            pl.lit(MEAN).alias("clip"),
            pl.col("rate", "dR", "dD", "zeta").mean(),
            (pl.col("zeta").std() / pl.len().sqrt()).alias("stderr"),
            # Noise of clips is independent.
            pl.when(pl.col("floor").is_null().any())
            .then(None)
            .otherwise(pl.col("floor").pow(2).sum().sqrt() / pl.len())
            .alias("floor"),
        )
        means = means.with_columns((pl.col("zeta").abs() <= pl.col("floor")).alias("under_floor"))
        rows = pl.concat([own, means], how="diagonal")
        return SensitivityTable(rows.select(list(SCHEMA)), manifest=self.manifest)

    @property
    def channels(self) -> pl.DataFrame:
        """Means of channels without the loop; of call sites, kinds and bits that only have them in closed loop, as
        tables of earlier versions do, those."""
        rows = self.means.filter(level="channel")
        unlooped, site = rows.filter(mode="open"), ["call_site", "kind", "bits"]
        return pl.concat([unlooped, rows.filter(mode="add").join(unlooped, on=site, how="anti")])

    def scores(self, level: str = "layer", mode: str = "add") -> pl.DataFrame:
        """call_site, module, kind, bits, channel, zeta, stderr, ...: means over clips and lambda, worst first; of the
        shortest clips, where some were measured over more frames for their drift."""
        groups = ["call_site", "module", "kind", "channel", "bits", "encoder_only", "source"]
        chosen = self.means.filter((pl.col("level") == level) & (pl.col("mode") == mode))
        chosen = chosen.filter(pl.col("frames") == pl.col("frames").min().over(groups))
        return (
            chosen.group_by(groups)
            .agg(
                pl.col("zeta").mean(),
                (pl.col("stderr").pow(2).mean().sqrt()).alias("stderr"),
                pl.when(pl.col("floor").is_null().any())
                .then(None)
                .otherwise(pl.col("floor").pow(2).sum().sqrt() / pl.len())
                .alias("floor"),
                pl.col("dR").mean(),
                pl.col("dD").mean(),
                pl.col("first").mean(),
                pl.col("fisher").mean(),
            )
            .with_columns((pl.col("zeta").abs() <= pl.col("floor")).alias("under_floor"))
            .sort(["zeta", *groups], descending=[True, *[False] * len(groups)])
        )

    def estimates(self, level: str = "layer") -> pl.DataFrame:
        """As `scores`, from the closed loop as far as its noise permits and else from what was measured without the
        loop: what an allocation should believe. See `quaver.lab.analyse.estimate`."""
        from quaver.lab.analyse.estimate import estimates

        return estimates(self, level)

    def worst(self, level: str = "layer") -> pl.DataFrame:
        """What certainly costs something, most first: estimates where there are some, or scores above the floor."""
        modes = set(self.means.filter(level=level)["mode"])
        known = self.estimates(level) if {"add", "open"} <= modes else self.scores(level, min(modes, default="add"))
        return known.filter((pl.col("zeta") > 0) & ~pl.col("under_floor") & (pl.col("source") != "predicted"))

    def merge(self, *others: SensitivityTable) -> SensitivityTable:
        """All rows; of rows with the same key the last table's."""
        tables = (self, *others)
        rows = pl.concat([table.rows for table in tables]).unique(KEY, keep="last", maintain_order=True)
        proxies = pl.concat([table.proxies for table in tables]).unique(
            ["proxy", "level", "modules", "kind", "bits", "lambda", "against", "surrogate"],
            keep="last",
            maintain_order=True,
        )
        runs = [run for table in tables for run in table.manifest.get("merged", [table.manifest]) if run]
        histograms = {name: value for table in tables for name, value in table.histograms.items()}
        return SensitivityTable(rows, proxies, {"merged": runs}, histograms)

    def save(self, folder: Path) -> None:
        """sensitivity.parquet and sensitivity.json, each written beside its name and renamed."""
        folder.mkdir(parents=True, exist_ok=True)
        notes = {"version": VERSION, "manifest": self.manifest, "histograms": self.histograms}
        extra = {"proxies": self.proxies.to_dicts()}
        texts = {key: json.dumps(value, sort_keys=True) for key, value in (notes | extra).items()}
        part = folder / "sensitivity.parquet.part"
        self.rows.write_parquet(part, metadata={f"quaver.{key}": text for key, text in texts.items()})
        part.replace(folder / "sensitivity.parquet")
        part = folder / "sensitivity.json.part"
        columns = {name: self.rows[name].to_list() for name in SCHEMA}
        part.write_text(json.dumps(notes | extra | {"columns": columns}, sort_keys=True, allow_nan=True))
        part.replace(folder / "sensitivity.json")

    @classmethod
    def load(cls, path: Path) -> SensitivityTable:
        """A .parquet or .json file, or a folder that holds one. UsageError says what is wrong with it."""
        file = path / "sensitivity.parquet" if path.is_dir() else path
        try:
            if file.suffix == ".json":
                notes = json.loads(file.read_text())
                columns = notes["columns"]
                schema = {name: kind for name, kind in SCHEMA.items() if name in columns or name not in _LATER}
                rows = pl.DataFrame(columns, schema=schema)
            else:
                texts = pl.read_parquet_metadata(file)
                notes = {
                    key.removeprefix("quaver."): json.loads(text)
                    for key, text in texts.items()
                    if key.startswith("quaver.")
                }
                rows = pl.read_parquet(file)
            if notes["version"] != VERSION:
                raise UsageError(f"{file}: table version {notes['version']}; this version reads {VERSION}")
            rows = rows.with_columns(
                pl.lit(None, SCHEMA[name]).alias(name) for name in _LATER if name not in rows.columns
            )
            proxies = pl.DataFrame(notes["proxies"], schema=PROXY_SCHEMA).with_columns(pl.col("modules").fill_null(ALL))
            return cls(rows.select(list(SCHEMA)), proxies, notes["manifest"], notes["histograms"])
        except OSError as error:
            raise UsageError(f"{file}: cannot read the table: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, PolarsError) as error:
            raise UsageError(f"{file}: not a sensitivity table: {str(error).splitlines()[0]}") from error

    def layers(self) -> Sequence[str]:
        """Call sites in the order of their first rows."""
        return self.rows.filter(pl.col("level") == "layer")["call_site"].unique(maintain_order=True).to_list()

    def heatmap(self, level: str = "layer", mode: str = "add") -> Figure:
        """zeta of parts (rows) by kind and bits (columns), logarithmic. Modes as in the table, or "estimate"."""
        from quaver.lab.analyse.figures import heatmap

        return heatmap(self, level, mode)

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _repr_html_(self) -> str:
        return html_table(*self._shown())

    def _shown(self) -> tuple[list[str], list[list[object]], str]:
        """What costs most, of the finest level that is not channels."""
        level = "layer" if self.layers() else "module"
        worst = self.worst(level).head(_SHOWN)
        rows: list[list[object]] = [
            [row["call_site"], row["kind"], row["bits"], percent(row["zeta"]), percent(row["stderr"]).lstrip("+")]
            for row in worst.iter_rows(named=True)
        ]
        model = str(self.rows["model_hash"].first() or "")[:16]
        caption = f"Sensitivity of model {model}: {len(self):,} rows, the {len(rows)} worst {level}s"
        return ["call site", "kind", "bits", "ζ", "±"], rows, caption
