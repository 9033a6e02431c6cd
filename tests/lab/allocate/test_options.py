"""From scores and costs to options."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from quaver.errors import UsageError
from quaver.lab.allocate.budgets import parse_budgets
from quaver.lab.allocate.options import Choices, build_problem
from quaver.lab.allocate.problem import Pair
from quaver.lab.allocate.programme import solve
from quaver.lab.allocate.scores import Scores
from quaver.lab.costs.layers import convolution
from quaver.lab.costs.profile import load_profile
from quaver.lab.costs.table import totals
from quaver.lab.quant.plan import LayerPlan, QuantPlan

LAYERS = [convolution(f"net.{name}.conv", (4, 8, 1, 1), (6, 6), shared_input=True) for name in "ab"]
A, B = (layer.call_site for layer in LAYERS)
SCORES = Scores("hash", {(site, kind, bits): 2.0**-bits for site in (A, B) for kind in "wa" for bits in (2, 4, 8)})


def test_options_are_scored_widths_that_the_machine_runs() -> None:
    every = build_problem(Choices(LAYERS, SCORES), {"bops": Fraction(10**9)})
    assert len(every.options[A]) == 9
    some = build_problem(Choices(LAYERS, SCORES, load_profile("onnx-cpu")), {"bops": Fraction(10**9)})
    assert {(o.plan.weight_bits, o.plan.activation_bits) for o in some.options[A]} == {
        (w, a) for w in (2, 4) for a in (2, 4, 8)
    }
    option = some.options[A][0]
    assert option.zeta == 2.0**-option.plan.weight_bits + 2.0**-option.plan.activation_bits
    assert option.costs == {"bops": LAYERS[0].bops(option.plan)}


def test_costs_add_up_to_the_plan() -> None:
    """What the programme counts is what the cost table says of its plan, layers without scores included."""
    profile = load_profile("onnx-cpu")
    rest = convolution("net.c.conv", (8, 8, 9, 8), (6, 6))
    choices = Choices([*LAYERS, rest], SCORES, profile, fixed_bytes=1000)
    problem = build_problem(choices, {key: Fraction(10**12) for key in ("bytes", "bops", "ms", "avg_bits")})
    choice = {A: 1, B: 4}
    plan = QuantPlan({site: problem.options[site][place].plan for site, place in choice.items()})
    counted, costs = totals(choices.layers, plan, 1000), problem.costs(choice)
    assert {key: costs[key] for key in ("bytes", "bops", "avg_bits")} == {
        key: counted[key] for key in ("bytes", "bops", "avg_bits")
    }
    assert float(costs["ms"]) == pytest.approx(profile.predict(plan, choices.layers))


def test_channels_become_options() -> None:
    channels = {(A, "w"): {4: (8.0, 4.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0), 0: (9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0)}}
    problem = build_problem(Choices(LAYERS, replace(SCORES, channels=channels)), {"bytes": Fraction(10**6)})
    plans = [option.plan for option in problem.options[A] if option.plan.channel_bits]
    assert plans and not [option for option in problem.options[B] if option.plan.channel_bits]
    assert all(plan.channel_bits is not None and plan.channel_bits[4:] == (0, 0, 0, 0) for plan in plans)
    # Channels that do not matter are pruned for nothing: fewer bytes at the same zeta.
    best = solve(replace(problem, budgets={"bytes": problem.costs({A: 0, B: 0})["bytes"]}))
    assert problem.options[A][best.choice[A]].plan.channel_bits is not None


def test_groups_of_channels_become_options_with_bits_of_their_own() -> None:
    """Their bit operations are those of the mean channel, the entry that they need included."""
    channels = {(A, "a"): {4: (8.0, 4.0, 0.01, 0.01)}}
    problem = build_problem(Choices(LAYERS, replace(SCORES, channels=channels)), {"bops": Fraction(10**6)})
    mixed = [option for option in problem.options[A] if option.plan.group_bits]
    assert mixed and not [option for option in problem.options[B] if option.plan.group_bits]
    for option in mixed:
        groups, bits = option.plan.groups, option.plan.group_bits
        assert groups is not None and bits is not None and groups[0] == 0 and groups[2] == groups[3]
        assert bits[groups[0]] > bits[groups[2]]
        assert option.costs["bops"] == LAYERS[0].bops(option.plan)
    lone = build_problem(Choices(LAYERS, replace(SCORES, channels=channels), per="module"), {"bops": Fraction(10**6)})
    assert not [option for option in lone.options[A] if option.plan.group_bits]


def test_inputs_that_have_lost_all_get_no_fewer_bits_by_channel() -> None:
    """From 4 to 2 bits the loss hardly grows: what channels lose there no derivative tells."""
    layers = {**SCORES.layers, (A, "a", 2): 0.3, (A, "a", 3): 0.28, (A, "a", 4): 0.25, (A, "a", 5): 0.01}
    layers |= {(A, "a", bits): 0.01 * 4.0 ** (5 - bits) for bits in (6, 7, 8)}
    scores = replace(SCORES, layers=layers, channels={(A, "a"): {4: (8.0, 4.0, 0.01, 0.01)}})
    problem = build_problem(Choices(LAYERS, scores), {"bops": Fraction(10**9)})
    mixed = [option.plan.group_bits for option in problem.options[A] if option.plan.group_bits]
    assert mixed and min(min(bits) for bits in mixed) == 4


def test_points_of_channels_have_widths_that_the_machine_runs() -> None:
    """8 bits were scored and the machine has 7: no point is lost to them."""
    scores = replace(SCORES, channels={(A, "w"): {2: tuple(2.0**c for c in range(8))}}).believed()
    for profile in (None, load_profile("onnx-cpu")):
        problem = build_problem(Choices(LAYERS, scores, profile, channel_points=8), {"bops": Fraction(10**9)})
        points = {o.plan.channel_bits for o in problem.options[A] if o.plan.channel_bits}
        assert max(max(bits) for bits in points) == (8 if profile is None else 7)
        assert len(points) == 6  # the two ends are the same bits everywhere


def test_candidates_compete() -> None:
    grouped = LayerPlan(4, 4, groups=(0, 0, 1, 1))
    choices = Choices(LAYERS, SCORES, candidates={A: [(grouped, 0.0)]})
    problem = build_problem(choices, {"bops": Fraction(10**9)})
    assert problem.options[A][solve(problem).choice[A]].plan == grouped


def test_modules_take_one_width_and_pairs_count() -> None:
    layers = [replace(LAYERS[0], call_site=name) for name in ("net.a.x", "net.a.y", "net.b.x")]
    names = [layer.call_site for layer in layers]
    scores = Scores(
        "hash",
        {(site, kind, bits): 1.0 / bits for site in names for kind in "wa" for bits in (2, 4)},
        pairs=(Pair(("net.a", "wa", 4), ("net.b", "wa", 4), 10.0),),
    )
    problem = build_problem(Choices(layers, scores, per="module"), {"bops": Fraction(10**9)})
    found = solve(problem)
    plans = {name: problem.options[name][place].plan for name, place in found.choice.items()}
    assert plans["net.a.x"] == plans["net.a.y"]
    # Both modules at W4A4 would cost 10 more; one of the widths of the smaller module gives way.
    assert plans["net.a.x"] == LayerPlan(4, 4) and plans["net.b.x"].label in ("W2A4", "W4A2")


def test_what_does_not_fit_is_refused() -> None:
    for choices, budgets, message in (
        (Choices(LAYERS[:1], SCORES), {"bops": Fraction(1)}, "another model"),
        (Choices(LAYERS, SCORES), {"ms": Fraction(1)}, "hardware profile"),
        (Choices(LAYERS, SCORES), {"flops": Fraction(1)}, "'flops'"),
        (
            Choices(LAYERS, Scores("", {(A, "w", 8): 0.0}), load_profile("avx2")),
            {"ms": Fraction(1)},
            r"runs none of the scored widths of net\.a\.conv: 8 weight bits",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            build_problem(choices, budgets)


def test_budgets_as_written() -> None:
    full = {"bytes": Fraction(1000), "bops": Fraction(64), "avg_bits": Fraction(7)}
    found = parse_budgets(["bytes=60%", "bops=1.5k", "avg_bits=4"], full)
    assert found == {"bytes": 600, "bops": 1500, "avg_bits": 4}
    for wrong in (["bytes"], ["speed=3"], ["bytes=-1"], ["bytes=1", "bytes=2"], ["ms=50%"], ["bytes=1kk"]):
        with pytest.raises(UsageError):
            parse_budgets(wrong, full)
