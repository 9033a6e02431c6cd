"""On which grids does a part's score agree with what the part loses in the runtime's integers? results/grids.tsv.

Reference: J of W7A8 with one layer's weights or input at fewer bits, less J of W7A8 itself, over its R; both in the
integers that ship, every frame from the state that W7A8 left. Against it the scores of the same parts as `quaver
analyse` measures them in open loop (one part quantized, all else in floating point), on grids of the least squared
error (`simulation`: inputs affine, weights per output channel) and on those of the codec's integers (`integers`). The
same clips and the same statistics for all three; a sample of parts, so many of every module and kind.

Correlations are Spearman's over parts, of means over clips and lambdas. `halves`: of one half of the clips with the
other, score against reference both ways; for the reference itself, the ceiling. `error`: mean of |score - reference|,
of zeta in per cent of the rate; `closer`: how much less that is than with `simulation`; `reference`: its mean size.
Intervals: 95 %, bootstrap over parts and clips together. Kind `wa`: weights and inputs as one sample. Level `module`:
all layers of a module lowered at once.

Finished runs are kept in --work: run it again to go on.

usage: measure_grids.py WEIGHTS --train DIR --work DIR --out results/grids.tsv [--bits 4 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from provenance import comment
from scipy.stats import rankdata
from training_clips import add_crops, clip_cache, crops, study_parser

from quaver.evaluate.points import write_table
from quaver.lab.analyse.adapter import Grids, State
from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.cache import ResultCache
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves, run
from quaver.lab.analyse.jobs import Job, Part
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.quaver_grids import VALUES
from quaver.lab.analyse.survey import survey
from quaver.lab.manifest import code_hash, digest
from quaver.lab.models.codec import Codec
from quaver.lab.models.precision import fit, shape_for
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import load_model

QUALITIES = 20, 44
METHODS = "reference", "simulation", "integers"
HEADER = (
    "level", "bits", "kind", "reads", "parts", "grids", "spearman", "spearman_low", "spearman_high", "halves", "error",
    "closer", "closer_low", "closer_high", "bias", "reference",
)  # fmt: skip
PARTS_HEADER = (
    "level", "bits", "kind", "part", "module", "reads", "reference", "reference_se",
    *(f"{name}{end}" for name in METHODS[1:] for end in ("", "_off", "_off_se")),
)  # fmt: skip
DRAWS = 2000
FEWEST = 10  # parts

Values = NDArray[np.float64]  # (clips,) zeta of a part, mean over lambdas


class Simulation(QuaverAdapter):
    """Without grids of its own; `stats` is what the survey saw."""

    stats: Mapping[str, SiteStats]

    def grids(self, stats: Mapping[str, SiteStats], bits: int) -> Grids:
        self.stats = stats
        return Grids()


class Reference:
    """W7A8 in integers, and with one part lowered."""

    def __init__(self, arguments: argparse.Namespace, clips: ClipSet, stats: Mapping[str, SiteStats]) -> None:
        self._weights, self._clips, self._skeleton = arguments.checkpoint, clips, load_model("skeleton")
        self._values = {name: each.values(VALUES) for name, each in stats.items()}
        self._states: list[State] = []
        self.adapter = QuaverAdapter(self._codec({}), QUALITIES, integer=True)

        def keep(t: int, state: State) -> State:
            self._states.append(state)
            return state

        self.base = run(self.adapter, clips, clips.frames, after=keep)

    def measure(self, part: Part, bits: int) -> Curves:
        layer = LayerPlan(bits, 8) if part.kind == "w" else LayerPlan(7, bits)
        adapter = QuaverAdapter(self._codec(dict.fromkeys(part.layers + part.inputs, layer)), QUALITIES, integer=True)
        return run(adapter, self._clips, self._clips.frames, after=lambda t, state: self._states[t])

    def _codec(self, layers: Mapping[str, LayerPlan]) -> Codec:
        codec = read_codec(self._weights, self._skeleton)
        fit(codec, shape_for(codec, QuantPlan(layers)), self._values)
        return codec


def zetas(curves: Curves, base: Curves, lambdas: Sequence[float]) -> Values:
    change: Values = (curves.cost(lambdas) - base.cost(lambdas)).mean(-1) / base.rate.mean(-1)
    return change.mean(0)


def sample(parts: list[Part], each: int, seed: int) -> list[Part]:
    """So many of every module."""
    rng, chosen = np.random.default_rng(seed), list[Part]()
    for module in dict.fromkeys(part.module for part in parts):
        own = [part for part in parts if part.module == module]
        chosen += [own[place] for place in sorted(rng.permutation(len(own))[:each])]
    return chosen


def reads(codec: Codec) -> dict[str, str]:
    """What each layer's input is stored as: a port (1/64), a stream (a scale per channel), or the layer's own after a
    ReLU (zero-point 0) or not."""
    kinds = {}
    for name, wire in wiring(codec).items():
        site = wire.source
        own = "own, ReLU" if site.zero == 0 else "own, signed"
        kinds[name] = own if not site.shared else "stream" if site.steps().ndim else "port"
    return kinds


def correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's of every row of (n, parts); not a number where a row is constant."""
    ranks = [rankdata(each, axis=1) - (each.shape[1] + 1) / 2 for each in (a, b)]
    both, *squares = ((x * y).sum(1) for x, y in ((ranks[0], ranks[1]), (ranks[0],) * 2, (ranks[1],) * 2))
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = both / np.sqrt(squares[0] * squares[1])
    return result


def summary(arrays: Mapping[str, NDArray[np.float64]], method: str) -> tuple[float, ...]:
    """Of parts' scores by method, each (parts, clips): Spearman's with its interval, of halves; error, how much closer
    than the simulation with its interval, bias, mean size of the reference."""
    every = {name: 100 * each for name, each in arrays.items()}
    parts, clips = every[method].shape

    def figures(own: NDArray[np.int64], of: NDArray[np.int64]) -> NDArray[np.float64]:
        """(3, n) of parts `own` (n, parts) and clips `of` (n, clips): correlation, error, the simulation's error less
        that."""
        places = own[:, :, None], of[:, None, :]
        score, truth, other = (every[name][places].mean(2) for name in (method, "reference", "simulation"))
        error = np.abs(score - truth).mean(1)
        return np.stack([correlations(score, truth), error, np.abs(other - truth).mean(1) - error])

    whole = figures(np.arange(parts)[None], np.arange(clips)[None])[:, 0]
    rng = np.random.default_rng(0)
    drawn = figures(rng.integers(parts, size=(DRAWS, parts)), rng.integers(clips, size=(DRAWS, clips)))
    spearman, _, closer = np.nanpercentile(drawn, (2.5, 97.5), axis=1).T
    score, truth = every[method], every["reference"]
    apart = [correlations(score[None, :, i::2].mean(2), truth[None, :, 1 - i :: 2].mean(2)) for i in (0, 1)]
    bias, size = float((score - truth).mean()), float(np.abs(truth.mean(1)).mean())
    return whole[0], *spearman, float(np.mean(apart)), whole[1], whole[2], *closer, bias, size


def summaries(found: Mapping[tuple[int, Part], dict[str, Values]], kinds: Mapping[str, str]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for level, bits in dict.fromkeys((part.level, bits) for bits, part in found):
        groups = ("all", *(sorted(set(kinds.values())) if level == "layer" else ()))
        for kind, group in product(("w", "a", "wa"), groups):
            own = [
                values for (width, part), values in found.items()
                if (part.level, width) == (level, bits) and part.kind in kind and group in ("all", kinds.get(part.name))
            ]  # fmt: skip
            if len(own) < FEWEST:
                continue
            arrays = {method: np.stack([each[method] for each in own]) for method in METHODS}
            for method in METHODS:
                figures = [f"{value:.3f}" for value in summary(arrays, method)]
                if method == "reference":  # of itself only how its halves agree, and its size
                    figures = [value if place in (3, 9) else "" for place, value in enumerate(figures)]
                rows.append((level, bits, kind, group, len(own), method, *figures))
    return rows


def stderr(values: Values) -> float:
    """Of the mean over clips."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def part_rows(found: Mapping[tuple[int, Part], dict[str, Values]], kinds: Mapping[str, str]) -> list[tuple[Any, ...]]:
    rows = []
    for (bits, part), values in found.items():
        truth = values["reference"]
        figures = [f"{truth.mean():.6f}", f"{stderr(truth):.6f}"]
        for method in METHODS[1:]:
            off = values[method] - truth
            figures += [f"{values[method].mean():.6f}", f"{off.mean():.6f}", f"{stderr(off):.6f}"]
        rows.append((part.level, bits, part.kind, part.name, part.module, kinds.get(part.name, ""), *figures))
    return rows


def main() -> None:
    parser = study_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3])
    parser.add_argument("--each", type=int, default=2, help="parts of every module and kind")
    parser.add_argument("--modules", action="store_true", help="whole modules as well")
    add_crops(parser, 6, 8, 64)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = crops(arguments, clip_cache(arguments))
    adapters = {"simulation": Simulation.load(arguments.checkpoint, qualities=QUALITIES)}
    adapters["integers"] = QuaverAdapter.load(arguments.checkpoint, qualities=QUALITIES)
    surveys = {name: survey(adapter, clips, clips.frames, arguments.bits) for name, adapter in adapters.items()}
    benches = {name: Bench(Setup(adapter, clips, surveys[name], 0)) for name, adapter in adapters.items()}
    reference = Reference(arguments, clips, adapters["simulation"].stats)
    lambdas, points = reference.adapter.lambdas, tuple(range(len(QUALITIES)))
    float_run = run(adapters["simulation"], clips, clips.frames)
    shelf = ResultCache(arguments.work / "runs")
    identity = {"code": code_hash(), "clips": clips.hash, "weights": weights_hash(adapters["simulation"].module)}

    def measured(method: str, part: Part, bits: int) -> Values:
        key = digest(identity | {"method": method, "part": part.name, "kind": part.kind, "bits": bits})
        curves = shelf.get(key)
        if not isinstance(curves, Curves):
            if method == "reference":
                curves = reference.measure(part, bits)
            else:
                curves = benches[method].measure(Job(part.settings(bits), clips.frames, points, open=True))
            shelf.put(key, curves)
        return zetas(curves, reference.base if method == "reference" else float_run, lambdas)

    layers, modules = (
        [surveys["simulation"].parts(level, [kind]) for kind in ("w", "a")] for level in ("layer", "module")
    )
    parts = [part for own in layers for part in sample(own, arguments.each, arguments.seed)]
    parts += [part for own in modules for part in own] if arguments.modules else []
    kinds = reads(adapters["simulation"].module)
    base = 100 * zetas(reference.base, float_run, lambdas)
    shape = "{} clips, {} frames, {}x{}".format(*clips.y.shape)
    notes = comment(
        None, f"weights {identity['weights'][:16]}", shape, f"qualities {QUALITIES}, open loop",
        f"W7A8 itself {base.mean():.2f} % (standard error {base.std(ddof=1) / len(base) ** 0.5:.2f}) in closed loop",
    )  # fmt: skip
    found: dict[tuple[int, Part], dict[str, Values]] = {}
    for bits in arguments.bits:
        begun = time.perf_counter()
        for number, part in enumerate(parts):
            found[bits, part] = {method: measured(method, part, bits) for method in METHODS}
            line = " ".join(f"{100 * each.mean():7.3f}" for each in found[bits, part].values())
            print(f"{time.perf_counter() - begun:6.0f} s {bits} {part.kind} {number:3} {line} {part.name}", flush=True)
        write_table(arguments.out, HEADER, summaries(found, kinds), notes)
        parts_out = arguments.out.with_name(f"{arguments.out.stem}_parts.tsv")
        write_table(parts_out, PARTS_HEADER, part_rows(found, kinds), notes)


if __name__ == "__main__":
    main()
