"""Hardware profiles: rules, interpolation, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quaver.errors import UsageError
from quaver.lab.costs.fixed import gdn
from quaver.lab.costs.layers import convolution
from quaver.lab.costs.profile import (
    Entry,
    Format,
    HardwareProfile,
    Rules,
    Speed,
    load_profile,
    shipped,
)
from quaver.lab.quant.plan import LayerPlan, QuantPlan

LAYER = convolution("net.enter", (4, 8, 1, 1), (10, 10))
RULES = Rules((2, 3, 4), (8,), ("layer", "channel"), ("pointwise",))
FORMATS = (Format("u8s8", (2, 3, 4), (8,)),)


def entry(operations: int, ms: float, inputs: int = 4) -> Entry:
    return Entry("pointwise", "u8s8", inputs, 8, 1, 1, operations // 32, operations, ms)


def profile(*table: Entry, speeds: tuple[Speed, ...] = ()) -> HardwareProfile:
    return HardwareProfile("toy", {}, RULES, FORMATS, speeds, table)


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        (LayerPlan(7, 8), "7 weight bits"),
        (LayerPlan(None, 8), "floating-point weight bits"),
        (LayerPlan(4, 6), "6 activation bits"),
        (LayerPlan(4, 8, groups=(0, 0, 1, 1)), "per group"),
        (LayerPlan(4, 8, split=(1,)), "per split"),
    ],
)
def test_refusals_name_layer_and_rule(plan: LayerPlan, rule: str) -> None:
    with pytest.raises(UsageError, match=rf"'toy' cannot run net\.enter: .*{rule}"):
        profile().check(QuantPlan({"net.enter": plan}), [LAYER])


def test_what_it_runs() -> None:
    profile().check(QuantPlan({"net.enter": LayerPlan(4, 8, (4, 0, 2, 4, 4, 3, 2, 0))}), [LAYER])
    with pytest.raises(UsageError, match="operation gdn"):
        profile().check(QuantPlan({"net.enter": LayerPlan(4, 8)}), [LAYER, gdn("net.norm", 4, (2, 2))])
    wide = replace(profile(), rules=replace(RULES, weight_bits=(4,)))
    with pytest.raises(UsageError, match="2 weight bits in a channel"):
        wide.check(QuantPlan({"net.enter": LayerPlan(4, 8, (4, 2) * 4)}), [LAYER])


def test_a_measured_shape_is_what_was_measured() -> None:
    found = profile(entry(1600, 1.0), entry(3200, 3.0), entry(6400, 4.0))
    assert found.predict(QuantPlan({"net.enter": LayerPlan(4, 8)}), [LAYER]) == 3.0
    assert found.predict(QuantPlan({"net.enter": LayerPlan(4, 8)}), [replace(LAYER, share=LAYER.share / 4)]) == 0.75


def test_other_sizes_are_interpolated() -> None:
    found = profile(entry(1600, 1.0), entry(6400, 4.0))
    plan = LayerPlan(4, 8)
    assert found.milliseconds(LAYER, plan) == pytest.approx(2.0)
    small, large = (convolution("net.enter", (4, 8, 1, 1), (side, side)) for side in (5, 20))
    assert found.milliseconds(small, plan) == pytest.approx(0.5) and found.milliseconds(large, plan) == pytest.approx(8)


def test_pruned_layers_lie_between_what_was_measured() -> None:
    """Not in proportion to operations: first along outputs, then along inputs; fewer than any take as long."""
    times = {(12, 12): 1.7, (12, 8): 1.6, (12, 4): 1.5, (6, 12): 0.9, (6, 4): 0.7}
    table = tuple(Entry("dense", "u8s8", i, o, 9, 4, 5, i * o * 9 * 20, ms) for (i, o), ms in times.items())
    found = replace(profile(*table), rules=replace(RULES, ops=("dense",)))

    def ms(inputs: int, outputs: int, map: tuple[int, int] = (4, 5)) -> float:
        return found.milliseconds(convolution("x", (inputs, outputs, 9, 1), map), LayerPlan(4, 8))

    assert [ms(*counts) for counts in times] == list(times.values())
    assert ms(12, 6) == pytest.approx(1.55) and ms(12, 2) == pytest.approx(1.5)
    assert ms(9, 8) == pytest.approx((1.6 + 0.8) / 2) and ms(9, 8, (8, 10)) == pytest.approx(4 * 1.2)
    assert ms(24, 12) != pytest.approx(1.7)  # more than any: by the rate of the kind


def test_other_channels_take_the_rate_of_their_kind() -> None:
    found = profile(entry(1600, 1.0, inputs=3), entry(6400, 1.0, inputs=5))
    # Rates 1600 and 6400 per millisecond, half way on both logarithmic axes.
    assert found.milliseconds(LAYER, LayerPlan(4, 8)) == pytest.approx(1.0)


def test_speeds_where_nothing_was_measured() -> None:
    macs = profile(speeds=(Speed("pointwise", "u8s8", "mac", 2e-3, "toy"),))
    bops = profile(speeds=(Speed("*", "*", "bop", 2e-3, "toy"),))
    assert macs.milliseconds(LAYER, LayerPlan(4, 8)) == pytest.approx(1.6)
    assert bops.milliseconds(LAYER, LayerPlan(4, 8)) == pytest.approx(1.6 * 32)
    with pytest.raises(UsageError, match="no speed of pointwise"):
        profile().milliseconds(LAYER, LayerPlan(4, 8))


def test_entries_take_time() -> None:
    speeds = tuple(Speed(op, "u8s8", "mac", 1e-3, "toy") for op in ("pointwise", "entry"))
    formats = (Format("u8s8", (2, 3, 4), (6, 8)),)
    found = replace(profile(speeds=speeds), formats=formats)
    shared = replace(LAYER, shared_input=True)
    extra = found.milliseconds(shared, LayerPlan(4, 6)) - found.milliseconds(shared, LayerPlan(4, 8))
    assert extra == pytest.approx(4 * 100 / 1e-3 / 1e6)


def test_clips_take_time_where_they_were_measured() -> None:
    speeds = (Speed("pointwise", "u8s8", "mac", 1e-3, "toy"), Speed("clip", "fixed", "mac", 1e-3, "toy"))
    found = replace(profile(speeds=speeds), formats=(Format("u8s8", (2, 3, 4), (6, 8)),))
    times = [found.milliseconds(LAYER, LayerPlan(4, bits)) for bits in (6, 8)]
    assert times[0] == times[1]
    found = replace(found, rules=replace(RULES, ops=("pointwise", "clip")))
    times = [found.milliseconds(LAYER, LayerPlan(4, bits)) for bits in (6, 8)]
    assert times[0] - times[1] == pytest.approx(4 * 100 / 1e-3 / 1e6)


def test_files(tmp_path: Path) -> None:
    found = profile(entry(1600, 1.0), speeds=(Speed("add", "fixed", "mac", 1.0, "toy"),))
    found.save(tmp_path / "toy.json")
    assert load_profile(str(tmp_path / "toy.json")) == found
    (tmp_path / "new.json").write_text(found.to_json().replace('"version": 1', '"version": 2'))
    for name, message in (("new.json", "version 2"), ("none.json", "cannot read")):
        with pytest.raises(UsageError, match=message):
            load_profile(str(tmp_path / name))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UsageError, match="not a hardware profile"):
        load_profile(str(tmp_path / "list.json"))
    with pytest.raises(UsageError, match="known: avx2, bit-serial, onnx-cpu"):
        load_profile("gpu")


@pytest.mark.parametrize("name", shipped())
def test_shipped_profiles_run_profile_1(name: str) -> None:
    found = load_profile(name)
    shapes = [(96, 192, 1, 1), (96, 96, 9, 96), (24, 24, 9, 1)]
    layers = [convolution(f"n.{i}", shape, (45, 80), shared_input=True) for i, shape in enumerate(shapes)]
    times = []
    for bits in ((7, 8), (4, 4)):
        plan = QuantPlan.uniform([layer.call_site for layer in layers], *bits)
        found.check(plan, layers)
        times.append(found.predict(plan, layers))
    # Only a machine that computes bit by bit gains from narrow codes; others pay for the entries.
    assert (times[1] < times[0]) == (name == "bit-serial") and times[0] > 0
    sixteen = QuantPlan.uniform(["n.0"], 7, 16)
    own = [replace(layers[0], shared_input=False)]
    if name == "bit-serial":  # two products
        assert found.predict(sixteen, own) == 2 * found.predict(QuantPlan.uniform(["n.0"], 7, 8), own)
    else:
        with pytest.raises(UsageError, match=r"cannot run n.0: 16 activation bits; it runs 2, .* 8"):
            found.check(sixteen, own)
        with pytest.raises(UsageError, match="8 weight bits"):
            found.check(QuantPlan.uniform(["n.0"], 8, 8), layers)
