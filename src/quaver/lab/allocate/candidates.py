"""Groups, splits and pruned channels among the options of an allocation, as clips show a codec's channels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.allocate.command import Allocation
from quaver.lab.allocate.grouped import Show, Variants, grouped_inputs
from quaver.lab.allocate.measured import calibration, observed
from quaver.lab.allocate.options import Candidates
from quaver.lab.allocate.prune import pruned_outputs
from quaver.lab.allocate.scores import Scores
from quaver.lab.allocate.split import split_inputs
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.costs.layers import Layer
from quaver.lab.models.codec import Codec
from quaver.lab.quant.importance import channel_importance
from quaver.lab.quant.observers import SiteStats
from quaver.lab.train.objective import run_sequence

CLIPS = (12, 4, 96)  # to prune on: what a channel is for shows in some clips alone. Clips, frames, side
_QUALITIES = (20, 44)  # that pruning is measured at
_STORED = 8  # bits of inputs that several layers read


def with_groups(
    allocation: Allocation,
    stats: Mapping[str, SiteStats],
    counts: Sequence[int],
    show: Show = lambda number, of: None,
) -> Allocation:
    """Groups of input channels among the options; `stats` as `input_stats` has them."""
    _check_groups(counts)
    found = grouped_inputs(stats, allocation.choices.scores, counts, show)
    return _with(allocation, _worth_an_entry(allocation, found))


def with_splits(
    allocation: Allocation,
    stats: Mapping[str, SiteStats],
    shares: Sequence[float],
    importance: Mapping[str, Tensor] | None = None,
    show: Show = lambda number, of: None,
) -> Allocation:
    """Shares of input channels split, in one group and in every partition that is an option already. importance: as
    `input_importance` has it; without it splits are ranked by squared error."""
    _check_splits(allocation, shares)
    choices = allocation.choices
    found = split_inputs(stats, choices.scores, choices.layers, shares, choices.candidates, importance, show)
    return _with(allocation, _worth_an_entry(allocation, found))


def with_pruned(
    allocation: Allocation, clips: ClipSet, shares: Sequence[float], show: Show = lambda number, of: None
) -> Allocation:
    """Shares of output channels pruned where that changes shapes, at every scored width of the weights, measured on
    clips; take many (`CLIPS`)."""
    _check_pruned(allocation, shares)
    choices, scores = allocation.choices, allocation.choices.scores
    sites = {site for site, kind, _ in scores.layers if kind == "w"}
    zeta_at = {site: {bits: scores.layers[site, "w", bits] for bits in scores.bits(site, "w")} for site in sites}
    adapter = QuaverAdapter(allocation.codec, _QUALITIES)
    return _with(
        allocation, pruned_outputs(adapter, clips, choices.layers, shares, zeta_at, allocation.gains, show=show)
    )


def with_candidates(
    allocation: Allocation,
    clips: ClipSet,
    groups: Sequence[int] = (),
    split: Sequence[float] = (),
    prune: Sequence[float] = (),
    many: ClipSet | None = None,
    show: Callable[[str, int, int], None] = lambda what, number, of: None,
) -> Allocation:
    """All that is asked for, to be combined. many: clips to prune on, by default the same. show: is told what is looked
    at ("groups", "split" or "prune"), and how many of how many are done."""
    if groups:
        _check_groups(groups)
    if split:
        _check_splits(allocation, split)
    if prune:
        _check_pruned(allocation, prune)
    if groups or split:
        choices = allocation.choices
        stats = input_stats(QuaverAdapter(allocation.codec), clips, choices.scores, choices.layers)
        if groups:
            allocation = with_groups(allocation, stats, groups, partial(show, "groups"))
        if split:
            importance = input_importance(allocation.codec, clips, stats)
            allocation = with_splits(allocation, stats, split, importance, partial(show, "split"))
    return with_pruned(allocation, many or clips, prune, partial(show, "prune")) if prune else allocation


def input_candidates(
    adapter: CodecAdapter,
    clips: ClipSet,
    scores: Scores,
    layers: Sequence[Layer],
    groups: Sequence[int] = (),
    split: Sequence[float] = (),
) -> Variants:
    """Groups and splits of any codec's inputs, which simulation runs; splits ranked by squared error."""
    if groups:
        _check_groups(groups)
    if split:
        check_shares("split", split)
    stats = input_stats(adapter, clips, scores, layers)
    grouped = grouped_inputs(stats, scores, groups) if groups else {}
    halves = split_inputs(stats, scores, layers, split, grouped) if split else {}
    return {site: [*grouped.get(site, ()), *halves.get(site, ())] for site in {**grouped, **halves}}


def input_stats(adapter: CodecAdapter, clips: ClipSet, scores: Scores, layers: Sequence[Layer]) -> dict[str, SiteStats]:
    """What arrives at the call sites whose inputs are scored."""
    known = {layer.call_site for layer in layers if layer.planned}
    sites = {site for site, kind, _ in scores.layers if kind == "a"} & known
    return {site: seen for site, seen in observed(adapter, clips, sites).items() if site in known}


def input_importance(codec: Codec, clips: ClipSet, sites: Iterable[str]) -> dict[str, Tensor]:
    """What an error in each input channel costs in J, on the clips' first frames: one backward pass a quality."""
    own = copy.deepcopy(codec)
    own.requires_grad_(True)
    sequences, stage = calibration(clips)
    everything = replace(stage, trains=(*stage.trains, "motion"), through_time=True)

    def loss(number: int) -> Tensor:
        return run_sequence(own, sequences[number], everything).loss

    return channel_importance(own, sites, [partial(loss, number) for number in range(len(sequences))])


def check_shares(what: str, shares: Sequence[float]) -> None:
    """UsageError where one is none."""
    wrong = [f"{float(share):g}" for share in shares if not 0 < share < 1]
    if wrong or not shares:
        raise UsageError(f"{what} {', '.join(wrong) or 'of nothing'}: shares of channels between 0 and 1 are legal")


def _check_groups(counts: Sequence[int]) -> None:
    if not counts or min(counts) < 2:
        raise UsageError(f"groups {list(counts)}: numbers from 2 on are legal")


def _check_splits(allocation: Allocation, shares: Sequence[float]) -> None:
    check_shares("split", shares)
    profile = allocation.profile
    if "split" not in profile.rules.granularities:
        raise UsageError(f"profile {profile.name!r} knows no times of split channels; 'bit-serial' counts their costs")


def _check_pruned(allocation: Allocation, shares: Sequence[float]) -> None:
    check_shares("prune", shares)
    if allocation.choices.per != "layer":
        raise UsageError("pruned channels are options of single layers: per layer, not per module")


def _worth_an_entry(allocation: Allocation, found: Variants) -> Variants:
    """Without those of an input that is stored in 8 bits for several layers and would be brought to 8 bits again."""
    stored = {layer.call_site for layer in allocation.choices.layers if layer.shared_input}
    kept = {
        site: [(plan, zeta) for plan, zeta in own if site not in stored or (plan.activation_bits or 0) < _STORED]
        for site, own in found.items()
    }
    return {site: own for site, own in kept.items() if own}


def _with(allocation: Allocation, found: Candidates) -> Allocation:
    old = allocation.choices.candidates
    both = {site: [*old.get(site, ()), *found.get(site, ())] for site in {**old, **found}}
    return replace(allocation, choices=replace(allocation.choices, candidates=both))
