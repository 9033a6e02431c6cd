"""Making ahead keeps order, hands errors on, and stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from quaver.cli.ahead import ahead


def test_order() -> None:
    assert list(ahead(range(50))) == list(range(50)) and list(ahead([])) == []


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    found = ahead(items())
    assert next(found) == 1 and next(found) == 2
    with pytest.raises(ValueError, match="third"):
        next(found)


def test_closing_early_stops_making() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    before = threading.active_count()
    found = ahead(items())
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert len(made) < 10 and threading.active_count() == before
