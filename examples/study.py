"""A codec behind an adapter: trained briefly, analysed, allocated, quantized in simulation; again with another seed.

Nothing here knows which codec it is. `python -m examples.dcvc_shaped.run --help` says how to run it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from quaver.lab.allocate.measured import measure_plan
from quaver.lab.analyse import AnalyseConfig, ClipSet, CodecAdapter, SensitivityTable, analyse, choose_clips
from quaver.lab.analyse.adapter import Planes
from quaver.lab.analyse.closed_loop import run
from quaver.lab.api import allocate
from quaver.lab.api.codecs import cost_layers
from quaver.lab.costs.table import totals
from quaver.lab.data.batches import make_batch
from quaver.lab.data.cache import Bytes, ClipCache, build_cache
from quaver.lab.quant import QuantPlan

from .export import export_codec, give_weights

RATE = 1.5e-3  # of learning, a fifth in the last third
WARM = 100  # steps in which it grows to that
RISE = 0.25  # share of training, after that with the loss `before`, in which the codec's rate grows to its full
LEAST = 0.1  # share of it that counts first: latents learn what they are for before what they cost
BITS = (3, 4, 6)  # that are scored: few, so that losses stand out of the noise; others are fitted
UNIFORM = (5, 5)  # bits of weights and inputs whose operations the allocated plan may spend
SCORES = ("zeta", "closed", "open")  # the estimate, and what it is made of
COLUMNS = ("codec", "seed", "module", "kind", "bits", *SCORES)

Row = Mapping[str, Any]
Loss = Callable[[Any, Sequence[Planes], Tensor], Tensor]  # of adapter, frames, operating points: (B,)


@dataclass(frozen=True)
class Study:
    """steps: of training, on `batch` sequences of `unroll` frames. size: of crops. frames, clips: to score parts on.
    before: the first steps' loss, if it is another than J, in the share `first`; photos: those steps see photos that
    move, no videos. slow: learning rates over the others', by how parameters' names begin, and after the first steps
    times `late`. note: what the table's line says beside. networks: what `--export` writes."""

    make: Callable[[], CodecAdapter]
    steps: int
    size: int = 64
    batch: int = 2
    unroll: int = 3
    frames: int = 4
    clips: int = 8
    before: Loss | None = None
    first: float = 0.25
    photos: bool = False
    slow: Mapping[str, float] = field(default_factory=dict)
    late: float = 1.0
    note: str = ""
    networks: tuple[str, ...] = ()


def train(study: Study, cache: ClipCache, seed: int) -> CodecAdapter:
    """All networks together; the loss is J over a few frames in closed loop."""
    torch.manual_seed(seed)
    adapter = study.make()
    parameters = list(adapter.module.parameters())
    groups = paces(adapter, study.slow)
    optimizer = torch.optim.Adam([{"params": group} for _, group in groups], RATE)
    photos = replace(cache, clips=tuple(clip for clip in cache.clips if clip.photo))
    points = torch.zeros(study.batch, dtype=torch.long)
    for step in range(study.steps):
        done = step / study.steps
        early = study.before is not None and done < study.first
        for (pace, _), group in zip(groups, optimizer.param_groups, strict=True):
            late = 1.0 if early or pace == 1 else study.late
            group["lr"] = late * pace * RATE * min(1.0, (step + 1) / WARM) * (1.0 if 3 * done < 2 else 0.2)
        seen = photos if early and study.photos else cache
        batch = make_batch(seen, seed, step, study.size, study.batch, study.unroll)
        frames = [(tensor(batch.y[:, t]), tensor(batch.u[:, t]), tensor(batch.v[:, t])) for t in range(study.unroll)]
        if early and study.before is not None:
            cost = study.before(adapter, frames, points).mean()
        else:
            counted = LEAST + (1 - LEAST) * min(1, max(0, done - study.first) / RISE)
            cost = closed_loop(adapter, frames, points, counted)
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == study.steps - 1:
            print(f"seed {seed}, step {step}: loss {cost.item():.3f}", flush=True)
    return adapter


def paces(adapter: CodecAdapter, slow: Mapping[str, float]) -> list[tuple[float, list[nn.Parameter]]]:
    """Parameters by how fast they learn."""
    groups = dict[float, list[nn.Parameter]]()
    for name, parameter in adapter.module.named_parameters():
        pace = next((pace for start, pace in slow.items() if name.startswith(start)), 1.0)
        groups.setdefault(pace, []).append(parameter)
    return list(groups.items())


def tensor(plane: Bytes) -> Tensor:
    return torch.from_numpy(plane.copy())


def closed_loop(adapter: CodecAdapter, frames: Sequence[Planes], points: Tensor, share: float) -> Tensor:
    """Mean J; of the rate, only a share counts."""
    state, cost = None, torch.zeros(())
    for frame in frames:
        state, rate, distortion = adapter.step(frame, state, points)
        cost = cost + (share * rate + adapter.lambdas[0] * distortion).mean() / len(frames)
    return cost


def uniform_and_allocated(
    adapter: CodecAdapter, clips: ClipSet, table: SensitivityTable
) -> tuple[QuantPlan, QuantPlan]:
    """One width for all scored layers, and what the allocator makes of the same bit operations per frame."""
    uniform = QuantPlan.uniform(list(table.layers()), *UNIFORM)
    budget = ceil(totals(cost_layers(adapter, clips), uniform)["bops"])
    return uniform, allocate(adapter, table, f"bops={budget}", name="allocated", clips=clips)


def examine(study: Study, adapter: CodecAdapter, clips: ClipSet) -> tuple[str, list[Row]]:
    """The model's hash; zeta of every module alone, then of both plans as a whole."""
    config = AnalyseConfig(
        "module", BITS, ("add", "open"), frames=study.frames, drift_frames=0, impulse_frames=0, noise=5, pairs=False,
        proxies=False,
    )  # fmt: skip
    modules = analyse(adapter, clips, config)
    # Layers are many and most drown in the loop's noise: without the loop, times their module's amplification.
    layers = replace(config, level="layer", bits=(BITS[0], BITS[-1]), modes=("open",), kinds=("w", "a"))
    table = analyse(adapter, clips, layers).merge(modules)
    scores = table.estimates("module").sort("module", "kind", "bits", "call_site")
    name = pl.when(pl.col("kind") == "state").then("state." + pl.col("call_site")).otherwise("module")
    rows: list[Row] = [*scores.select(name.alias("module"), "kind", "bits", *SCORES).iter_rows(named=True)]
    for column, mode in (("closed", "noise"), ("open", "open noise")):
        floor = table.means.filter(pl.col("mode") == mode)["floor"].max()
        rows.append({"module": "all", "kind": "noise floor", column: floor})
    curves = run(adapter, clips, study.frames)
    rows += [
        {"module": "all", "kind": "bits per luma sample", "closed": float(curves.rate.mean())},
        {"module": "all", "kind": "squared error", "closed": float(curves.distortion.mean())},
    ]
    for plan in uniform_and_allocated(adapter, clips, table):
        found = measure_plan(adapter, clips, plan, study.frames)["zeta"]
        rows.append({"module": "all", "kind": f"plan {plan.name}", "closed": found})
    return str(table.rows["model_hash"][0]), rows


def correlations(first: Sequence[Row], second: Sequence[Row]) -> Iterator[Row]:
    """Spearman's, of the modules' scores of two seeds, for each kind and width."""
    for kind, bits in sorted({(row["kind"], row["bits"]) for row in first if row["kind"] in ("w", "a", "wa")}):
        one, two = (
            {row["module"]: row for row in rows if (row["kind"], row.get("bits")) == (kind, bits)}
            for rows in (first, second)
        )
        shared = sorted(one.keys() & two.keys())
        found = {
            score: float(
                spearmanr([one[name][score] for name in shared], [two[name][score] for name in shared]).statistic
            )
            for score in SCORES
        }
        yield {"seed": "both", "module": "rank correlation", "kind": kind, "bits": bits} | found


def write(path: Path, codec: str, origin: str, rows: Sequence[Row]) -> None:
    """The codec's rows, and a # line with their origin, in place of those that it has; other codecs' stay."""
    old = path.read_text().splitlines() if path.exists() else []
    old = [line for line in old if line.removeprefix("# ").partition("\t")[0] not in (codec, COLUMNS[0])]
    notes = [line for line in old if line.startswith("#")] + [f"# {codec}\t{origin}"]
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


def command(codec: str, study: Study, seeds: Sequence[int], exclude: Sequence[str]) -> str:
    """What makes the table again, without folders that only this machine has."""
    module = sys.modules["__main__"].__spec__.name
    numbers = f"--steps {study.steps} --seeds {' '.join(map(str, seeds))}"
    left_out = "".join(f" --exclude '{pattern}'" for pattern in exclude)
    return f"python -m {module} --codec {codec} {numbers} --data TRAIN{left_out} --out results/other_codecs.tsv"


def write_networks(study: Study, folder: Path, weights: Path | None) -> None:
    """As ONNX, with a line for each of what it differs by from torch."""
    adapter = study.make()
    if weights:
        give_weights(adapter, weights)
    for each in export_codec(adapter, study.networks, folder):
        print(f"{each.file}  {each.inputs} -> {each.outputs}  differs {each.difference:.1g}")


def main(studies: Mapping[str, Study]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with videos")
    parser.add_argument("--exclude", action="append", default=[], help="shell pattern of files to leave out")
    parser.add_argument("--out", type=Path, help="table, such as results/other_codecs.tsv")
    parser.add_argument("--codec", choices=list(studies), default=next(iter(studies)))
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 1])
    parser.add_argument("--steps", type=int, help="of training, in place of the study's own")
    parser.add_argument("--cache", type=Path, help="folder for decoded clips; without it they are decoded again")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", type=Path, help="folder: write the networks as ONNX, and do nothing else")
    parser.add_argument("--weights", type=Path, help="with --export: a state_dict; without it they are random")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    study = studies[options.codec]
    if options.export:
        write_networks(study, options.export, options.weights)
        return
    if not (options.data and options.out):
        parser.error("either --data and --out, or --export")
    study = replace(study, steps=options.steps or study.steps)
    with tempfile.TemporaryDirectory() as folder:
        cache = build_cache(options.data, options.cache or Path(folder), options.exclude)
        clips = choose_clips(cache, study.clips, study.frames, study.size)
        found, seeded, agreement = list[tuple[str, list[Row]]](), list[Row](), list[Row]()
        for seed in options.seeds:  # written after each, so that one that ends in the second has the first
            found.append(examine(study, train(study, cache, seed), clips))
            seeded += [{"seed": seed} | dict(row) for row in found[-1][1]]
            agreement = list(correlations(*(rows for _, rows in found))) if len(found) == 2 else []
            models = "models " + " ".join(digest[:16] for digest, _ in found)
            line = command(options.codec, study, options.seeds, options.exclude)
            notes = [study.note] if study.note else []
            origin = "\t".join([line, models, f"{date.today()}", *notes])
            write(options.out, options.codec, origin, [*seeded, *agreement])
    for row in [row for row in seeded if row["module"] == "all"] + agreement:
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ")
