"""Whether modules and recirculated state drift at low precision: results/slopes.tsv.

Every part alone at --bits in closed loop over --frames frames of larger crops than `quaver analyse` takes by default,
so that the loop's own noise is small; slope and its 95 % interval are those of `quaver analyse`, frame 1 left out.
Jobs that are done are kept in --work: run it again to go on.

usage: measure_slopes.py CHECKPOINT --train DIR --work DIR --out results/slopes.tsv
"""

from __future__ import annotations

import polars as pl
import torch
from provenance import comment
from training_clips import add_crops, clip_cache, crops, study_parser

from quaver.evaluate.points import write_table
from quaver.lab.analyse.analysis import analyse
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.quaver_adapter import QuaverAdapter

FIGURES = ("zeta", "stderr", "floor", "slope", "slope_low", "slope_high")
HEADER = ("part", "kind", "bits", "lambda", "frames", *FIGURES, "clear", "model_hash")


def main() -> None:
    parser = study_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=3)
    add_crops(parser, 8, 32, 192)
    parser.add_argument("--noise", type=int, default=10)
    parser.add_argument("--qualities", type=int, nargs="+", default=[20, 44])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = crops(arguments, clip_cache(arguments))
    config = AnalyseConfig(
        level="module", bits=(arguments.bits,), modes=("add",), kinds=("w", "a", "state"), frames=arguments.frames,
        drift_frames=0, impulse_frames=0, noise=arguments.noise, pairs=False, proxies=False,
    )  # fmt: skip
    adapter = QuaverAdapter.load(arguments.checkpoint, qualities=tuple(arguments.qualities))
    table = analyse(adapter, clips, config, arguments.work, announce=lambda said: print(said, flush=True))
    found = table.means.filter((pl.col("level") == "module") & (pl.col("mode") == "add")).sort("call_site", "kind")
    rows = [
        (
            row["call_site"], row["kind"], row["bits"], f"{row['lambda']:.4g}", row["frames"],
            *("" if row[name] is None else f"{row[name]:.5f}" for name in FIGURES),
            row["slope"] is not None and (row["slope_low"] > 0 or row["slope_high"] < 0), row["model_hash"][:16],
        )
        for row in found.iter_rows(named=True)
    ]  # fmt: skip
    said = f"{arguments.clips} clips, {arguments.size}x{arguments.size}, group of pictures: one intra frame"
    write_table(arguments.out, HEADER, rows, f"{comment()}; {said}; slope: of the loss over R, per frame")


if __name__ == "__main__":
    main()
