"""A noisy closed loop and a precise open one make one estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from quaver.lab.analyse.estimate import amplification
from quaver.lab.analyse.table import SensitivityTable

from .test_table import row


def both(site: str, closed: float, unlooped: float, floor: float = 0.01, **others: Any) -> list[dict[str, Any]]:
    parts = {"add": (closed, floor), "open": (unlooped, 1e-5)}
    return [row(site, zeta, mode=mode, floor=noise, **others) for mode, (zeta, noise) in parts.items()]


def module(name: str, closed: float, unlooped: float) -> list[dict[str, Any]]:
    return both(name, closed, unlooped, level="module", module=name)


def test_modules_tell_how_much_the_loop_amplifies() -> None:
    rows = module("a", 0.08, 0.02) + module("b", 0.1, 0.05) + module("c", 0.001, 0.005)  # c is in the noise
    gains, common = amplification(SensitivityTable.of(rows))
    assert gains == pytest.approx({"a": 4, "b": 2}) and common == pytest.approx(0.18 / 0.07)
    assert amplification(SensitivityTable.of([row()])) == ({}, 1.0)


def test_each_measurement_counts_as_far_as_it_is_sure() -> None:
    rows = module("a", 0.08, 0.02) + both("a.x", 0.1, 0.02) + both("a.y", 0.005, 1e-6)
    found = {r["call_site"]: r for r in SensitivityTable.of(rows).estimates().iter_rows(named=True)}
    assert found["a.x"]["zeta"] == pytest.approx(0.1, rel=0.01)  # far above the noise: as measured
    assert found["a.y"]["zeta"] == pytest.approx(4e-6, rel=0.02)  # far below: what it loses at once, times four
    assert found["a.x"]["gain"] == 4 and found["a.x"]["source"] == "estimated"


def test_one_kind_of_measurement_is_kept() -> None:
    rows = [row("a.x", 0.03), row("a.y", 0.02, mode="open")]
    found = SensitivityTable.of(rows).estimates()
    assert dict(found.select("call_site", "zeta").iter_rows()) == pytest.approx({"a.x": 0.03, "a.y": 0.02})


def test_estimates_rank_better_than_either() -> None:
    """Truth is open times an amplification that differs by layer; the closed loop sees it through noise."""
    rng = np.random.default_rng(2)
    unlooped = 10 ** rng.uniform(-6, -2, 200)
    truth = unlooped * rng.uniform(1, 8, 200)
    noisy = truth + rng.normal(0, 0.005, 200)
    rows = module("a", 0.4, 0.1)
    for n, (closed, small) in enumerate(zip(noisy, unlooped, strict=True)):
        rows += both(f"a.{n}", float(closed), float(small))
    found = dict(SensitivityTable.of(rows).estimates().select("call_site", "zeta").iter_rows())
    estimated = [found[f"a.{n}"] for n in range(200)]
    error = {
        name: float(np.abs(values - truth).mean())
        for name, values in (("estimated", np.array(estimated)), ("closed", noisy), ("open", unlooped))
    }
    assert error["estimated"] < min(error["closed"], error["open"])
    assert spearmanr(estimated, truth).statistic > spearmanr(noisy, truth).statistic + 0.2
