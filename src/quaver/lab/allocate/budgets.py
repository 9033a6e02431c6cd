"""Budgets as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

from quaver.errors import UsageError
from quaver.lab.allocate.options import BUDGETS

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_HOW = f"KEY=VALUE with {', '.join(BUDGETS)}; a value is a number, with k, M, G or T, or a share such as 60%"


def parse_budgets(texts: Iterable[str], full: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Such as bytes=600k, bops=60%. ``full``: what 100 % is, the costs of 7 weight and 8 activation bits everywhere."""
    budgets: dict[str, Fraction] = {}
    for text in texts:
        match = re.fullmatch(r"(\w+)=(\d+(?:\.\d+)?)([kMGT%]?)", text.strip())
        if match is None or match[1] not in BUDGETS:
            raise UsageError(f"budget {text!r}: legal is {_HOW}")
        key, number, unit = match[1], Fraction(match[2]), match[3]
        if key in budgets:
            raise UsageError(f"budget {key} is given twice")
        if unit == "%" and key not in full:
            raise UsageError("a share of milliseconds needs a hardware profile")
        budgets[key] = full[key] * number / 100 if unit == "%" else number * _UNITS[unit]
    return budgets
