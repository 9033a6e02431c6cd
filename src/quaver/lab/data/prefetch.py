"""Batches made ahead by a background thread, in exact order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Iterates over (step, make(step)) for step in first..last-1, `ahead` steps in advance. A context manager;
    errors of `make` surface where the step is taken."""

    def __init__(self, make: Callable[[int], T], first: int, last: int, ahead: int = 2) -> None:
        self._make, self._first, self._last, self._ahead = make, first, last, ahead
        self._pool = ThreadPoolExecutor(1)

    def __iter__(self) -> Iterator[tuple[int, T]]:
        waiting: deque[Future[T]] = deque()
        submitted = self._first
        for step in range(self._first, self._last):
            while submitted < min(self._last, step + 1 + self._ahead):
                waiting.append(self._pool.submit(self._make, submitted))
                submitted += 1
            yield step, waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
