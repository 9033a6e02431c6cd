"""What plans cost and lose: results/plans.tsv, from files and from scores against floating point.

Each plan is quantized (with --qat also trained in integers), lowered, scored on 24 crops of training clips (zeta_meas)
and measured on the clips given: bd_rate of real files against --anchor's files; bd_float of the integers in torch
against the floating-point weights, on the middle of the clips, by the same estimate of bits (`compare_float.py`).
bops: of a mean frame of 640x360 that is decoded. Training is kept in --work: run it again to go on. --plan float is the
control, floating point trained on with --qat's recipe: it makes no files, so only the comparisons in torch are filled.
Columns that hold for a plan whatever its training, such as milliseconds, are `fill_plans.py`'s.

usage: measure_plans.py CHECKPOINT --train DIR --work DIR --out results/plans.tsv [--plan W4A8] [--qat RECIPE] CLIP...
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from compare_float import in_torch, middle, point
from real_files import Curves, curves_of

from quaver.evaluate.bdrate import bd_rate
from quaver.evaluate.points import read_table, write_table
from quaver.evaluate.run import read_clip
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.score import float_curves, score
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.table import totals
from quaver.lab.costs.workload import Workload
from quaver.lab.data.cache import ClipCache, build_cache
from quaver.lab.lower.command import read_plan
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at, train
from quaver.lab.train.recipes import Stage, load_recipe
from quaver.runtime.model import IntegerModel, load_model, read_model, save_model

QUALITIES = (6, 22, 38, 54)
SCORED, TORCH_FRAMES, TORCH_SIZE = 24, 8, (320, 192)  # clips of the score; what torch codes of the clips given
HEADER = (
    "plan_hash", "name", "method", "budget", "model_hash", "avg_wbits", "bytes", "bops", "ms_pred", "ms_meas",
    "ms_w7a8", "zeta_pred", "zeta_meas", "stderr", "bd_rate", "anchor", "bd_float", "qat_steps", "seed", "date",
    "command",
)  # fmt: skip


def quantized(arguments: argparse.Namespace, plan: QuantPlan, clips: ClipCache, folder: Path) -> Codec:
    """The codec in integers: calibrated, or trained from there."""
    skeleton = load_model("skeleton")
    if arguments.qat is None:
        codec = read_codec(arguments.checkpoint, skeleton)
        stage = Stage("calibration", 12, 4, encoder=True)  # as `quaver lower` does
        calibrate(codec, [sequence_at(clips, 0, stage, step) for step in range(stage.steps)], stage, plan)
        return codec
    recipe = load_recipe(arguments.qat)
    return train(recipe, clips, skeleton, folder, True, arguments.checkpoint, plan=plan if plan.layers else None)


def torch_curves(codec: Codec, arguments: argparse.Namespace, integer: bool) -> Curves:
    """The codec in torch on the middle of the clips."""
    adapter = QuaverAdapter(codec, QUALITIES)
    curves: Curves = {}
    for clip in arguments.clips:
        frames = middle(read_clip(clip, TORCH_FRAMES), *TORCH_SIZE)
        decoded, rates = in_torch(adapter, frames, integer)
        rows = (
            point(clip.stem, "", "", quality, frames, pictures, rate)
            for quality, pictures, rate in zip(QUALITIES, decoded, rates, strict=True)
        )
        curves[clip.stem] = [(float(row["bpp"]), float(row["psnr_611"])) for row in rows]
    return curves


def kept(path: Path, make: Callable[[], Curves]) -> Curves:
    """Curves that are measured once."""
    if not path.exists():
        path.write_text(json.dumps(make()))
    return {clip: [tuple(pair) for pair in points] for clip, points in json.loads(path.read_text()).items()}


def mean_rate(anchor: Curves, tested: Curves) -> float:
    """Mean BD-rate over clips in percent."""
    return statistics.mean(bd_rate(anchor[clip], tested[clip]).percent for clip in tested)


def lowered(codec: Codec, path: Path) -> tuple[IntegerModel, int]:
    """The integers as they are in a file, and its bytes."""
    save_model(lower(codec, path.stem), path)
    return read_model(path), path.stat().st_size


def against_files(model: IntegerModel, arguments: argparse.Namespace) -> tuple[float, str]:
    """BD-rate of real files in percent, and the anchor's hash."""
    reference = load_model(arguments.anchor)
    digest = reference.hash.hex()[:16]
    anchor = kept(
        arguments.work / f"anchor-{digest}-{arguments.frames}.json",
        lambda: curves_of(reference, arguments.clips, QUALITIES, arguments.frames),
    )
    tested = curves_of(model, arguments.clips, QUALITIES, arguments.frames)
    return mean_rate(anchor, tested), digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--train", type=Path, required=True, help="training clips: to calibrate, train, score")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plan", default="W7A8")
    parser.add_argument("--qat", default=None)
    parser.add_argument("--anchor", default="small", help="a model; BD-rates are against its files")
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--frames", type=int, default=33)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = build_cache(arguments.train, arguments.cache or arguments.work / "cache", arguments.exclude)
    if arguments.plan == "float":
        if arguments.qat is None:
            parser.error("--plan float needs --qat: untrained it is the checkpoint itself")
        plan = QuantPlan({}, "float")
    else:
        plan = read_plan(arguments.plan, arguments.checkpoint, "skeleton")
    method = "ptq" if arguments.qat is None else "qat" if plan.layers else "trained on"
    codec = quantized(arguments, plan, found, arguments.work / f"{plan.name}-{plan.hash}")
    chosen = choose_clips(found, SCORED, 8, 128)
    weights = read_codec(arguments.checkpoint, load_model("skeleton"))
    zeta = score(codec, chosen, float_curves(weights, chosen))
    whole = kept(
        arguments.work / f"float-{weights_hash(weights)[:16]}.json", lambda: torch_curves(weights, arguments, False)
    )
    to_float = mean_rate(whole, torch_curves(codec, arguments, bool(plan.layers)))
    steps = 0 if arguments.qat is None else load_recipe(arguments.qat).steps
    row: dict[str, object] = {
        "plan_hash": plan.hash if plan.layers else "",
        "name": f"{arguments.checkpoint.stem.removesuffix('-float')} {plan.name}",
        "method": method, "model_hash": weights_hash(codec)[:16],
        "zeta_meas": f"{zeta.zeta:.4f}", "stderr": f"{zeta.stderr:.4f}", "bd_float": f"{to_float:.2f}",
        "qat_steps": steps, "seed": 1, "date": datetime.date.today(), "command": command(arguments),
    }  # fmt: skip
    if plan.layers:
        model, size = lowered(codec, arguments.work / f"{plan.name}-{method}.qvm")
        costs = totals(codec_layers(weights, Workload()), plan)
        rate, digest = against_files(model, arguments)
        row |= {
            "model_hash": model.hash.hex()[:16], "avg_wbits": f"{float(costs['avg_bits']):.2f}", "bytes": size,
            "bops": f"{float(costs['bops']):.0f}", "bd_rate": f"{rate:.2f}", "anchor": digest,
        }  # fmt: skip
    old, first = read_table(arguments.out), "rows name their commands; fill_plans.py adds what needs no training"
    if old:
        first = arguments.out.read_text().splitlines()[0].removeprefix("# ")
    same = "plan_hash", "method", "model_hash"
    rows = [each for each in old if any(each[key] != str(row[key]) for key in same)]
    write_table(arguments.out, HEADER, [tuple(each.get(key, "") for key in HEADER) for each in (*rows, row)], first)
    print(*row.values(), sep="\t")


def command(arguments: argparse.Namespace) -> str:
    """What of the command differs between rows."""
    given = [] if arguments.qat is None else ["--qat", arguments.qat]
    return " ".join(["measure_plans.py", str(arguments.checkpoint), "--plan", arguments.plan, *given])


if __name__ == "__main__":
    main()
