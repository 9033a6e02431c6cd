"""Whether training with a patch table wins back what it loses: results/patches_training.tsv, real files of the clips.

For every seed the weights are quantized and trained in integers by --recipe, once without a table and once with each:
the programme's under --budgets and the same bits everywhere. The batches are the seed's, the same for all. Each table
is then coded with after training with it and after training without it; after either also no table. zeta is the change
of J over the rate of the model trained without a table and coding without one, of the same seed, mean over qualities;
standard errors are over clips. `gained` is what training with the table changes, clip by clip, where the same table (or
none) is coded with. Trained weights are kept in --work: run it again to go on.

usage: measure_patch_training.py WEIGHTS MODEL CLIP... --scores SCORES --train DIR --cache DIR --work DIR
       [--exclude PATTERN]... [--plan W7A8] [--recipe results/recipes/qat40-nano.json] [--seeds 7]
       [--budgets avg_bits=4] [--uniform 4] [--qualities 12,32] [--frames 9] [--out results/patches_training.tsv]
MODEL: the weights calibrated without training, which the scores are of.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from measure_patches import Watch, cost, decode, encode, tables
from numpy.typing import NDArray
from provenance import comment
from turns import use_cores

from quaver.codec import frame_coder
from quaver.evaluate.metrics import compare, mean_quality
from quaver.evaluate.points import write_table
from quaver.evaluate.run import read_clip
from quaver.lab.allocate.patch_scores import PatchScores
from quaver.lab.analyse.over_time import standard_error
from quaver.lab.lower.command import lower_checkpoint, read_plan
from quaver.lab.train.command import train_folder
from quaver.lab.train.recipes import load_recipe
from quaver.media.frame import Frame
from quaver.runtime.model import IntegerModel, load_model
from quaver.runtime.patches import FULL, PatchTable

HEADER = (
    "seed", "trained_with", "coded_with", "avg_bits", "bytes", "psnr_611", "zeta", "stderr", "gained", "stderr_gained",
    "steps", "model_hash",
)  # fmt: skip
NONE = "none"
Points = NDArray[np.float64]  # (clips, qualities, J R)


def trained(given: argparse.Namespace, seed: int, name: str, table: PatchTable | None) -> IntegerModel:
    """By the recipe, with the table; a model without one."""
    folder = given.work / f"{seed} {name}"
    if not (folder / "ema.safetensors").exists():
        recipe = replace(load_recipe(given.recipe), seed=seed)
        plan = read_plan(given.plan, given.weights, "skeleton")
        files = given.weights, given.exclude, given.cache, "skeleton"
        print(f"training {folder.name}", flush=True)
        train_folder(recipe, given.train, folder, False, *files, 1, lambda _: None, plan, table)
    out = folder / "model.qvm"
    model = lower_checkpoint(
        folder / "ema.safetensors", out, given.train, "skeleton", "trained", 8, given.cache, None, given.exclude
    )
    return replace(model, patches=None)


def coded(
    clips: Sequence[Sequence[Frame]], qualities: Sequence[int], model: IntegerModel
) -> tuple[Points, float, int, float]:
    """J and R, average bits, bytes of all files, mean PSNR 6:1:1."""
    points, size, psnr, watch = np.zeros((len(clips), len(qualities), 2)), 0, [], Watch(model)
    with mock.patch.object(frame_coder, "patch_bits", watch):
        for number, frames in enumerate(clips):
            for place, quality in enumerate(qualities):
                stream = encode(frames, model, quality)
                decoded, _ = decode(stream, model)
                points[number, place] = cost(frames, decoded, len(stream), quality)
                size += len(stream)
                psnr.append(mean_quality([compare(a, b) for a, b in zip(frames, decoded, strict=True)])[1])
    return points, watch.averages()[0] if watch.maps else float(FULL), size, float(np.mean(psnr))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("model")
    parser.add_argument("clips", type=Path, nargs="+")
    for folder in ("scores", "train", "cache", "work"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--plan", default="W7A8")
    parser.add_argument("--recipe", default="results/recipes/qat40-nano.json")
    parser.add_argument("--seeds", default="7")
    parser.add_argument("--budgets", default="avg_bits=4")
    parser.add_argument("--uniform", default="4")
    parser.add_argument("--qualities", default="12,32")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("results/patches_training.tsv"))
    given = parser.parse_args()
    use_cores(1)
    start, scores = load_model(given.model), PatchScores.load(given.scores)
    widths = [int(width) for width in given.uniform.split(",") if width]
    of_name = tables(scores, start, given.budgets.split(","), widths)
    chosen = {name: table for name, table in of_name.items() if name.startswith((NONE, "ilp", "uniform"))}
    qualities = [int(quality) for quality in given.qualities.split(",")]
    clips = [read_clip(path, given.frames) for path in given.clips]
    first = comment(start, f"{len(clips)} clips, {given.frames} frames", f"losses of classes from {scores.setting}")
    steps = load_recipe(given.recipe).steps
    rows: list[Sequence[object]] = []
    for seed in map(int, given.seeds.split(",")):
        found: dict[tuple[str, str], Points] = {}
        for name, table in chosen.items():
            model = trained(given, seed, name, table)
            for other, applied in chosen.items():
                if name != NONE and other not in (name, NONE):
                    continue
                points, bits, size, psnr = coded(clips, qualities, replace(model, patches=applied))
                found[name, other] = points
                reference = found[NONE, NONE]
                zeta, gained = (
                    ((points[..., 0] - base[..., 0]) / reference[..., 1]).mean(1)
                    for base in (reference, found[NONE, other])
                )
                figures = [f"{zeta.mean():.4f}", f"{standard_error(zeta):.4f}"]
                own = ["", ""] if name == NONE else [f"{gained.mean():.4f}", f"{standard_error(gained):.4f}"]
                hashed = model.hash.hex()[:16]
                rows.append((seed, name, other, f"{bits:.2f}", size, f"{psnr:.3f}", *figures, *own, steps, hashed))
                print(*rows[-1], sep="\t", flush=True)
                write_table(given.out, HEADER, rows, first)


if __name__ == "__main__":
    main()
