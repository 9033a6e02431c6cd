"""Is one model measurably faster than another? results/faster.tsv: a row for each clip and for all of them.

Each model codes the clip's first frames once; then its stream and the other's are decoded in turns in one process on
one core, so that whatever else the machine does meets both. ratio: of milliseconds per inter frame, B over A, the
median over turns of paired medians; low, high: the 2.5 and 97.5 percentiles of 2,000 bootstrap resamples of turns.
ratio_cpu: the same of processor time.

usage: compare_speed.py A.qvm B.qvm CLIP... --out results/faster.tsv
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from passes import decode, encode
from provenance import comment
from turns import use_cores

from quaver.evaluate.points import read_table, write_table
from quaver.evaluate.run import read_clip
from quaver.runtime.model import IntegerModel, load_model

HEADER = (
    "a", "b", "clip", "size", "quality", "turns", "ms_a", "ms_b", "ratio", "low", "high", "ratio_cpu", "name_a",
    "name_b",
)  # fmt: skip
Turn = tuple[float, float]  # milliseconds of an inter frame: by the clock, of the processor


def turn(path: Path, model: IntegerModel) -> Turn:
    """Medians over the inter frames of one pass."""
    laps = [lap for lap, _ in decode(path, model)][1:]
    return 1000 * statistics.median(lap.wall for lap in laps), 1000 * statistics.median(lap.cpu for lap in laps)


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % of the median, by bootstrap over turns."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), 1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--quality", type=int, default=32)
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    use_cores(1)
    models = load_model(str(arguments.a)), load_model(str(arguments.b))
    hashes = tuple(model.hash.hex()[:16] for model in models)
    old = [tuple(row.values()) for row in read_table(arguments.out) if (row["a"], row["b"]) != hashes]
    rows, everything = [], []
    with tempfile.TemporaryDirectory() as folder:
        for clip in arguments.clips:
            pictures = read_clip(clip, arguments.frames)
            paths = Path(folder) / "a.qvr", Path(folder) / "b.qvr"
            for path, model in zip(paths, models, strict=True):
                encode(pictures, path, arguments.quality, model)
                turn(path, model)  # warm
            turns = np.array(
                [[turn(*each) for each in zip(paths, models, strict=True)] for _ in range(arguments.turns)]
            )  # (turns, models, clock and processor)
            everything.append(turns)
            size = f"{pictures[0].format.width}x{pictures[0].format.height}"
            rows.append(row(hashes, clip.stem, size, turns, arguments))
            print(*rows[-1], sep="\t", flush=True)
    if len(everything) > 1:
        rows.append(row(hashes, "all", "", np.concatenate(everything), arguments))
        print(*rows[-1], sep="\t")
    write_table(arguments.out, HEADER, [*old, *rows], comment())


def row(
    hashes: tuple[str, ...], clip: str, size: str, turns: np.ndarray, arguments: argparse.Namespace
) -> tuple[object, ...]:
    clock, cpu = (turns[:, 1, kind] / turns[:, 0, kind] for kind in (0, 1))
    low, high = interval(clock)
    a, b = np.median(turns[:, :, 0], 0)
    return (
        *hashes, clip, size, arguments.quality, len(turns), f"{a:.2f}", f"{b:.2f}", f"{np.median(clock):.4f}",
        f"{low:.4f}", f"{high:.4f}", f"{np.median(cpu):.4f}", arguments.a.stem, arguments.b.stem,
    )  # fmt: skip


if __name__ == "__main__":
    main()
