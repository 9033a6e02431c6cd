"""Costs of the codec: what is read off the modules is what runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quaver.lab.costs.codec import codec_layers, model_layers, model_plan, skeleton_bytes
from quaver.lab.costs.memory import peak_bytes
from quaver.lab.costs.table import by_network, macs_per_pixel, table, totals
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.precision import shape_for
from quaver.lab.models.presets import PRESETS
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.graph import Add, Conv, IntegerGraph, Port
from quaver.runtime.model import IntegerModel, load_model, save_model


@pytest.fixture(scope="module")
def codec() -> Codec:
    return random_codec(Preset(16, 1, 1, 1, 1, 8), seed=1)


@pytest.fixture(scope="module")
def model(codec: Codec) -> IntegerModel:
    return lower(codec, "random")


def test_call_sites_are_those_of_plans(codec: Codec) -> None:
    """Names, and which layers share their input, as a run of the codec shows them."""
    rows = {row.call_site: (row.shared_input, row.signed) for row in codec_layers(codec, Workload()) if row.planned}
    assert rows == {name: (wire.source.shared, wire.source.zero > 0) for name, wire in wiring(codec).items()}


def test_modules_and_graphs_cost_the_same(codec: Codec, model: IntegerModel) -> None:
    workload = Workload(100, 60, side="encode")
    rows, others = codec_layers(codec, workload), model_layers(model, workload)
    ours, theirs = ({row.call_site: row for row in each if row.op != "add"} for each in (rows, others))
    assert set(ours) == set(theirs)
    for name, row in ours.items():
        assert row == replace(theirs[name], shared_input=row.shared_input, signed=row.signed), name
    # Sums have other names where they are a port.
    ours_sums, theirs_sums = (
        sorted((r.network, r.operations) for r in each if r.op == "add") for each in (rows, others)
    )
    assert ours_sums == theirs_sums
    for name, graph in model.graphs.items():
        planned = [row for row in ours.values() if row.planned and row.call_site.startswith(f"{name}.")]
        assert sum(row.operations // row.positions for row in planned) == graph.macs()


@pytest.mark.parametrize("bits", [(7, 8), (3, 5), (5, 8, 4)])
def test_bytes_are_those_of_the_file(bits: tuple[int, ...], tmp_path: Path) -> None:
    """Within 1 %; what is not exact is the description's text. With three numbers half of the inputs have the last."""
    codec = random_codec("nano", seed=1)
    wires = wiring(codec)
    plan = QuantPlan.uniform(list(wires), *bits[:2])
    if len(bits) > 2:
        widths = {name: wire.conv.weight.shape[1] * wire.conv.groups for name, wire in wires.items()}
        groups = {name: (0,) * (width // 2) + (1,) * (width - width // 2) for name, width in widths.items()}
        own = {name: replace(plan.layers[name], groups=groups[name], group_bits=bits[1:]) for name in wires}
        plan = replace(plan, layers=own)
    shape_for(codec, plan)
    model = lower(codec, "random")
    save_model(model, tmp_path / "random.qvm")
    expected = totals(codec_layers(codec, Workload()), plan, skeleton_bytes(codec.skeleton))["bytes"]
    assert abs(float(expected) / (tmp_path / "random.qvm").stat().st_size - 1) < 0.01


def test_bytes_of_splits_are_those_of_the_file(tmp_path: Path) -> None:
    """Within 2 %: what the makers of split channels compute twice is not counted."""
    codec = random_codec("nano", seed=1)
    rows = [row for row in codec_layers(codec, Workload()) if row.planned]
    split = {row.call_site: tuple(range(-(-row.inputs // 20))) if row.groups == 1 else () for row in rows}
    plan = QuantPlan({name: LayerPlan(7, 5, split=channels) for name, channels in split.items()})
    shape_for(codec, plan)
    save_model(lower(codec, "random"), tmp_path / "random.qvm")
    expected = totals(codec_layers(codec, Workload()), plan, skeleton_bytes(codec.skeleton))["bytes"]
    assert 0.98 < float(expected) / (tmp_path / "random.qvm").stat().st_size < 1


def test_the_plan_of_a_model() -> None:
    codec = random_codec(Preset(16, 1, 1, 1, 1, 8), seed=1)
    shape_for(codec, QuantPlan.uniform(list(wiring(codec)), 4, 6))
    model = lower(codec, "narrow")
    plan = model_plan(model)
    for name in wiring(codec):
        layer = plan.layers[name]
        assert layer.weight_bits == 4 and layer.activation_bits == 6, name
    assert plan.layers["inter.entropy.context.enter.entry"].activation_bits == 8


def test_sixteen_bits_are_two_products_and_two_bytes() -> None:
    codec = random_codec(Preset(16, 1, 1, 1, 1, 8), seed=1)
    name = "inter.decoder.trunk.blocks.0.narrow"
    plans = [QuantPlan.uniform(list(wiring(codec))), QuantPlan({name: LayerPlan(7, 16)})]
    narrow, wide = (
        next(row for row in table(codec_layers(codec, Workload()), plan) if row["call_site"] == name) for plan in plans
    )
    assert (wide["bops"], wide["read_bytes"]) == (2 * narrow["bops"], 2 * narrow["read_bytes"])
    assert wide["file_bytes"] == narrow["file_bytes"]
    shape_for(codec, plans[1])
    model = lower(codec, "wide")
    assert model_plan(model).layers[name].activation_bits == 16
    pair = [conv for conv in model.graphs["inter.decoder"].convolutions() if conv.name.startswith("trunk.0.")][-2:]
    ports = (Port(pair[0].input, 16, 128),), (Port(pair[1].output, 16, 128),)
    assert peak_bytes(IntegerGraph("pair", *ports, tuple(pair)), (4, 5)) == 4 * 5 * (16 + 2 * 32)


def test_presets_cost_what_they_are_called_for() -> None:
    workload = Workload()
    skeleton = load_model("skeleton")
    cost = {
        name: macs_per_pixel(codec_layers(Codec(make(), skeleton), workload), workload)
        for name, make in PRESETS.items()
    }
    assert 2e3 < cost["nano"] < 4e3 and 9e3 < cost["small"] < 15e3 and 3e4 < cost["large"] < 5e4


def test_gdn_has_rows() -> None:
    rows = codec_layers(Codec(Preset(8, 1, 1, 1, 1, 4, "gdn"), load_model("skeleton")), Workload())
    norms = [row for row in rows if row.op == "gdn"]
    assert len(norms) % 2 == 0 and norms and norms[0].operations == (64 + 24) * norms[0].positions


def test_decoders_do_not_run_the_encoder(codec: Codec) -> None:
    decode, encode = (codec_layers(codec, Workload(side=side)) for side in ("decode", "encode"))
    macs = {row["network"]: row["macs"] for row in by_network(table(decode, QuantPlan({})))}
    assert macs["inter.encoder"] == macs["motion.estimator"] == 0 < macs["inter.decoder"]
    assert sum(row.macs for row in encode) > sum(row.macs for row in decode)


def test_peak_memory() -> None:
    """x (2 channels) stays for the sum, h has 3: 2 + 3, then 3 + 2 + 2 of x, then 2 + 2 + 2."""
    torch.manual_seed(0)

    def conv(name: str, inputs: int, outputs: int, x: str) -> Conv:
        weight = torch.ones(outputs, inputs, 1, 1).numpy().astype("int8")
        bias, multiplier = torch.zeros(outputs).numpy().astype("int32"), torch.ones(outputs).numpy()
        return Conv(name, x, name, weight, bias, multiplier, 128, 128)

    nodes = conv("h", 2, 3, "x"), conv("g", 3, 2, "h"), Add("x", "g", "y")
    graph = IntegerGraph("g", (Port("x", 2, 128),), (Port("y", 2, 128),), nodes)
    assert peak_bytes(graph, (10, 10)) == 700
