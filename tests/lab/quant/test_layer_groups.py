"""Call sites that share a scale: who belongs together, plans that say so, and one grid for all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab.quant import (
    Calibration,
    LayerPlan,
    QuantPlan,
    SiteStats,
    accumulate,
    attach,
    calibrate,
    grouping,
    learn,
)
from quaver.lab.quant.layer_groups import noise_weights, partition_sites, sharing, shuffled_sites
from quaver.lab.quant.observers import side_by_side, together


def seen(reach: float, seed: int = 0, channels: int = 3, positive: bool = False, axis: int = -3) -> SiteStats:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.laplace(0, reach / 3, (1, channels, 20, 20)).clip(-reach, reach)).float()
    return accumulate(None, (x.abs() if positive else x).movedim(1, axis), axis)


def sites() -> dict[str, SiteStats]:
    reaches = {"a": 1.0, "b": 20.0, "c": 1.1, "d": 18.0}
    signed = {name: seen(reach, n, channels=n + 1) for n, (name, reach) in enumerate(reaches.items())}
    return signed | {"e": seen(1, 5, positive=True), "f": seen(19, 6, positive=True)}


@pytest.mark.parametrize("distance", grouping.DISTANCES)
def test_alike_sites_share_and_signs_do_not(distance: grouping.Distance) -> None:
    found = partition_sites(sites(), 2, distance, 5)
    assert sharing(found) == (("a", "c"), ("b", "d")) and len(set(found.values())) == 4
    one = partition_sites(sites(), 1, distance, 5)
    assert sharing(one) == (("a", "b", "c", "d"), ("e", "f"))
    few = partition_sites(sites(), 2, distance, 5, kinds=dict.fromkeys("abe", 0))
    assert set(few) == set("abe") and few["b"] != few["a"] == few["e"]


def test_no_partition_of_sites_errs_less() -> None:
    """The best by squared error, against every partition; as shares of each site's power small values count too."""
    stats = {name: each for name, each in sites().items() if name in "abcd"}
    inputs = side_by_side(list(stats.values()))
    found = partition_sites(stats, 2, "error", 4)
    every = (grouping.numbered(np.array(groups)) for groups in itertools.product((0, 1), repeat=4))
    least = min(grouping.sharing_error(inputs, groups, 4) for groups in every)
    assert grouping.sharing_error(inputs, tuple(found.values()), 4) == pytest.approx(least)
    weights = noise_weights(stats)
    assert weights["a"] > 50 * weights["b"] > 0
    assert sharing(partition_sites(stats, 3, "error", 4, importance=weights)) != sharing(
        partition_sites(stats, 3, "error", 4, importance=dict.fromkeys(stats, 1.0))
    )


def test_chance_has_the_same_sizes() -> None:
    found = shuffled_sites(sites(), 2, 1)
    assert found == shuffled_sites(sites(), 2, 1)
    assert sorted(map(len, sharing(found))) == [2, 2] and len(set(found.values())) == 4
    with pytest.raises(UsageError, match="z: it was not observed"):
        partition_sites(sites(), 2, kinds={"z": 0})


def test_statistics_add_up_exactly() -> None:
    first, second = seen(1, 1), seen(9, 2, channels=5, axis=-1)
    both = together([first, second])
    assert both.channels == 1 and both.axis == -3
    assert both.lowest == min(first.lowest.min(), second.lowest.min())
    assert both.counts.sum() == first.counts.sum() + second.counts.sum()
    beside = side_by_side([first, second])
    assert torch.equal(beside.highest, torch.stack([first.highest.max(), second.highest.max()]))


def shared_plan(**more: LayerPlan) -> QuantPlan:
    layers = {name: LayerPlan(7, 5) for name in ("a", "b", "c")} | more
    return QuantPlan(layers, shared=(("c", "a"),))


def test_a_plan_says_who_shares() -> None:
    plan, none = shared_plan(), QuantPlan(shared_plan().layers)
    assert plan.shared == (("a", "c"),) and plan.sharing("c@inter") == ("a", "c") and plan.sharing("b") == ()
    assert QuantPlan.from_json(plan.to_json()) == plan and plan.hash != none.hash
    # What plans of before there was sharing hashed to.
    assert none.hash == "407ca3b488f27953" and "shared" not in none.to_json()
    assert plan.diff(none) == {"a": ("W7A5 as c", "W7A5"), "c": ("W7A5 as a", "W7A5")}
    assert "one scale" in repr(plan) and "one scale" not in repr(none)
    assert plan.with_bits("[ac]", a=4).shared == plan.shared and plan.with_bits("b", a=4).shared == plan.shared
    assert plan.with_bits("a", a=4).shared == () and plan.with_bits("a", w=4).shared == plan.shared
    assert shared_plan(**{"a@inter": LayerPlan(7, 8)}).sharing("a@inter") == ()


@pytest.mark.parametrize(
    ("layer", "shared", "said"),
    [
        (LayerPlan(7, 5), (("a", "z"),), "z: the plan lets it share"),
        (LayerPlan(7, 5), (("a", "b"), ("c", "b")), "b: named twice"),
        (LayerPlan(7, 5), (("b", "b"),), "b: named twice"),
        (LayerPlan(7, 5), (("b",),), "b alone: two or more"),
        (LayerPlan(7, 6), (("a", "b"),), "b: 6 activation bits; a, whose scale it shares, has 5"),
        (LayerPlan(7, None), (("a", "b"),), "b: its input stays in floating point"),
        (LayerPlan(7, 5, None, (0, 1)), (("a", "b"),), "b: its channels have groups or splits"),
        (LayerPlan(7, 5, split=(0,)), (("a", "b"),), "b: its channels have groups or splits"),
    ],
)
def test_what_cannot_share_is_refused(layer: LayerPlan, shared: tuple[tuple[str, ...], ...], said: str) -> None:
    layers = {"a": LayerPlan(7, 5), "b": layer, "c": LayerPlan(7, 5)}
    with pytest.raises(UsageError, match=said):
        QuantPlan(layers, shared=shared)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 2, 1))


def test_one_grid_for_all_in_any_module() -> None:
    model, x = chain(), torch.randn(2, 3, 8, 8)
    plan = QuantPlan(QuantPlan.uniform(["0", "1", "2"], 7, 4).layers, shared=(("0", "2"),))
    calibration = calibrate(model, plan, lambda: model(x))
    scales = calibration.scales(plan)
    assert torch.equal(scales["0"].scale, scales["2"].scale) and torch.equal(scales["0"].zero, scales["2"].zero)
    own = [calibration.scale(site, plan.layer(site)) for site in ("0", "2")]
    assert min(s.scale for s in own) <= scales["0"].scale <= max(s.scale for s in own)
    attached = attach(model, plan, calibration)
    assert attached.input_scale("0") is not None and torch.equal(attached.input_scale("2").scale, scales["0"].scale)
    wider = own[0].with_scale(own[0].scale * 2)
    with attached.changed("0", LayerPlan(7, 6)):
        assert attached.plan.shared == () and not torch.equal(attached.input_scale("0").scale, scales["0"].scale)
        assert torch.equal(attached.input_scale("2").scale, scales["0"].scale)
    with attached.changed("2", plan.layer("2"), wider):
        assert torch.equal(attached.input_scale("0").scale, wider.scale) and attached.plan == plan
    assert torch.equal(attached.input_scale("0").scale, scales["0"].scale)
    attached.detach()


@pytest.mark.parametrize("kind", ["lsq", "lsq+"])
def test_learned_together(kind: str) -> None:
    model, x = chain(), torch.randn(2, 3, 8, 8)
    plan = QuantPlan(QuantPlan.uniform(["0", "1", "2"], 7, 4).layers, shared=(("0", "2"),))
    attached = attach(model, plan, calibrate(model, plan, lambda: model(x)))
    before = attached.input_scale("0").scale
    learned = learn(attached, kind)  # type: ignore[arg-type]
    count = 2 if kind == "lsq" else 4
    assert len(list(learned.inputs.parameters())) == count  # of two grids, not of three
    optimizer = torch.optim.SGD(learned.parameters(), 0.1)
    model(x).square().mean().backward()
    optimizer.step()
    scales = learned.scales()
    assert not torch.equal(scales["0"].scale, before)
    assert torch.equal(scales["0"].scale, scales["2"].scale) and torch.equal(scales["0"].zero, scales["2"].zero)
    attached.detach()


def test_a_site_that_nobody_saw_is_named() -> None:
    plan = shared_plan()
    with pytest.raises(UsageError, match="c: it was not observed"):
        Calibration({"a": seen(1)}).scale("a", plan.layer("a"), plan.sharing("a"))
