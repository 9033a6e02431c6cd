"""The laboratory in Python: on Quaver's own codec, on somebody's behind an adapter, on any module."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.errors import UsageError
from quaver.lab import api
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import save_weights
from quaver.runtime.model import read_model

from ..analyse.toy import ToyAdapter, toy_clips
from ..test_integer_path import FORMAT, moving

QUICK = {"level": "module", "bits": (4, 8), "modes": ("add",), "frames": 2, "drift_frames": 0, "impulse_frames": 0,
         "noise": 2, "pairs": False, "proxies": False}  # fmt: skip
LAYERS = QUICK | {"level": "layer", "only": ("inter.decoder.*",), "kinds": ("w",)}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """A tiny one, through a file."""
    torch.set_num_threads(1)
    codec = random_codec(Preset(16, 1, 1, 1, 1, 8), seed=2)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(codec, path)
    return api.load_codec(path)


@pytest.fixture(scope="module")
def clips() -> api.ClipSet:
    return api.clips_of(count=2, frames=2, size=32)


def test_clips_of_the_demo_are_different_crops(clips: api.ClipSet) -> None:
    assert len(clips) == 2 and len(set(clips.names)) == 2 and clips.y.shape == (2, 2, 32, 32)
    assert clips.hash == api.clips_of(count=2, frames=2, size=32).hash


def test_quantized_is_the_integers_that_ship_and_leaves_no_trace(codec: Codec, clips: api.ClipSet) -> None:
    before, parts, state = api.code(codec, clips), dict(codec._modules), dict(codec.state_dict())
    with api.quantized(codec, api.uniform(codec, 4, 6), clips) as inside:
        assert inside is codec and codec.plan is not None
        loss = api.code(codec, clips)
    assert codec.plan is None and codec._modules == parts
    assert all(a is b or torch.equal(a, b) for a, b in zip(state.values(), codec.state_dict().values(), strict=True))
    assert not np.array_equal(loss.rate, before.rate)
    np.testing.assert_array_equal(api.code(codec, clips).rate, before.rate)


def test_an_error_inside_leaves_no_trace_either(codec: Codec, clips: api.ClipSet) -> None:
    parts = dict(codec._modules)
    with pytest.raises(ZeroDivisionError), api.quantized(codec, api.uniform(codec, 4, 8), clips):
        raise ZeroDivisionError
    assert codec.plan is None and codec._modules == parts


def test_any_module() -> None:
    module, x = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 1)), torch.randn(2, 2, 8, 8)
    plan, floating = api.QuantPlan.uniform(["0", "2"], 3, 4), module(x)
    with api.quantized(module, plan, lambda: module(x)) as attachment:
        assert not torch.equal(module(x), floating) and attachment.plan == plan
    assert torch.equal(module(x), floating)
    with api.quantized(module, plan.with_bits("*", a=None)):
        assert not torch.equal(module(x), floating)
    with pytest.raises(UsageError, match="0: inputs are quantized too; give a function"), api.quantized(module, plan):
        pass


def test_compare(codec: Codec, clips: api.ClipSet) -> None:
    good = api.uniform(codec, 7, 8)
    found = api.compare(codec, good, good.with_bits("inter.decoder.*", w=2), clips)
    assert found.layers and all(name.startswith("inter.decoder.") for name in found.layers)
    assert found.difference.zeta == pytest.approx(found.scores[1].zeta - found.scores[0].zeta)
    assert found.costs[1]["bytes"] < found.costs[0]["bytes"] and {"bops", "ms", "avg_bits"} <= found.costs[0].keys()
    text, page = repr(found), found._repr_html_()
    assert good.hash in text and f"{len(found.layers)} from W7A8 to W2A8" in text and "standard error" in text
    assert page.count("<table>") == 2 and all(name in page for name in found.layers)
    assert found.manifest["clips"]["hash"] == clips.hash
    again = api.compare(codec, good, good.with_bits("inter.decoder.*", w=2), clips)
    assert again.manifest == found.manifest and repr(again) == text


class OneRole(ToyAdapter):
    """The toy with one set of scales for intra and inter frames."""

    def role(self) -> str:
        return ""


def test_somebody_elses_codec() -> None:
    adapter, clips = OneRole(), toy_clips(frames=3)
    table = api.analyse(adapter, clips, **QUICK | {"level": "layer"})
    plan = api.allocate(adapter, table, "bops=60%", name="mine", clips=clips)
    assert (
        plan.name == "mine"
        and set(plan.layers) <= set(table.layers())
        and plan.model_hash == table.rows["model_hash"][0]
    )
    found = api.compare(adapter, api.uniform(adapter, 8, 8), plan, clips)
    assert found.costs[1]["bops"] < found.costs[0]["bops"] and "ms" not in found.costs[0]
    with pytest.raises(UsageError, match=r"budget bops=.* is impossible; the smallest is"):
        api.allocate(adapter, table, "bops=1%", clips=clips)


def test_a_layer_in_two_roles() -> None:
    """One weight, stored once and equally wide in both roles; an input for each."""
    adapter, clips = ToyAdapter(), toy_clips(frames=3)
    table = api.analyse(adapter, clips, **QUICK | {"level": "layer", "kinds": ("w", "a")})
    for method in ("ilp", "greedy", "random", "uniform"):
        plan = api.allocate(adapter, table, "bops=60%", "avg_bits=5", method=method, clips=clips)
        layers = {site.partition("@")[0] for site in plan.layers}
        assert set(plan.layers) == {f"{name}@{role}" for name in layers for role in ("intra", "inter")}
        for name in layers:
            assert plan.layers[f"{name}@intra"].weight_bits == plan.layers[f"{name}@inter"].weight_bits
        costs = api.compare(adapter, api.uniform(adapter, 7, 8), plan, clips).costs
        assert all(costs[1][key] == pytest.approx(plan.predicted[key]) for key in ("bops", "avg_bits"))
        assert costs[1]["bops"] <= 0.6 * costs[0]["bops"] and costs[1]["avg_bits"] <= 5
    one = api.compare(OneRole(), *[api.uniform(OneRole(), 7, 8)] * 2, clips).costs[0]
    assert one == costs[0]


def test_from_table_to_file(codec: Codec, clips: api.ClipSet, tmp_path: Path) -> None:
    table = api.analyse(codec, clips, **LAYERS, out=tmp_path / "analysis")
    assert (tmp_path / "analysis/report.html").is_file() and table.to_polars().height == len(table)
    plan = api.allocate(codec, table, "avg_bits=6.9")
    assert plan.predicted["avg_bits"] <= 6.9
    api.save_model(api.quantize(codec, plan, clips, "mine"), tmp_path / "mine.qvm")
    model, stream = read_model(tmp_path / "mine.qvm"), io.BytesIO()
    with Encoder(stream, FORMAT, 30, model=model) as encoder:
        for frame in moving(3):
            encoder.encode(frame)
        last = encoder.reconstruction
    np.testing.assert_array_equal(list(Decoder(io.BytesIO(stream.getvalue()), model))[-1].y, last.y)


def test_reprs_are_short(codec: Codec, clips: api.ClipSet) -> None:
    table = api.analyse(codec, clips, **QUICK | {"only": ("inter.decoder.*",)})
    plan = api.uniform(codec, 4, 8)
    for thing in (table, plan, api.costs(codec, plan)):
        assert len(repr(thing)) < 3000 and "<table>" in thing._repr_html_()


def test_what_cannot_be(codec: Codec, clips: api.ClipSet, tmp_path: Path) -> None:
    plan = api.uniform(codec, 7, 8)
    other = api.QuantPlan(plan.layers, "other", model_hash="f" * 64)
    for call in (api.compare, lambda *args: api.quantize(args[0], args[1], args[3])):
        with pytest.raises(UsageError, match="plan 'other' was made for weights ffff"):
            call(codec, other, plan, clips)
    with pytest.raises(UsageError, match="profile 1 runs 2 to 7"):
        api.quantize(codec, api.uniform(codec, 9, 8), clips)
    with pytest.raises(UsageError, match=r"no layer is named 'contextual\.\*'"):
        plan.with_bits("contextual.*", w=4)
    with pytest.raises(UsageError, match=r"avg_bits.*smallest"):
        api.allocate(codec, api.analyse(codec, clips, **LAYERS), "avg_bits=1")
    with pytest.raises(UsageError, match="only Quaver's own"):
        api.quantize(ToyAdapter(), plan)
    with pytest.raises(UsageError, match="preset"):
        api.random_codec("tiny")


def test_the_core_does_not_know_of_it() -> None:
    code = "import sys, quaver, quaver.codec.decoder, quaver.cli.app; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
