"""A codec behind an adapter: trained briefly, analysed, allocated, quantized in simulation; again with another seed.

Nothing here knows which codec it is. `python -m examples.dcvc_shaped.run --help` says how to run it.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl
import torch
from scipy.stats import spearmanr

from quaver.lab.allocate.front import METHODS
from quaver.lab.allocate.measured import measure_plan
from quaver.lab.allocate.options import Choices, build_problem
from quaver.lab.allocate.scores import table_scores
from quaver.lab.analyse import AnalyseConfig, ClipSet, CodecAdapter, SensitivityTable, analyse, choose_clips
from quaver.lab.analyse.closed_loop import run
from quaver.lab.costs.modules import module_layers
from quaver.lab.costs.table import totals
from quaver.lab.data.batches import make_batch
from quaver.lab.data.cache import ClipCache, build_cache
from quaver.lab.quant import QuantPlan

RATE = 1e-3  # of learning, a fifth in the last third
BITS = (4, 8)  # that are scored; those between are interpolated
UNIFORM = (6, 6)  # bits of weights and inputs whose operations the allocated plan may spend
COLUMNS = ("codec", "seed", "module", "kind", "bits", "zeta", "rank_correlation")

Row = Mapping[str, object]


@dataclass(frozen=True)
class Study:
    """steps: of training, on `batch` sequences of `unroll` frames. size: of crops. frames, clips: to score parts on."""

    make: Callable[[], CodecAdapter]
    steps: int
    size: int = 64
    batch: int = 2
    unroll: int = 3
    frames: int = 6
    clips: int = 2


def train(study: Study, cache: ClipCache, seed: int) -> CodecAdapter:
    """All networks together; the loss is J over a few frames in closed loop."""
    torch.manual_seed(seed)
    adapter = study.make()
    parameters = list(adapter.module.parameters())
    optimizer = torch.optim.Adam(parameters, RATE)
    points = torch.zeros(study.batch, dtype=torch.long)
    for step in range(study.steps):
        optimizer.param_groups[0]["lr"] = RATE if 3 * step < 2 * study.steps else RATE / 5
        batch = make_batch(cache, seed, step, study.size, study.batch, study.unroll)
        state, cost = None, torch.zeros(())
        for t in range(study.unroll):
            y, u, v = (torch.from_numpy(plane[:, t].copy()) for plane in (batch.y, batch.u, batch.v))
            state, rate, distortion = adapter.step((y, u, v), state, points)
            cost = cost + (rate + adapter.lambdas[0] * distortion).mean() / study.unroll
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == study.steps - 1:
            print(f"seed {seed}, step {step}: J {cost.item():.3f}", flush=True)
    return adapter


def uniform_and_allocated(
    adapter: CodecAdapter, clips: ClipSet, table: SensitivityTable
) -> tuple[QuantPlan, QuantPlan]:
    """One width for all scored layers, and what the allocator makes of the same bit operations per frame."""
    layers = module_layers(adapter.module, lambda: run(adapter, clips.one(0), 2))
    uniform = QuantPlan.uniform(list(table.layers()), *UNIFORM)
    budget = {"bops": totals(layers, uniform)["bops"]}
    problem = build_problem(Choices(layers, table_scores(table).fitted()), budget)
    solution = METHODS["ilp"](problem)
    chosen = {site: problem.options[site][place].plan for site, place in solution.choice.items()}
    predicted = {"zeta": solution.zeta, "bops": float(solution.costs["bops"])}
    limits = {key: float(limit) for key, limit in budget.items()}
    return uniform, QuantPlan(chosen, "allocated", method="ilp", budget=limits, predicted=predicted)


def examine(study: Study, adapter: CodecAdapter, clips: ClipSet) -> list[Row]:
    """zeta of every module alone, then of both plans as a whole."""
    config = AnalyseConfig(
        bits=BITS, modes=("add",), frames=study.frames, drift_frames=0, impulse_frames=0, noise=3, pairs=False,
        proxies=False,
    )  # fmt: skip
    table = analyse(adapter, clips, config)
    scores = table.scores("module").sort("module", "kind", "bits", "call_site")
    name = pl.when(pl.col("kind") == "state").then("state." + pl.col("call_site")).otherwise("module")
    rows: list[Row] = scores.select(name.alias("module"), "kind", "bits", "zeta").to_dicts()
    floor = table.means.filter(pl.col("mode") == "noise")["floor"].max()
    rows.append({"module": "all", "kind": "noise floor", "zeta": floor})
    for plan in uniform_and_allocated(adapter, clips, table):
        found = measure_plan(adapter, clips, plan, study.frames)["zeta"]
        rows.append({"module": "all", "kind": f"plan {plan.name}", "zeta": found})
    return rows


def correlations(first: Sequence[Row], second: Sequence[Row]) -> Iterator[Row]:
    """Spearman's, of the modules' scores of two seeds, for each kind and width."""
    for kind, bits in sorted({(row["kind"], row["bits"]) for row in first if row["kind"] in ("w", "a", "wa")}):
        one, two = (
            {row["module"]: row["zeta"] for row in rows if (row["kind"], row.get("bits")) == (kind, bits)}
            for rows in (first, second)
        )
        shared = [name for name in one if name in two]
        found = spearmanr([one[name] for name in shared], [two[name] for name in shared]).statistic
        yield {"seed": "both", "module": "all", "kind": kind, "bits": bits, "rank_correlation": float(found)}


def write(path: Path, codec: str, rows: Sequence[Row]) -> None:
    """The codec's rows, and a # line with command and date, in place of those that it has; other codecs' stay."""
    old = path.read_text().splitlines() if path.exists() else []
    old = [line for line in old if line.removeprefix("# ").partition("\t")[0] not in (codec, COLUMNS[0])]
    command = shlex.join(["python", "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]])
    notes = [line for line in old if line.startswith("#")] + [f"# {codec}\t{command}\t{date.today()}"]
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        file.writelines(line + "\n" for line in notes)
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        file.writelines(line + "\n" for line in old if not line.startswith("#"))
        for row in rows:
            table.writerow(
                {key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()} | {"codec": codec}
            )
    part.replace(path)


def main(studies: Mapping[str, Study]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with videos")
    parser.add_argument("--out", type=Path, required=True, help="table, such as results/other_codecs.tsv")
    parser.add_argument("--codec", choices=list(studies), default=next(iter(studies)))
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 1])
    parser.add_argument("--steps", type=int, help="of training, in place of the study's own")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    study = studies[options.codec]
    study = replace(study, steps=options.steps or study.steps)
    with tempfile.TemporaryDirectory() as folder:
        cache = build_cache(options.data, Path(folder))
        clips = choose_clips(cache, study.clips, study.frames, study.size)
        found = [examine(study, train(study, cache, seed), clips) for seed in options.seeds]
    seeded = [{"seed": seed} | dict(row) for seed, rows in zip(options.seeds, found, strict=True) for row in rows]
    agreement = list(correlations(*found))
    write(options.out, options.codec, [*seeded, *agreement])
    for row in [row for row in seeded if row["module"] == "all"] + agreement:
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ")
