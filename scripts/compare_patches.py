"""Patch tables at the same average bits: results/patches_equal.tsv, from real files of the clips given.

For each clip and each of --targets: the same bits everywhere, the programme's table, and chance (a table a seed, and
their mean), all chosen so that the average over the patches of *this clip* is within 2 % of the target. The programme
gets the budget, of the clips that scored it, whose table has that average here; where no table has, the two around are
interpolated, and `from` says so; where even the table that loses least has fewer bits than the target, it is that one.
Chance draws bits for every class and network evenly until the average fits. Averages are foreseen from the clip's
classes as they are without a table; coding with one moves them, and `avg_bits` is what came out.

A clip is several groups of one intra and --frames - 1 inter frames, coded at every quality. zeta of a group is the
change of J over the rate without a table, mean over qualities; its standard error is over groups, as is that of the
difference to the programme. Decoding is timed in processor time on one core: in each turn one file with the table and
one without, in changing order; what a turn saves is the difference of its medians over inter frames, and the interval
is that of the median over turns by order statistics, 95 % or just more. Chance's turns are shared among the seeds.
Clips and targets that the table has are kept: run it again to go on.

usage: compare_patches.py MODEL CLIP... --scores SCORES [--targets 6,4] [--seeds 3] [--qualities 12,32] [--groups 4]
       [--frames 9] [--turns 12] [--out results/patches_equal.tsv]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from coded_clips import Clip, Result
from measure_patches import decode
from provenance import comment
from turns import interval, use_cores

from quaver.errors import UsageError
from quaver.evaluate.points import write_table
from quaver.lab.allocate.patch_scores import PatchScores
from quaver.lab.allocate.patch_table import allocate
from quaver.lab.analyse.over_time import standard_error
from quaver.runtime.model import load_model
from quaver.runtime.patches import FEATURES, FULL, NETWORKS, PatchTable

HEADER = (
    "clip", "target", "table", "avg_bits", "skipped", "bops_saved", "zeta", "stderr", "over_programme", "stderr_over",
    "ms_decode", "ms_without", "ms_saved", "low", "high", "turns", "from", "model_hash",
)  # fmt: skip
NEAR = 0.02  # of the target, that a realized average may be away
BUDGETS = np.arange(1, FULL + 0.01, 0.05)
TRIES = 200_000


def uniform(clip: Clip, target: float) -> tuple[Result, str]:
    """`target` bits everywhere."""
    bits = np.full((1, len(NETWORKS)), int(target), np.uint8)
    return clip.run(PatchTable(dict.fromkeys(FEATURES, ()), bits)), "itself"


def programme(clip: Clip, scores: PatchScores, target: float) -> tuple[Result, str]:
    """The table under whose budget this clip has `target` bits, or two interpolated."""
    found: dict[bytes, tuple[float, str, PatchTable]] = {}  # foreseen average, budget, table
    for budget in BUDGETS:
        text = f"avg_bits={budget:.2f}"
        try:
            table = allocate(scores, clip.model, [text]).table
        except UsageError:  # less than the least
            continue
        found.setdefault(table.bits.tobytes(), (clip.average(table), text, table))
    aim = target
    tried: list[tuple[Result, str]] = []
    for _ in range(4):
        foreseen, text, table = min(found.values(), key=lambda each: abs(each[0] - aim))
        if text in [each for _, each in tried]:
            break
        result = clip.run(table)
        tried.append((result, text))
        if abs(result.bits / target - 1) <= NEAR:
            return result, text
        aim = target + foreseen - result.bits
    beyond = [each for each in found.values() if (each[0] > foreseen) == (result.bits < target) and each[0] != foreseen]
    if not beyond:
        return result, text
    _, other_text, table = min(beyond, key=lambda each: abs(each[0] - foreseen))
    other = clip.run(table)
    share = min(1.0, max(0.0, (target - result.bits) / (other.bits - result.bits)))
    return _between(result, other, share), f"{1 - share:.2f} {text} + {share:.2f} {other_text}"


def _between(a: Result, b: Result, share: float) -> Result:
    """1 - `share` of `a` and `share` of `b`; model and files are the larger part's."""
    mixed = {
        name: (1 - share) * getattr(a, name) + share * getattr(b, name) for name in ("zeta", "bits", "skipped", "saved")
    }
    return replace(a if share < 0.5 else b, **mixed)


def by_chance(clip: Clip, scores: PatchScores, target: float, seed: int) -> tuple[Result, str]:
    """Of tables drawn evenly the first whose average is near `target`."""
    rng, widths = np.random.default_rng(seed), np.array([*scores.widths, FULL], np.uint8)
    for draw in range(TRIES):
        table = PatchTable(scores.thresholds, rng.choice(widths, (len(clip.shares), len(NETWORKS))))
        if abs(clip.average(table) / target - 1) <= NEAR / 4:
            result = clip.run(table)
            if abs(result.bits / target - 1) <= NEAR:
                return result, f"seed {seed}, draw {draw}"
    raise SystemExit(f"seed {seed}: none of {TRIES} tables has {target} bits on average")


def timed(clip: Clip, results: Sequence[Result], count: int) -> list[tuple[float, float]]:
    """Milliseconds of an inter frame with a table and without, by turn; results and files take turns."""
    plain, found = clip.streams(), []
    for turn in range(count):
        result, place = results[turn % len(results)], turn // len(results) % len(plain)
        files = [(result.streams[place], result.model), (plain[place], clip.model)]
        times = {which: decode(*files[which])[1] for which in ((0, 1) if turn % 2 else (1, 0))}
        found.append((times[0], times[1]))
    return found


def _row(
    name: str, result: Result, of_programme: Result, times: Sequence[tuple[float, float]], origin: str
) -> list[str]:
    over = result.zeta - of_programme.zeta
    row = [name, f"{result.bits:.2f}", f"{result.skipped:.3f}", f"{result.saved:.3f}", f"{result.zeta.mean():.4f}",
           f"{standard_error(result.zeta):.4f}"]  # fmt: skip
    row += ["", ""] if result is of_programme else [f"{over.mean():.4f}", f"{standard_error(over):.4f}"]
    if not times:
        return [*row, "", "", "", "", "", "0", origin]
    saved = [without - own for own, without in times]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    figures = [*medians, statistics.median(saved), *interval(saved)]
    return [*row, *(f"{value:.2f}" for value in figures), str(len(times)), origin]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--targets", default="6,4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--qualities", default="12,32")
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("results/patches_equal.tsv"))
    given = parser.parse_args()
    use_cores(1)
    model, scores = load_model(given.model), PatchScores.load(given.scores)
    first = comment(
        model, f"{given.groups} groups of {given.frames} frames", f"losses of classes from {scores.setting}"
    )
    rows: list[list[str]] = []
    if given.out.exists():
        lines = [line.rstrip("\n").split("\t") for line in given.out.open() if not line.startswith("#")]
        rows = [line for line in lines[1:] if line[-1] == model.hash.hex()[:16]]
    for path in given.clips:
        targets = [each for each in given.targets.split(",") if [path.stem, each] not in [row[:2] for row in rows]]
        if not targets:
            continue
        qualities = [int(quality) for quality in given.qualities.split(",")]
        clip = Clip(path, model, scores.thresholds, given.groups, given.frames, qualities)
        for target in targets:
            best, origin = programme(clip, scores, float(target))
            same, _ = uniform(clip, float(target))
            drawn = [by_chance(clip, scores, float(target), seed) for seed in range(given.seeds)]
            results = [result for result, _ in drawn]
            mean = replace(
                results[0],
                **{
                    name: np.mean([getattr(result, name) for result in results], axis=0)
                    for name in ("zeta", "bits", "skipped", "saved")
                },
            )
            new = [
                _row("programme", best, best, timed(clip, [best], given.turns), origin),
                _row("uniform", same, best, timed(clip, [same], given.turns), ""),
                *(_row(f"chance {seed}", result, best, [], text) for seed, (result, text) in enumerate(drawn)),
                _row("chance, mean", mean, best, timed(clip, results, given.turns), ""),
            ]
            rows += [[path.stem, target, *row, model.hash.hex()[:16]] for row in new]
            print(*("\t".join(row) for row in rows[-len(new) :]), sep="\n", flush=True)
            write_table(given.out, HEADER, rows, first)


if __name__ == "__main__":
    main()
