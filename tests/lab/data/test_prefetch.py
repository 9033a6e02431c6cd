"""Batches made ahead: in order, errors where they belong, nothing left running."""

from __future__ import annotations

import threading
import time

import pytest

from quaver.lab.data.prefetch import Prefetcher


def test_exact_order() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        time.sleep(0.001 * (step % 3))
        return step * step

    with Prefetcher(make, 3, 20, ahead=4) as batches:
        assert list(batches) == [(step, step * step) for step in range(3, 20)]
    assert made == list(range(3, 20))


def test_no_further_ahead_than_asked() -> None:
    made: list[int] = []
    with Prefetcher(lambda step: made.append(step), 0, 50, ahead=2) as batches:
        for step, _ in batches:
            time.sleep(0.002)
            assert max(made) <= step + 2
            if step == 10:
                break
    assert max(made) <= 13


def test_errors_surface_at_their_step() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("no batch")
        return step

    seen = []
    with pytest.raises(ValueError, match="no batch"), Prefetcher(make, 0, 5) as batches:
        for step, _ in batches:
            seen.append(step)
    assert seen == [0, 1]


def test_leaving_ends_the_thread() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Prefetcher(lambda step: step, 0, 1000) as batches:
        for _ in batches:
            raise KeyboardInterrupt
    assert threading.active_count() == before
