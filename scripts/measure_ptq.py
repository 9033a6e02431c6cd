"""What each quantizer, and each step after training, brings on somebody else's codec: results/ptq.tsv.

The DCVC-shaped codec of examples/ is trained briefly, then quantized in simulation through `quaver.lab.api`, one recipe
a row. Recipes and training see crops of --train alone; zeta is over crops of --val, 8 frames in closed loop, with real
rounding. `beyond` is what a row has more than the row mse of its bits, clip by clip, so that its standard error is that
of the difference, and `better` on how many clips it has less. The codec is hardly trained and some clips end badly even
in floating point, so means have outliers: `median` is the middle clip's zeta. The row of float weights says what the
same steps of training bring without any quantizer. Rows that the table has are kept: run it again to go on.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.dcvc_shaped.run import LAMBDA, DcvcAdapter, DcvcShaped, motion_first
from examples.study import Study, train
from provenance import comment

from quaver.lab.analyse.score import Score
from quaver.lab.api import ClipSet, QuantPlan, clips_of, code, quantized, trained, uniform
from quaver.lab.data.cache import build_cache
from quaver.lab.manifest import model_hash

BITS = ((4, 8), (4, 4))
COLUMNS = ("bits", "recipe", "zeta", "stderr", "median", "beyond", "beyond_stderr", "better", "d_rate", "seconds")
EVERYTHING = {"equalize": True, "bias_correction": True, "rounding": "loss"}


@dataclass(frozen=True)
class Row:
    """method: of training; None: calibration alone. options: of `Recipe`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: str | None = None


ROWS = (
    Row("mse"),
    Row("min-max", {"observer": "minmax"}),
    Row("min-max, of weights too", {"observer": "minmax", "weights": "minmax"}),
    Row("mse, weights per tensor", {"weights_per": "tensor"}),
    Row("mse, weights affine", {"weights_affine": True}),
    Row("percentile 99.99", {"observer": "percentile"}),
    Row("percentile 99.9", {"observer": "percentile", "percent": 99.9}),
    Row("searched by loss", {"observer": "loss"}),
    Row("mse, equalized", {"equalize": True}),
    Row("mse, rounded by loss", {"rounding": "loss"}),
    Row("mse, biases corrected", {"bias_correction": True}),
    Row("mse, all three", EVERYTHING),
    Row("mse, powers of two", {"power_of_two": True}),
    Row("min-max, powers of two", {"observer": "minmax", "power_of_two": True}),
    Row("LSQ", method="lsq"),
    Row("LSQ+", method="lsq+"),
    Row("PACT", method="pact"),
)
CONTROL = Row("the same steps without quantizers", method="lsq")


def codec(options: argparse.Namespace) -> DcvcAdapter:
    """Trained as examples/dcvc_shaped/run.py does it, or read."""
    if options.weights is not None and options.weights.exists():
        adapter = DcvcAdapter(DcvcShaped(), LAMBDA)
        adapter.module.load_state_dict(torch.load(options.weights))
        return adapter
    study = Study(lambda: DcvcAdapter(DcvcShaped(), LAMBDA), options.train_steps, before=motion_first)
    adapter = train(study, build_cache(options.train, options.cache, options.exclude), options.seed)
    if options.weights is not None:
        torch.save(adapter.module.state_dict(), options.weights)
    return adapter


def prepared(
    adapter: DcvcAdapter, plan: QuantPlan, row: Row, clips: ClipSet, options: argparse.Namespace
) -> AbstractContextManager[object]:
    if row.method is not None:
        rates = {"learning_rate": options.learning_rate, "batch": 2, "frames": 3, "seed": options.seed}
        return trained(adapter, plan, clips, steps=options.steps, method=row.method, **rates, **row.options)
    if not plan.layers:
        return nullcontext()
    few = clips.some(range(options.fit))
    return quantized(adapter, plan, few, steps=options.steps, frames=3, seed=options.seed, **row.options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="folder to train and fit on")
    parser.add_argument("--val", type=Path, required=True, help="folder to measure on")
    parser.add_argument("--exclude", action="append", default=[], help="shell pattern of files to leave out of --train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="where the trained codec is kept, and taken from if it is there")
    parser.add_argument("--train-steps", type=int, default=900, help="of the codec in floating point")
    parser.add_argument("--steps", type=int, default=60, help="of rounding, and of training with quantizers")
    parser.add_argument(
        "--learning-rate", type=float, default=3e-4, help="of weights beside quantizers: as at the codec's end"
    )
    parser.add_argument("--clips", type=int, default=12, help="crops of --val")
    parser.add_argument("--fit", type=int, default=4, help="of 24 crops of --train those that recipes are fitted to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, required=True, help="folder for decoded clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    origin = comment()  # before anything runs: it has the machine's load
    adapter = codec(options)
    learned_on = clips_of(options.train, 24, 8, 64, exclude=options.exclude, cache=options.cache, seed=options.seed)
    held = clips_of(options.val, options.clips, 8, 64, cache=options.cache, seed=options.seed)
    floating = code(adapter, held)
    figures = f"float: {floating.rate.mean():.4f} bits per luma sample, squared error {floating.distortion.mean():.1f}"
    first = f"# {origin}; codec {adapter.name} {model_hash(adapter.module)[:16]}; {len(held)} clips; {figures}"
    work = {("float", CONTROL.name): (QuantPlan({}), CONTROL)}
    work |= {(f"W{w}A{a}", row.name): (uniform(adapter, w, a), row) for w, a in BITS for row in ROWS}
    lines, table = read(options.out)
    if lines and model_hash(adapter.module)[:16] not in lines[0]:
        parser.error(f"{options.out} is of another codec")
    mse: Score | None = None
    for key, (plan, row) in work.items():
        if key in table and row.name != "mse":
            continue
        begun = time.process_time()
        with prepared(adapter, plan, row, learned_on, options):
            seconds = time.process_time() - begun
            score = Score.of(code(adapter, held), floating, adapter.lambdas)
        mse = score if row.name == "mse" else mse
        shown = {"zeta": score.zeta, "stderr": score.stderr, "d_rate": score.d_rate}
        shown["median"] = float(np.median(score.each.mean(0)))
        if mse is not None and row.name != "mse":
            shown |= {"beyond": (score - mse).zeta, "beyond_stderr": (score - mse).stderr}
        texts = {name: f"{value:.4f}" for name, value in shown.items()}
        table[key] = {"bits": key[0], "recipe": row.name, "seconds": f"{seconds:.0f}"} | texts
        if mse is not None and row.name != "mse":
            table[key]["better"] = f"{int((score.each.mean(0) < mse.each.mean(0)).sum())} of {len(held)}"
        print(*table[key].values(), flush=True)
        write(options.out, lines or [first], [table[each] for each in work if each in table])


def read(path: Path) -> tuple[list[str], dict[tuple[str, str], dict[str, str]]]:
    """Origin and rows of a table that was begun."""
    lines = path.read_text().splitlines() if path.exists() else []
    table = csv.DictReader([line for line in lines if not line.startswith("#")], delimiter="\t")
    return [line for line in lines if line.startswith("#")], {(row["bits"], row["recipe"]): dict(row) for row in table}


def write(path: Path, lines: list[str], rows: list[dict[str, str]]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        file.writelines(line + "\n" for line in lines)
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    part.replace(path)


if __name__ == "__main__":
    main()
