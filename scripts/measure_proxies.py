"""Do cheap scores order layers as the truth does, and what do they cost? results/proxies.tsv: rank correlations over
all layers and within each kind of modules, against zeta in closed and in open loop; means over lambda.

An analysis as `quaver analyse` makes it, kept in --work: run it again to go on. `truth, half of the clips` bounds what
can be expected.

usage: measure_proxies.py WEIGHTS --train DIR --work DIR --out results/proxies.tsv
"""

from __future__ import annotations

import polars as pl
import torch
from clips_apart import halves
from provenance import comment
from training_clips import add_crops, clip_cache, crops, study_parser

from quaver.evaluate.points import write_table
from quaver.lab.analyse.analysis import analyse
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.quaver_adapter import QuaverAdapter

QUALITIES = 20, 44
HEADER = ("modules", "kind", "bits", "proxy", "closed", "open", "layers", "seconds_cpu")


def main() -> None:
    parser = study_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", default="4")
    add_crops(parser, 2, 8, 64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = crops(arguments, halves(clip_cache(arguments))[0])
    config = AnalyseConfig(
        bits=tuple(int(bits) for bits in arguments.bits.split(",")), modes=("add", "open"), kinds=("w", "a"),
        frames=arguments.frames, drift_frames=0, impulse_frames=0, noise=4, pairs=False,
    )  # fmt: skip
    adapter = QuaverAdapter.load(arguments.checkpoint, qualities=QUALITIES)
    table = analyse(adapter, clips, config, arguments.work, announce=lambda estimate: print(estimate, flush=True))
    means = table.proxies.filter(pl.col("lambda").is_null(), level="layer")
    groups = means.group_by("modules", "kind", "bits", "proxy", maintain_order=True).agg(
        pl.col("rank_correlation").filter(against="closed").mean().alias("closed"),
        pl.col("rank_correlation").filter(against="open").mean().alias("open"),
        pl.col("count").first(),
        pl.col("seconds").max(),
    )
    rows = [
        (modules, kind, bits, name, _short(closed), _short(unlooped), count, f"{seconds:.1f}")
        for modules, kind, bits, name, closed, unlooped, count, seconds in groups.sort(
            pl.col("modules") != "all", "modules", "kind", "bits", maintain_order=True
        ).iter_rows()
    ]
    shape = "{} clips, {} frames, {}x{}".format(*clips.y.shape)
    notes = f"weights {table.manifest['model_hash'][:16]}", shape, f"qualities {QUALITIES}", "Spearman's"
    write_table(arguments.out, HEADER, rows, comment(None, *notes))
    for row in rows:
        print(*row, sep="\t")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
