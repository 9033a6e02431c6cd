"""Fronts: budgets swept, every method in one picture."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from quaver.errors import UsageError
from quaver.lab.allocate.front import Front, sweep
from quaver.lab.allocate.problem import Problem

from .problems import network, within


@pytest.fixture(scope="module")
def front() -> Front:
    options = network(12, seed=3)
    budgets = within(options, Fraction(9, 10))
    return sweep(Problem(options, budgets), "bytes", count=4, seeds=2, model_hash="m")


def test_the_programme_lies_below_all_others(front: Front) -> None:
    best = front.of("ilp")
    assert len(best) == 4 and len(front.of("uniform")) == 30
    for low, high in pairwise(best):
        assert low.costs["bytes"] < high.costs["bytes"] and low.zeta > high.zeta
    for other in front.points:
        if other.method == "uniform" and any(other.costs[key] > limit for key, limit in front.others.items()):
            continue
        under = [p.zeta for p in best if p.limit is not None and p.limit <= (other.limit or other.costs["bytes"])]
        # A point between two budgets is compared with the lower one, which may lose more.
        if other.limit is not None:
            assert min(under) <= other.zeta + 1e-9


def test_files(front: Front, tmp_path: Path) -> None:
    front.save(tmp_path / "front.json")
    front.figure().savefig(tmp_path / "front.png", dpi=40)
    plain = json.loads((tmp_path / "front.json").read_text())
    assert (
        plain["version"] == 1 and len(plain["points"]) == len(front.points) and set(plain["others"]) == {"bops", "ms"}
    )
    assert (tmp_path / "front.png").stat().st_size > 1000


def test_impossible_others() -> None:
    options = network(3, seed=3)
    budgets = within(options, Fraction(1, 2)) | {"ms": Fraction(0)}
    problem = Problem(options, budgets)
    with pytest.raises(UsageError, match="other budgets"):
        sweep(problem, "bytes")
    sweep(replace(problem, budgets={"bytes": Fraction(1)}), "bytes", count=2, seeds=0)
