"""Plans that differ in one thing, which channels of every input share a scale: what measure_groups.py compares."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor
from training_clips import clip_cache, study_parser

from quaver.lab.analyse.clips import ClipSet, choose_clips
from quaver.lab.analyse.closed_loop import Curves
from quaver.lab.analyse.score import float_curves
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.groups import group_cost
from quaver.lab.costs.workload import Workload
from quaver.lab.data.cache import build_cache
from quaver.lab.models.codec import Codec
from quaver.lab.models.equalization import equalization
from quaver.lab.models.precision import InputSamples, fit, shape_for
from quaver.lab.models.weights import read_codec, set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant import grouping
from quaver.lab.quant.frequency import high_frequency_share
from quaver.lab.quant.gradients import lsq
from quaver.lab.quant.importance import channel_importance
from quaver.lab.quant.learned_groups import GroupSearch, Price
from quaver.lab.quant.observers import SiteStats, accumulate
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.splitting import rank_splits
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.objective import run_sequence
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import load_model

GROUPS = 4  # of all baselines that choose no number
METHODS = (
    "per tensor", "equalized", "contiguous", "by source", "random", "sorted range", "partition range",
    "partition quantiles", "partition error", "partition J", "learned", "learned in loop",
    "per channel", "split", "split frequency", "split random",
)  # fmt: skip
# Of what a network's first layer reads: the operands of the concatenation (channels).
PLANES = {
    "intra.entropy.context": (96, 2, 1),
    "inter.entropy.context": (96, 2, 96, 2, 1),
    "intra.encoder.trunk": (96, 96, 1),
    "inter.encoder.trunk": (96, 96, 1),
    "loop": (6, 6, 1),
    "motion.encoder.trunk": (8, 11),
    "motion.detail.trunk": (2, 2, 11),
    "motion.estimator.trunk": (96, 96, 2, 1),
}
CALIBRATION = Stage("calibration", 6, 3, size=128, encoder=True)
EVERYTHING = replace(CALIBRATION, trains=(*CALIBRATION.trains, "motion"))
TRAINING = Stage("integer-aware", 1, 3, size=96, batch=3, encoder=True, integer=True, through_time=True)
WORKLOAD = Workload()


def ground_parser(description: str) -> argparse.ArgumentParser:
    """What every script that stands on a `Ground` is told."""
    parser = study_parser(description)
    parser.add_argument("--val", type=Path, required=True)
    return parser


def add_search(parser: argparse.ArgumentParser) -> None:
    """Of methods that learn."""
    parser.add_argument("--search", type=int, default=100, help="steps of the search for groups")
    parser.add_argument("--limit", type=int, default=None, help="groups that a search begins with; one per channel")
    parser.add_argument("--mu", type=float, default=1.0, help="worth of all bit operations, in what one scale loses")
    parser.add_argument("--seed", type=int, default=1)


def stand(arguments: argparse.Namespace) -> Ground:
    """On one thread, in a folder that is there."""
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    return Ground(arguments)


class Ground:
    """What all rows share: samples of every layer's input and their statistics, the layers' costs; clips of --val and
    the float model's curves, for those who ask for them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.skeleton = arguments, load_model("skeleton")
        self.train = clip_cache(arguments, "cache")
        codec = self.codec()
        wires = wiring(codec)
        with torch.no_grad(), InputSamples(wires) as inputs:
            for step in range(CALIBRATION.steps):
                run_sequence(codec, sequence_at(self.train, 0, CALIBRATION, step), EVERYTHING)
        self.samples = inputs.values()
        self.stats = {name: accumulate(None, values[None, :, :, None]) for name, values in self.samples.items()}
        self.layers = {layer.call_site: layer for layer in codec_layers(codec, WORKLOAD)}
        self.ratios = equalization(codec, wires)
        # Streams have a scale per channel, which weights absorb: to their readers they are equalized already.
        fit(codec, shape_for(codec, QuantPlan({})), self.samples)
        streams = {name: wire.source for name, wire in wires.items() if wire.source.shared and not wire.source.fixed}
        self.ratios |= {name: site.scale.clone() for name, site in streams.items() if site.scale.ndim}

    @cached_property
    def clips(self) -> ClipSet:
        return choose_clips(build_cache(self.arguments.val, self.arguments.work / "val", []), 6, 8, 128)

    @cached_property
    def baseline(self) -> Curves:
        return float_curves(self.codec(), self.clips)

    def codec(self) -> Codec:
        return read_codec(self.arguments.checkpoint, self.skeleton)

    @cached_property
    def importance(self) -> dict[str, Tensor]:
        """Of every layer's input channels for J, on the batches that calibrate."""
        codec = self.codec()
        everything = replace(EVERYTHING, through_time=True)

        def loss(step: int) -> Tensor:
            return run_sequence(codec, sequence_at(self.train, 0, CALIBRATION, step), everything).loss

        losses = [partial(loss, step) for step in range(CALIBRATION.steps)]
        return channel_importance(codec, list(self.samples), losses)

    @cached_property
    def frequency(self) -> dict[str, Tensor]:
        """Of every layer's input channels the share of energy at high frequencies, on the batches that calibrate."""
        codec = self.codec()

        @torch.no_grad()
        def run() -> None:
            for step in range(CALIBRATION.steps):
                run_sequence(codec, sequence_at(self.train, 0, CALIBRATION, step), EVERYTHING)

        return high_frequency_share(codec, list(self.samples), run)

    def grouped(self, name: str, bits: int) -> bool:
        """Whether a layer's input may have groups: at 8 bits only where that needs no entry, which would gain nothing
        on values that are stored in 8 bits already."""
        return name in self.stats and not (bits == 8 and self.layers[name].shared_input)


def groups_of(
    method: str, name: str, stats: SiteStats, bits: int, importance: Mapping[str, Tensor]
) -> grouping.Groups | None:
    channels = stats.channels
    if method == "partition J":
        return grouping.partition(stats, GROUPS, "error", bits, importance.get(name))
    if method == "per channel":
        return grouping.per_channel(channels)
    if method == "contiguous":
        return grouping.contiguous(channels, GROUPS)
    if method == "by source":
        sizes = sources(name, channels)
        return grouping.by_source(sizes) if len(sizes) > 1 else None
    if method == "random":
        return grouping.shuffled(channels, GROUPS, 1)
    if method == "sorted range":
        return grouping.sorted_range(stats, GROUPS)
    if method.startswith("partition"):
        return grouping.partition(stats, GROUPS, method.partition(" ")[2], bits)
    return None


def sources(name: str, channels: int) -> tuple[int, ...]:
    """Operands of the concatenation that a layer reads; one for all other layers."""
    network = name.removesuffix(".enter")
    if network.endswith("decoder.trunk"):
        return 96, channels - 96
    found = next((sizes for key, sizes in PLANES.items() if network.endswith(key)), (channels,))
    if sum(found) != channels:
        raise SystemExit(f"{name}: {channels} channels, {found} known")
    return found


def splits_of(ground: Ground, method: str, name: str, bits: int) -> tuple[int, ...]:
    """A twentieth of the input channels, rounded up; by effect fewer where more would not help."""
    if not ground.grouped(name, bits) or ground.layers[name].groups > 1:
        return ()
    inputs, stats = ground.layers[name].inputs, ground.stats[name]
    count = -(-inputs // 20)
    if method == "split random":
        generator = torch.Generator().manual_seed(ground.arguments.seed)
        return tuple(sorted(torch.randperm(inputs, generator=generator)[:count].tolist()))
    if method == "split frequency":
        found = rank_splits(stats, bits, count, rank="frequency", frequency=ground.frequency[name])
    else:
        found = rank_splits(stats, bits, count, importance=ground.importance.get(name))
    return tuple(each.channel for each in found)


def kept_plan(ground: Ground, method: str, bits: int) -> QuantPlan:
    """Of `plan_for`, or WORK's from an earlier run."""
    path = ground.arguments.work / f"A{bits} {method}.json"
    if not path.exists():
        plan_for(ground, method, bits).save(path)
    return QuantPlan.load(path)


def plan_for(ground: Ground, method: str, bits: int) -> QuantPlan:
    layers = {}
    for name in ground.layers:
        if not ground.layers[name].planned:
            continue
        groups = None
        if ground.grouped(name, bits):
            groups = groups_of(method, name, ground.stats[name], bits, ground.importance)
        if method == "equalized" and name in ground.ratios and ground.grouped(name, bits):
            groups = grouping.per_channel(ground.layers[name].inputs)
        split = splits_of(ground, method, name, bits) if method.startswith("split") else ()
        layers[name] = LayerPlan(7, bits, groups=groups, split=split)
    plan = QuantPlan(layers, f"A{bits} {method}", method=method)
    if method == "learned":
        return learned(ground, plan, bits)
    return learned_in_loop(ground, plan, bits) if method == "learned in loop" else plan


def learned(ground: Ground, plan: QuantPlan, bits: int) -> QuantPlan:
    """Groups by J to second order: each channel's squared error times its importance, as a share of what one scale per
    tensor loses, + mu C. (By J itself, see `learned_in_loop`, three sequences a step are too few.)"""
    codec = ground.codec()
    wires = shape_for(codec, plan)
    inputs: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
    whole = 0.0
    for name, importance in ground.importance.items():
        if ground.grouped(name, bits):
            low, high = (wires[name].conv.entry or wires[name].source).limits()
            inputs[name] = ground.samples[name][:, :128], low, high, importance
            whole += float(lost(*inputs[name], shared=True)[1])
    search = search_of(ground, plan, bits, {name: lost(*each)[0] for name, each in inputs.items()})
    optimizer = torch.optim.Adam(search.rates())
    for step in range(ground.arguments.search):
        search.anneal(step / ground.arguments.search)
        search.sample()
        loss = ground.arguments.mu * search.loss_cost()
        for name, (values, low, high, importance) in inputs.items():
            error = lsq(values, search.site(name).steps()[:, None], low, high) - values
            loss = loss + (error.square().mean(1) * importance).sum() / whole
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"  step {step}: loss {float(loss.detach()):.4f}", file=sys.stderr, flush=True)
    return search.harden(plan)


def lost(values: Tensor, low: Tensor, high: Tensor, importance: Tensor, shared: bool = False) -> tuple[Tensor, Tensor]:
    """Best scales (C,) for values (C, N), or one for all; and the loss with them."""
    peak = values.abs().amax(1).clamp(min=1e-4) / high
    tried = torch.linspace(0.3, 1, 15)[:, None] * (peak.max().expand_as(peak) if shared else peak)
    steps = tried[..., None]
    errors = ((values / steps).round().clamp(low, high) * steps - values).square().mean(2) * importance
    best = errors.sum(1).argmin().expand(len(peak)) if shared else errors.argmin(0)
    return tried.gather(0, best[None])[0], errors.gather(0, best[None]).sum()


def search_of(ground: Ground, plan: QuantPlan, bits: int, steps: Mapping[str, Tensor]) -> GroupSearch:
    total = float(sum(layer.bops(plan.layer(layer.call_site)) for layer in ground.layers.values()))
    prices = {}
    for name in steps:
        cost = group_cost(ground.layers[name], bits, "tensor")
        prices[name] = Price(float(cost.per_group) / total, float(cost.first) / total)
    torch.manual_seed(ground.arguments.seed)
    return GroupSearch(steps, prices, ground.arguments.limit)


def learned_in_loop(ground: Ground, plan: QuantPlan, bits: int) -> QuantPlan:
    """Groups by J on training clips, in the integers that the codec computes with; nothing else is trained."""
    arguments = ground.arguments
    codec = prepared(ground, replace(plan, layers=plan_for(ground, "per channel", bits).layers), {})
    wires = wiring(codec)
    sites = {name: wires[name].conv.entry or wires[name].source for name in wires if ground.grouped(name, bits)}
    search = search_of(ground, plan, bits, {name: site.scale for name, site in sites.items()})
    for name, site in sites.items():
        site.given = search.site(name).steps
    for parameter in codec.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(search.rates())
    set_integer(codec, True)
    for step in range(arguments.search):
        search.anneal(step / arguments.search)
        search.sample()
        outcome = run_sequence(codec, sequence_at(ground.train, arguments.seed, TRAINING, step), TRAINING)
        loss = outcome.loss + arguments.mu * search.loss_cost()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return search.harden(plan)


def prepared(ground: Ground, plan: QuantPlan, ratios: Mapping[str, Tensor]) -> Codec:
    codec = ground.codec()
    fit(codec, shape_for(codec, plan), ground.samples, ratios)
    return codec
