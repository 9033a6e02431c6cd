"""What becomes of the loss of modules and recirculated state at low precision: drift, results/slopes.tsv, or with
--impulse-frames the responses to one wrong frame, results/impulses.tsv.

Every part alone at --bits in closed loop over --frames frames of larger crops than `quaver analyse` takes by default,
so that the loop's own noise is small; slope and its 95 % interval are those of `quaver analyse`, frame 1 left out.
With --impulse-frames N no slopes are measured: every part is at --bits in one frame alone, and followed to frame N.
`first` is the loss over R in the first frame that it changes; gain and decay, with 95 % intervals over clips, are those
of `quaver analyse`: empty where `first` is not above what noise does to that frame. Jobs that are done are kept in
--work: run it again to go on.

usage: measure_slopes.py CHECKPOINT --train DIR --work DIR --out results/slopes.tsv
       measure_slopes.py CHECKPOINT --train DIR --work DIR --out results/impulses.tsv --impulse-frames 16
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from provenance import comment
from training_clips import add_crops, clip_cache, crops, study_parser

from quaver.evaluate.points import write_table
from quaver.lab.analyse.analysis import analyse
from quaver.lab.analyse.config import RANKING_FRAMES, AnalyseConfig
from quaver.lab.analyse.quaver_adapter import QuaverAdapter

PART = ("part", "kind", "bits", "lambda", "frames")
SLOPES = ("zeta", "stderr", "floor", "slope", "slope_low", "slope_high")
IMPULSES = ("first", "gain", "gain_low", "gain_high", "decay", "decay_low", "decay_high")
Row = dict[str, object]


def config_of(arguments: argparse.Namespace) -> AnalyseConfig:
    """Of slopes, or of impulses: with those comes what a part loses at once, over as few frames as scales need."""
    slopes = AnalyseConfig(
        level="module", bits=(arguments.bits,), modes=("add",), kinds=("w", "a", "state"), frames=arguments.frames,
        drift_frames=0, impulse_frames=0, noise=arguments.noise, pairs=False, proxies=False,
    )  # fmt: skip
    if not arguments.impulse_frames:
        return slopes
    frames = min(RANKING_FRAMES, arguments.frames)
    return replace(slopes, modes=("open",), frames=frames, impulse_frames=arguments.impulse_frames)


def row_of(found: Row, figures: tuple[str, ...]) -> list[object]:
    """Columns of PART, then `figures`."""
    shown = ("" if found[name] is None else f"{found[name]:.5f}" for name in figures)
    return [found["call_site"], found["kind"], found["bits"], f"{found['lambda']:.4g}", found["frames"], *shown]


def main() -> None:
    parser = study_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=3)
    add_crops(parser, 8, 32, 192)
    parser.add_argument("--impulse-frames", type=int, default=0, help="impulse responses of so many frames instead")
    parser.add_argument("--noise", type=int, default=10)
    parser.add_argument("--qualities", type=int, nargs="+", default=[20, 44])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = crops(arguments, clip_cache(arguments))
    adapter = QuaverAdapter.load(arguments.checkpoint, qualities=tuple(arguments.qualities))
    table = analyse(adapter, clips, config_of(arguments), arguments.work, announce=lambda said: print(said, flush=True))
    mode = "impulse" if arguments.impulse_frames else "add"
    rows: list[tuple[object, ...]] = []
    for found in table.means.filter(level="module", mode=mode).sort("call_site", "kind").iter_rows(named=True):
        model = found["model_hash"][:16]
        if mode == "impulse":
            # Frames before the impulse are the float model's own, to the bit.
            first: Row = {"first": next((loss for loss in found["curve"] if loss), 0.0)}
            rows.append((*row_of(found | first, IMPULSES), model))
        else:
            clear = found["slope"] is not None and (found["slope_low"] > 0 or found["slope_high"] < 0)
            rows.append((*row_of(found, SLOPES), clear, model))
    header = (*PART, *(IMPULSES if mode == "impulse" else (*SLOPES, "clear")), "model_hash")
    meaning = "first: of the loss over R" if mode == "impulse" else "slope: of the loss over R, per frame"
    said = f"{arguments.clips} clips, {arguments.size}x{arguments.size}, group of pictures: one intra frame"
    write_table(arguments.out, header, rows, f"{comment()}; {said}; {meaning}")


if __name__ == "__main__":
    main()
