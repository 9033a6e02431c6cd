"""Sensitivity of channels: scores of all from gradients, truth of a sample, predictions for the rest.

The sample is stratified, so that scores are judged over their whole range: module kinds ("decoder" weights, "decoder"
inputs, ...) times deciles of the score; the channels with the highest scores are measured as well. The truth is that
of single frames ("open"): in closed loop nearly every channel costs less than the loop's own noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.gradients import SCORES, Arrays
from quaver.lab.analyse.jobs import Job, Part
from quaver.lab.analyse.proxies import AGAINST, HALVES, rank_correlation
from quaver.lab.analyse.survey import Survey
from quaver.lab.analyse.table import ALL, MEAN
from quaver.lab.analyse.truth import Trial

DECILES = 10


@dataclass(frozen=True, slots=True)
class Channel:
    """An output channel of a layer's weights or a channel of a call site's input, with its scores."""

    site: str
    module: str
    kind: Literal["w", "a"]
    channel: int
    first: float
    spread: float
    fisher: float

    @property
    def score(self) -> float:
        """In units of zeta; what channels are ranked by before any is measured."""
        return self.spread + (2 * self.fisher) ** 0.5

    @property
    def part(self) -> Part:
        layers, inputs = ((self.site,), ()) if self.kind == "w" else ((), (self.site,))
        return Part(self.site, self.module, "channel", self.kind, layers, inputs, self.channel)

    @property
    def stratum(self) -> tuple[str, str]:
        return self.module.rpartition(".")[2], self.kind


def channels_of(survey: Survey, scores: Arrays, bits: int, kinds: Iterable[str]) -> list[Channel]:
    """All channels; those of layers that no gradient reached have scores 0."""
    result = []
    names: Mapping[Literal["w", "a"], tuple[str, ...]] = {"w": survey.layers, "a": survey.inputs}
    for kind, sites in names.items():
        if kind not in kinds:
            continue
        for site in sites:
            width = survey.widths[site, kind]
            found = scores.get(f"{site}|{kind}|{bits}", np.zeros((len(SCORES), width + 1)))
            first, spread, fisher = (found[SCORES.index(name)] for name in ("first", "spread", "fisher"))
            for number in range(width):
                own = float(first[number]), float(spread[number]), float(fisher[number])
                result.append(Channel(site, survey.modules[site], kind, number, *own))
    return result


def sample(channels: list[Channel], count: int, top: float, seed: int) -> list[Channel]:
    """At least `count` channels (all, where there are no more) spread over strata, and the share `top` with the
    highest scores."""
    ranked = sorted(channels, key=lambda each: -each.score)
    chosen = dict.fromkeys(ranked[: int(np.ceil(top * len(ranked)))])
    rng = np.random.default_rng(seed)
    strata = [[each[i] for i in rng.permutation(len(each))] for each in _strata(channels)]
    drawn = 0
    while drawn < count and any(strata):
        for stratum in strata:
            if stratum and drawn < count:
                chosen.setdefault(stratum.pop())
                drawn += 1
    return list(chosen)


def _strata(channels: list[Channel]) -> list[list[Channel]]:
    """Module kinds times deciles of the score."""
    kinds: dict[tuple[str, str], list[Channel]] = {}
    for each in channels:
        kinds.setdefault(each.stratum, []).append(each)
    result = []
    for _, members in sorted(kinds.items()):
        members = sorted(members, key=lambda each: each.score)
        result += [[members[i] for i in part] for part in np.array_split(np.arange(len(members)), DECILES) if len(part)]
    return result


def trial_of(channel: Channel, config: AnalyseConfig, bits: int, point: int) -> Trial:
    """In the mode in which channels are measured, at one operating point."""
    part, mode = channel.part, config.channel_mode
    job = Job(part.settings(bits), config.frames, (point,), open=mode == "open")
    return Trial(part, bits, "channel", mode, job)


def mixture(measured: Mapping[Channel, float]) -> NDArray[np.float64]:
    """Weights (3,) >= 0 of the scores with which they fit the measured zetas best."""
    target = np.array(list(measured.values()))
    weights, _ = nnls(_features(measured), target)
    return weights


def predict(channels: list[Channel], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """zeta (n,) of channels from their scores at any bits."""
    return _features(channels) @ weights


def _features(channels: Iterable[Channel]) -> NDArray[np.float64]:
    rows = [(each.first, each.spread, (2 * each.fisher) ** 0.5) for each in channels]
    return np.array(rows, np.float64).reshape(-1, 3)


def channel_rows(
    channels: list[Channel],
    weights: NDArray[np.float64],
    measured: Mapping[Channel, dict[str, Any]],
    common: Mapping[str, Any],
    encoder: Iterable[str],
) -> list[dict[str, Any]]:
    """A row for every channel: measured ones as truth has them, the others predicted.

    common: what all predicted rows say, such as bits and the mode of the measurements that `weights` were fitted to.
    """
    predicted = predict(channels, weights)
    rows = []
    encoders = set(encoder)
    for each, zeta in zip(channels, predicted, strict=True):
        scores = {"first": each.first, "fisher": each.fisher}
        if each in measured:
            rows.append(measured[each] | scores)
            continue
        own = {
            "call_site": each.site,
            "module": each.module,
            "kind": each.kind,
            "level": "channel",
            "channel": each.channel,
            "clip": MEAN,
            "zeta": float(zeta),
            "source": "predicted",
            "encoder_only": each.module in encoders,
        }
        rows.append(dict(common) | own | scores)
    return rows


def audit_channels(
    measured: Mapping[Channel, Mapping[str, float]],
    weights: NDArray[np.float64],
    mode: str,
    seconds: float,
    truth_seconds: float,
) -> Iterator[dict[str, Any]]:
    """For each kind, how well the scores of channels, and the mixture of them that fits best, follow the measured zeta.

    measured: zeta of every clip and of their mean. seconds: what the scores of all cost; truth_seconds: one channel's
    measurement. Rows of PROXY_SCHEMA but for bits, lambda and surrogate.
    """
    for kind in ("w", "a"):
        own = [each for each in measured if each.kind == kind]
        truth = [measured[each][MEAN] for each in own]
        found: list[tuple[str, float | None, float]] = [
            (name, rank_correlation(scores, truth), seconds)
            for name, scores in (
                ("first order", [each.spread for each in own]),
                ("Fisher", [each.fisher for each in own]),
                ("mixture, fitted to them", predict(own, weights)),
            )
        ]
        clips = np.array([[zeta for clip, zeta in measured[each].items() if clip != MEAN] for each in own])
        if own and clips.shape[1] > 1:
            agreement = rank_correlation(clips[:, ::2].mean(1), clips[:, 1::2].mean(1))
            found.append((HALVES, agreement, truth_seconds * len(own)))
        common = {"level": "channel", "modules": ALL, "kind": kind, "against": AGAINST[mode], "count": len(own)}
        for name, correlation, spent in found:
            yield common | {"proxy": name, "rank_correlation": correlation, "seconds": spent}
