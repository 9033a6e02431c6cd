"""Call sites by name, and what arrives at them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab.quant.sites import call_sites, input_axis, observe

from .toys import FRAMES, clip, model

SITES = ["enter", "mix", "down", "up", "gate", "leave"]


def test_every_layer_with_a_weight_is_a_call_site() -> None:
    assert call_sites(model()) == SITES
    assert call_sites(model(), "*e", "up") == ["up", "gate", "leave"]
    assert call_sites(nn.Sequential(nn.Embedding(3, 4), nn.BatchNorm2d(4), nn.Conv1d(4, 4, 1))) == ["2"]
    with pytest.raises(UsageError, match=r"'decoder.*'.*enter, mix, down"):
        call_sites(model(), "decoder.*")


def test_inputs_are_seen_over_all_calls() -> None:
    toy = model()
    arrived = []
    toy.mix.register_forward_pre_hook(lambda _, args: arrived.append(args[0].detach()))
    stats = observe(toy, SITES, lambda: toy(clip()))
    assert set(stats) == set(SITES)
    assert stats["mix"].calls == len(arrived) == FRAMES + FRAMES // 2
    everything = torch.cat(arrived).transpose(0, 1).flatten(1)
    assert torch.equal(stats["mix"].lowest, everything.amin(1))
    assert stats["gate"].channels == 6 and stats["down"].channels == 6 and stats["up"].channels == 8
    assert [input_axis(toy.get_submodule(site)) for site in ("gate", "up")] == [-1, -3]


def test_roles_are_told_apart() -> None:
    toy = model()
    stats = observe(toy, ["enter"], lambda: toy(clip()), role=lambda: toy.role)
    assert set(stats) == {"enter@intra", "enter@inter"}
    assert stats["enter@intra"].calls == 1 and stats["enter@inter"].calls == FRAMES - 1


def test_observing_leaves_nothing_behind() -> None:
    toy = model()
    with pytest.raises(UsageError, match="enter: values that are not finite"):
        observe(toy, SITES, lambda: toy(clip() / 0))
    with pytest.raises(UsageError, match="no layer is named 'nowhere'"):
        observe(toy, ["enter", "nowhere"], lambda: toy(clip()))
    with pytest.raises(UsageError, match="none was called"):
        observe(toy, SITES, lambda: None)
    assert not any(module._forward_pre_hooks for module in toy.modules())
    assert set(observe(toy, ["enter"], lambda: toy.enter(clip()))) == {"enter"}
