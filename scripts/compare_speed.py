"""Are models measurably faster than another? results/faster.tsv: of each a row for each clip and for all of them.

Each model codes the clip's first frames once; then its stream (b) and the other's (a) are decoded in turns in one
process on one core, so that whatever else the machine does meets both. ratio: of milliseconds per inter frame, b over
a, the median over turns of paired medians; low, high: its 95 % bootstrap interval over turns. ratio_cpu: the same of
processor time.

usage: compare_speed.py A.qvm CLIP... --models B.qvm... --out results/faster.tsv
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from passes import decode, encode
from provenance import comment
from scipy.stats import bootstrap
from turns import use_cores

from quaver.evaluate.points import write_table
from quaver.evaluate.run import read_clip
from quaver.runtime.model import IntegerModel, load_model

HEADER = (
    "a", "b", "name_a", "name_b", "clip", "size", "quality", "turns", "ms_a", "ms_b", "ratio", "low", "high",
    "ratio_cpu",
)  # fmt: skip
Turn = tuple[float, float]  # milliseconds of an inter frame: by the clock, of the processor


def turn(path: Path, model: IntegerModel) -> Turn:
    """Medians over the inter frames of one pass."""
    laps = [lap for lap, _ in decode(path, model)][1:]
    return 1000 * statistics.median(lap.wall for lap in laps), 1000 * statistics.median(lap.cpu for lap in laps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--quality", type=int, default=32)
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    use_cores(1)
    rows: list[tuple[object, ...]] = []
    for path in arguments.models:
        rows += compared((arguments.a, path), arguments)
    write_table(arguments.out, HEADER, rows, comment())


def compared(files: tuple[Path, Path], arguments: argparse.Namespace) -> list[tuple[object, ...]]:
    """The rows of two models."""
    models = [load_model(str(file)) for file in files]
    names = *(model.hash.hex()[:16] for model in models), *(file.stem for file in files)
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
            rows.append((*names, clip.stem, size, arguments.quality, *figures(turns)))
            print(*rows[-1], sep="\t", flush=True)
    rows.append((*names, "all", "", arguments.quality, *figures(np.concatenate(everything))))
    print(*rows[-1], sep="\t", flush=True)
    return rows


def figures(turns: np.ndarray) -> tuple[object, ...]:
    """What HEADER names from "turns" on."""
    clock, cpu = (turns[:, 1, kind] / turns[:, 0, kind] for kind in (0, 1))
    interval = bootstrap((clock,), np.median, n_resamples=2000, method="percentile", rng=0).confidence_interval
    numbers = np.median(clock), interval.low, interval.high, np.median(cpu)
    return len(turns), *(f"{ms:.2f}" for ms in np.median(turns[:, :, 0], 0)), *(f"{number:.4f}" for number in numbers)


if __name__ == "__main__":
    main()
