"""Groups, splits and pruned channels as options, from Python."""

from __future__ import annotations

import pytest
import torch

from quaver.errors import UsageError
from quaver.lab import api
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.models.untrained import random_codec

from ..allocate.samples import PRESET, table_of
from ..analyse.toy import ToyAdapter, toy_clips


def test_of_quavers_codec() -> None:
    torch.set_num_threads(1)
    codec = random_codec(PRESET, seed=0, spread=0.3)
    table, clips = table_of(codec, only="inter.decoder"), toy_clips(2, 3, 32)
    plan = api.allocate(codec, table, "bops=98.5%", profile="bit-serial", clips=clips, groups=(2,), split=(0.2,))
    assert any(layer.groups for layer in plan.layers.values())
    assert api.allocate(codec, table, "bops=98.5%", profile="bit-serial").predicted["zeta"] >= plan.predicted["zeta"]
    pruned = api.allocate(codec, table, "bops=97.5%", clips=clips.one(0), prune=(1 / 2,))
    assert any(0 in (layer.channel_bits or ()) for layer in pruned.layers.values())
    with api.quantized(codec, plan, clips):
        assert api.code(codec, clips).rate.shape == (3, 2, 3)


def test_of_another_codec_in_simulation() -> None:
    torch.set_num_threads(1)
    adapter, clips = ToyAdapter(), toy_clips(frames=3)
    table: SensitivityTable = api.analyse(
        adapter, clips, level="layer", kinds=("w", "a"), bits=(3, 6), modes=("add",), frames=2, drift_frames=0,
        impulse_frames=0, noise=2, pairs=False, proxies=False,
    )  # fmt: skip
    plain = api.allocate(adapter, table, "bops=20%", clips=clips)
    plan = api.allocate(adapter, table, "bops=20%", clips=clips, groups=(2,), split=(0.2,))
    assert any(layer.groups or layer.split for layer in plan.layers.values())
    assert plan.predicted["zeta"] <= plain.predicted["zeta"] and plan.predicted["bops"] <= plan.budget["bops"]
    with api.quantized(adapter, plan, clips):
        assert api.code(adapter, clips).rate.shape == (2, 2, 3)
    with pytest.raises(UsageError, match="Quaver's own codec alone"):
        api.allocate(adapter, table, "bops=60%", clips=clips, prune=(0.5,))
    with pytest.raises(UsageError, match="shares of channels between 0 and 1"):
        api.allocate(adapter, table, "bops=60%", clips=clips, split=(2,))
