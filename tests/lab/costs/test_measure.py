"""Measuring this machine, on a model that takes no time."""

from __future__ import annotations

from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.layers import convolution
from quaver.lab.costs.measure import Timing, distinct, layer_entry
from quaver.lab.costs.profile import HardwareProfile
from quaver.lab.costs.survey import survey
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model


def test_a_profile_of_a_model() -> None:
    codec = Codec(Preset(8, 1, 1, 1, 1, 4, motion=8, motion_blocks=1, estimator=1), load_model("skeleton"))
    workload = Workload(64, 48)
    seen: list[int] = []
    found = survey(
        {"tiny": lower(codec, "tiny")}, [workload], "toy", Timing(1, 1), lambda done, of, what: seen.append(of)
    )
    assert len(set(seen)) == 1 and len(seen) == seen[0]
    assert HardwareProfile.from_json(found.to_json()) == found
    assert all(entry.ms > 0 for entry in found.table) and {graph.graph for graph in found.graphs} >= {"tiny/inter.loop"}
    layers = codec_layers(codec, workload)
    names = [layer.call_site for layer in layers if layer.planned]
    for bits in ((7, 8), (4, 4), (None, None)):
        assert found.predict(QuantPlan.uniform(names, *bits), layers) > 0


def test_more_work_takes_longer() -> None:
    small, large = (convolution("x", (32, outputs, 9, 1), (32, 32)) for outputs in (8, 256))
    for format in ("u8s8", "f32"):
        times = [layer_entry(layer, format, Timing(1, 5)).ms for layer in (small, large)]
        assert times[1] > 2 * times[0], format


def test_each_shape_once() -> None:
    a, b = convolution("a", (3, 4, 1, 1), (5, 5)), convolution("b", (3, 4, 1, 1), (5, 5), shared_input=True)
    assert [layer.op for layer in distinct([a, b, b])] == ["pointwise", "clip", "entry"]
