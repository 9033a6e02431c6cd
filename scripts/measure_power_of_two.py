"""What scales that are powers of two cost Quaver's own codec: results/power_of_two.tsv.

With them every requantization is a shift. Rows bring the same float weights to the same bits, calibrated on --train
alone: with the scales that suit them, then with powers of two for the steps of weights, of inputs (streams' scales per
channel among them; ports have 1/64 always), and of both. Of the powers around a scale the one with the least squared
error is taken. zeta is over crops of --val; `cost` is zeta less that of the first row of the same bits, its standard
error taken clip by clip. shifts: the share of multipliers that are powers of two.

usage: measure_power_of_two.py CHECKPOINT --train DIR --val DIR --work DIR --out results/power_of_two.tsv
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

import provenance
import torch
from group_plans import Ground, ground_parser, prepared, stand
from torch import Tensor

from quaver.evaluate.points import write_table
from quaver.lab.analyse.score import Score, score
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.sites import Site
from quaver.lab.models.weights import weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import IntegerModel

HEADER = (
    "bits", "powers_of_two", "model_hash", "zeta", "stderr", "cost", "cost_stderr", "d_rate", "shifts", "date",
    "command",
)  # fmt: skip
BITS = (7, 8), (4, 8), (7, 5), (4, 5)
KINDS = "none", "weights", "inputs", "both"
AROUND = torch.arange(-1.0, 3.0)


def nearest(values: Tensor, step: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(C,) powers of two around steps (C,) with the least squared error of values (C, N)."""
    tried = 2.0 ** (torch.floor(torch.log2(step)) + AROUND[:, None])
    each = tried[..., None]
    codes = torch.minimum(torch.maximum((values / each).round(), low[:, None]), high[:, None])
    return tried.gather(0, (codes * each - values).square().mean(2).argmin(0)[None])[0]


@torch.no_grad()
def round_inputs(codec: Codec, samples: Mapping[str, Tensor]) -> None:
    seen: dict[Site, list[Tensor]] = {}
    for name, wire in wiring(codec).items():
        if name in samples:
            for site in {wire.source, wire.grid}:
                if not site.fixed:
                    seen.setdefault(site, []).append(samples[name])
    for site, parts in seen.items():
        values = torch.cat(parts, 1)
        if not site.scale.ndim:
            values = values.reshape(1, -1)
        low, high = (limit.expand(len(values)) for limit in site.reach())
        site.scale.copy_(nearest(values, site.scale.expand(len(values)), low, high).reshape(site.scale.shape))


@torch.no_grad()
def round_weights(conv: Conv, source: Site) -> None:
    """By the clip of each output channel."""
    steps = source.steps()
    weight = (conv.weight * conv.per_input(steps) if steps.ndim else conv.weight).flatten(1)
    limit, largest = conv.weight_limit.clamp(min=1), weight.abs().amax(1).clamp(min=1e-9)
    powers = nearest(weight, largest * torch.exp(conv.log_clip) / limit, -limit, limit)
    conv.log_clip.copy_(torch.log(powers * limit / largest))


def codec_of(ground: Ground, plan: QuantPlan, kind: str) -> Codec:
    codec = prepared(ground, plan, {})
    if kind in ("inputs", "both"):
        round_inputs(codec, ground.samples)
    if kind in ("weights", "both"):
        for wire in wiring(codec).values():
            round_weights(wire.conv, wire.grid)
    return codec


def shifts(model: IntegerModel) -> float:
    """To float32's last bits: what is stored has passed an exponential and a logarithm."""
    logs = torch.cat([
        torch.log2(torch.from_numpy(conv.multiplier.copy())) for graph in model.graphs.values()
        for conv in graph.convolutions()
    ])  # fmt: skip
    return float(((logs - logs.round()).abs() < 1e-5).float().mean())


def rows(ground: Ground) -> Iterator[tuple[object, ...]]:
    for w, a in BITS:
        layers = [name for name, layer in ground.layers.items() if layer.planned]
        plan = QuantPlan({name: LayerPlan(w, a) for name in layers}, f"W{w}A{a}")
        first: Score | None = None
        for kind in KINDS:
            codec = codec_of(ground, plan, kind)
            model = lower(codec, plan.name)
            found = score(codec, ground.clips, ground.baseline)
            first = first or found
            cost = found - first
            yield (
                plan.name, kind, model.hash.hex()[:16], f"{found.zeta:.4f}", f"{found.stderr:.4f}", f"{cost.zeta:.4f}",
                f"{cost.stderr:.4f}", f"{found.d_rate:.4f}", f"{shifts(model):.3f}", datetime.date.today(),
                provenance.comment().split("; ")[1],
            )  # fmt: skip


def main() -> None:
    ground = stand(ground_parser(__doc__.splitlines()[0]).parse_args())
    comment = f"float weights {weights_hash(ground.codec())[:16]}; {provenance.machine()}"
    table: list[tuple[object, ...]] = []
    for new in rows(ground):
        table.append(new)
        write_table(ground.arguments.out, HEADER, table, comment)
        print(*new[:9], sep="\t", flush=True)


if __name__ == "__main__":
    main()
