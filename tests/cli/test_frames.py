"""Ranges of frames."""

from __future__ import annotations

import pytest

from quaver.cli.frames import parse_range
from quaver.errors import UsageError


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("0:96", slice(0, 96)), ("30:", slice(30, None)), (":8", slice(0, 8)), (":", slice(0, None)), (None, None)],
)
def test_legal_ranges(text: str | None, chosen: slice | None) -> None:
    assert parse_range(text) == chosen


@pytest.mark.parametrize("text", ["", "5", "5:5", "6:5", "-1:4", "a:b", "1:2:3", "1.5:3"])
def test_illegal_ranges(text: str) -> None:
    with pytest.raises(UsageError, match="legal is A:B"):
        parse_range(text)
