"""Sensitivity tables of several weights with the same settings, what they took, and whether they agree.

Modules are measured in closed loop and without it, layers without: what the loop makes of a layer's loss is its
module's (`lab.analyse.estimate`). `quaver analyse` measures layers in closed loop too, at twice the jobs or more.

Writes WORK/NAME/ (the tables; interrupted runs go on), a row per checkpoint to --out as soon as it is there, how the
order of its layers and modules agrees between even and odd clips (a bound of what can agree at all: half of the clips
is noisier than all), and last how it agrees between the first checkpoint and each other.

usage: measure_analysis.py CHECKPOINT... --train DIR --work DIR --out results/analysis.tsv
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from clips_apart import halves
from provenance import comment
from training_clips import clip_cache, crops

from quaver.evaluate.points import read_table, write_table
from quaver.lab.analyse.analysis import analyse
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.proxies import rank_correlation
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.table import SensitivityTable

HEADER = ("checkpoint", "what", "level", "kind", "bits", "count", "value", "model_hash", "seconds_cpu", "seconds")
HALVES = "Spearman of halves"
QUALITIES = 20, 44


def analysed(checkpoint: Path, arguments: argparse.Namespace) -> tuple[SensitivityTable, float, float]:
    """The table, and what measuring took of the processor and by the clock, summed over earlier runs and workers."""
    clips = crops(arguments, halves(clip_cache(arguments))[0])
    folder, bits = arguments.work / checkpoint.stem, tuple(int(b) for b in arguments.bits.split(","))
    if not arguments.layers and (folder / "sensitivity.parquet").exists() and (folder / "seconds").exists():
        used, clock = (float(text) for text in (folder / "seconds").read_text().split())
        return SensitivityTable.load(folder), used, clock
    config = AnalyseConfig(
        level="module", bits=bits, modes=("add", "open"), frames=arguments.frames, drift_frames=0, impulse_frames=0,
        pairs=False, proxies=False, only=tuple(arguments.layers), channel_sample=arguments.channels, channel_top=0.002,
    )  # fmt: skip
    layers = replace(config, level="channel" if arguments.channels else "layer", modes=("open",))
    folder.mkdir(parents=True, exist_ok=True)
    # Of each worker a file, added up at the end.
    part, begun = folder / f"seconds-{'-'.join(arguments.layers).replace('*', '')}.part", time.monotonic()
    before = [float(text) for text in part.read_text().split()] if part.exists() else [0.0, 0.0]

    def spent() -> list[float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return [before[0] + usage.ru_utime + usage.ru_stime, before[1] + time.monotonic() - begun]

    def keep(progress: object) -> None:
        part.write_text("{:.1f} {:.1f}".format(*spent()))

    adapter = QuaverAdapter.load(checkpoint, qualities=QUALITIES)
    parts = []
    for each in (layers,) if arguments.layers else (layers, config):
        announce = lambda estimate: print(estimate, flush=True)  # noqa: E731
        parts.append(analyse(adapter, clips, each, folder, announce=announce, show=keep))
    table = parts[0].merge(*parts[1:])
    table.save(folder)
    keep(None)
    if arguments.layers:
        return table, *spent()
    times = [[float(text) for text in each.read_text().split()] for each in folder.glob("seconds-*.part")]
    used, clock = sum(each[0] for each in times), sum(each[1] for each in times)
    (folder / "seconds").write_text(f"{used:.1f} {clock:.1f}")
    return table, used, clock


def agreement(name: str, what: str, a: SensitivityTable, b: SensitivityTable) -> list[tuple[object, ...]]:
    """Spearman's correlation between estimates of the call sites that both have."""
    rows: list[tuple[object, ...]] = []
    key = ["call_site", "kind", "bits"]
    for level in ("module", "layer"):
        joined = (
            a.estimates(level).join(b.estimates(level), on=key, suffix="_b").filter(pl.col("kind").is_in(["w", "a"]))
        )
        for kind, bits in joined.select("kind", "bits").unique().sort("kind", "bits").iter_rows():
            own = joined.filter(pl.col("kind").eq(kind) & pl.col("bits").eq(bits))
            value = rank_correlation(own["zeta"].to_list(), own["zeta_b"].to_list())
            rows.append((name, what, level, kind, bits, len(own), _short(value), "", "", ""))
    return rows


def halves_agree(name: str, table: SensitivityTable) -> list[tuple[object, ...]]:
    """Between the estimates of even and of odd clips; nothing where there is one clip."""
    even, odd = table.clips[::2], table.clips[1::2]
    return agreement(name, HALVES, table.of_clips(even), table.of_clips(odd)) if odd else []


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--bits", default="2,4,8")
    parser.add_argument("--channels", type=int, default=0, help="score channels too, measuring so many")
    parser.add_argument("--layers", action="append", default=[], help="only these, for a worker beside others")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables: dict[str, SensitivityTable] = {}
    for checkpoint in arguments.checkpoints:
        table, used, clock = analysed(checkpoint, arguments)
        if arguments.layers:
            continue
        tables[checkpoint.stem] = table
        layers, model = len(table.layers()), table.rows["model_hash"][0][:16]
        widths = sorted(set(table.rows.filter(level="layer")["bits"]))
        row = (
            checkpoint.stem, "analysis", "module, layer", "w, a", ",".join(map(str, widths)), layers,
            "", model, f"{used:.0f}", f"{clock:.0f}",
        )  # fmt: skip
        others = [tuple(old.values()) for old in read_table(arguments.out)]
        kept = [old for old in others if old[0] != checkpoint.stem]
        write_table(arguments.out, HEADER, [*kept, row, *halves_agree(checkpoint.stem, table)], comment())
        print(*row, sep="\t", flush=True)
    first, *rest = tables or [""]
    for name in rest:
        label = f"{first}, {name}"
        rows = agreement(label, "Spearman of zeta", tables[first], tables[name])
        kept = [tuple(old.values()) for old in read_table(arguments.out) if old["checkpoint"] != label]
        write_table(arguments.out, HEADER, [*kept, *rows], comment())


if __name__ == "__main__":
    main()
