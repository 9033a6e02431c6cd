"""Layers that are called in several roles: one weight for all of them, an input for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quaver.lab.allocate.problem import Tie
from quaver.lab.allocate.scores import Key, Scores
from quaver.lab.costs.layers import Layer


def in_roles(scores: Scores, layers: Sequence[Layer]) -> tuple[Scores, tuple[Tie, ...]]:
    """Scores by the call sites of `layers` (`name@role`), and what their roles must have in common.

    What was scored for a layer in all its roles together, as weights are, is lost once: the first role has the zeta,
    the others have none, and all are tied to the same bits. Such layers have no bits per channel, since a tie does not
    say which channels.
    """
    roles: dict[str, list[str]] = {}
    for layer in layers:
        name, _, role = layer.call_site.partition("@")
        if layer.planned and role:
            roles.setdefault(name, []).append(layer.call_site)
    found: dict[Key, float] = {}
    shared: dict[tuple[str, str], tuple[str, ...]] = {}
    for (site, kind, bits), zeta in scores.layers.items():
        sites = roles.get(site, [site])
        found |= {(each, kind, bits): zeta if each == sites[0] else 0.0 for each in sites}
        if len(sites) > 1:
            shared[site, kind] = tuple(sites)
    channels = {key: values for key, values in scores.channels.items() if key[0].partition("@")[0] not in roles}
    ties = tuple(Tie(kind, sites) for (_, kind), sites in shared.items())
    return replace(scores, layers=found, channels=channels), ties
