"""What pruned channels leave is what lowering leaves."""

from __future__ import annotations

import random

import pytest
import torch

from quaver.lab.allocate.options import Choices, build_problem
from quaver.lab.allocate.prune import pruned_outputs
from quaver.lab.allocate.scores import Scores
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.costs.codec import codec_layers, model_layers
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.profile import load_profile
from quaver.lab.costs.pruning import followers, kept, pruned
from quaver.lab.costs.table import totals
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.precision import shape_for
from quaver.lab.models.presets import PRESETS
from quaver.lab.models.untrained import random_codec
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.sites import weight_of
from quaver.runtime.model import load_model

from ..analyse.toy import toy_clips

PRESET = Preset(16, 1, 1, 1, 1, 16, motion=8, motion_blocks=1, estimator=1)


def codec() -> Codec:
    return random_codec(PRESET, seed=0, spread=0.3)


def test_shapes_are_those_of_the_lowered_graphs() -> None:
    own, rng = codec(), random.Random(0)
    whole = codec_layers(own, Workload())
    layers = {}
    for layer in whole:
        if layer.planned and followers(layer.call_site) and rng.random() < 0.7:
            bits = (7, *(rng.choice((0, 7)) for _ in range(layer.outputs - 1)))
            layers[layer.call_site] = LayerPlan(7, 8, bits)
    plan = QuantPlan(layers)
    shape_for(own, plan)
    left = {layer.call_site: layer for layer in model_layers(lower(own, "x"), Workload()) if layer.planned}

    def shape(layer: Layer) -> tuple[int, ...]:
        return layer.inputs, layer.outputs, layer.groups, layer.operations

    smaller = [layer for layer in pruned(whole, plan) if layer.planned and layer.call_site in left]
    assert [shape(layer) for layer in smaller] == [shape(left[layer.call_site]) for layer in smaller]
    assert sum(layer.operations for layer in smaller) < sum(layer.operations for layer in whole if layer.planned)


def test_whole_multiples_of_what_kernels_compute_at_once_stay() -> None:
    counts = {
        ("a.blocks.0.enter", 23): 32,  # a depthwise layer reads it
        ("a.blocks.0.enter", 33): None,
        ("a.blocks.0.widen", 33): 36,
        ("a.loop.middle", 1): 4,
        ("a.blocks.0.mix", 1): None,  # goes with its input
    }
    for (name, needed), left in counts.items():
        assert kept(LayerPlan(7, 8, (7,) * needed + (0,) * (48 - needed)), name) == left


def test_the_programme_counts_no_more_than_is_saved() -> None:
    own = Codec(PRESETS["nano"](), load_model("skeleton"))  # of sizes that the profile measured
    layers = [layer for layer in codec_layers(own, Workload()) if layer.planned and ".blocks.0." in layer.call_site]
    name = next(layer.call_site for layer in layers if layer.call_site.endswith("inter.decoder.trunk.blocks.0.widen"))
    scores = Scores("", {(layer.call_site, "w", 7): 0.1 for layer in layers})
    candidate = LayerPlan(7, channel_bits=(0,) * 48 + (7,) * 48)
    profile = load_profile("onnx-cpu")
    choices = Choices(layers, scores, profile, candidates={name: [(candidate, 0.3)]})
    problem = build_problem(choices, dict.fromkeys(("bytes", "bops", "ms", "avg_bits"), 10**30))  # type: ignore[arg-type]
    costs = []
    for place in (0, 1):
        choice = {site: place if site == name else 0 for site in problem.options}
        plan = QuantPlan({site: problem.options[site][number].plan for site, number in choice.items()})
        exact = {key: float(value) for key, value in totals(layers, plan).items()}
        exact["ms"] = profile.predict(plan, layers)
        counted = problem.costs(choice)
        for key, value in counted.items():
            assert float(value) >= exact[key] * (1 - 1e-9), key
        # Bits take next to no time there: what clips and entries of fewer channels save depends on them.
        assert float(counted["ms"]) == pytest.approx(exact["ms"], rel=0.02)
        costs.append(counted)
    assert all(costs[1][key] < costs[0][key] for key in costs[0])


def test_channels_that_matter_least_go_first() -> None:
    torch.set_num_threads(1)
    own = codec()
    name = "inter.decoder.trunk.blocks.0.widen"
    reader = own.get_submodule("inter.decoder.trunk.blocks.0.narrow")
    with torch.no_grad():
        weight_of(reader)[:, :8] = 0
    adapter = QuaverAdapter(own, (32,))
    layers = [layer for layer in codec_layers(own, Workload()) if "inter.decoder" in layer.call_site]
    before = {key: value.clone() for key, value in own.state_dict().items()}
    found = pruned_outputs(adapter, toy_clips(2, 3, 32), layers, (0.25, 0.5), {name: {7: 0.5}}, {})
    plan, zeta = found[name][0]
    assert plan.channel_bits == (0,) * 8 + (7,) * 24 and zeta == 0.5  # what nobody reads costs nothing
    assert found[name][1][1] >= zeta and len(found[name][1][0].channel_bits or ()) == 32
    assert all(torch.equal(value, before[key]) for key, value in own.state_dict().items())
