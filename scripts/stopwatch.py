"""How long parts of a program take, without changing it: functions are replaced by ones that look at the clock.

A part's time is its own: what it spends in other parts counts for those. A call costs about a microsecond, and a
frame makes some dozens.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

Part = str | Callable[..., str]  # a name, or how the arguments of a call give one


class Stopwatch:
    """Seconds by part since `take` was last called, over all threads. ``clock``: time.perf_counter, or
    time.thread_time, which does not count while other programs have the core (nor what other threads compute)."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: Counter[str] = Counter()
        self._threads = threading.local()

    def take(self) -> dict[str, float]:
        taken, self._seconds = self._seconds, Counter()
        return dict(taken)

    def enter(self) -> float:
        if not hasattr(self._threads, "others"):
            self._threads.others = []
        self._threads.others.append(0.0)
        return self._clock()

    def leave(self, part: str, began: float) -> None:
        elapsed = self._clock() - began
        others = self._threads.others
        self._seconds[part] += elapsed - others.pop()
        if others:
            others[-1] += elapsed

    def timed(self, function: Callable[..., Any], part: Part) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            began = self.enter()
            try:
                return function(*arguments, **named)
            finally:
                self.leave(part if isinstance(part, str) else part(*arguments), began)

        return run

    def watch(self, place: str, part: Part) -> None:
        """Time what `place` names: "module:function", "module:Class.method", or "module:*" for all of a module's
        public functions; also where other modules have imported it by name."""
        module, _, name = place.partition(":")
        owner = import_module(module)
        for each in _functions(owner) if name == "*" else [name]:
            self._replace(owner, each, part)

    def _replace(self, owner: Any, name: str, part: Part) -> None:
        *classes, last = name.split(".")
        for each in classes:
            owner = getattr(owner, each)
        original = getattr(owner, last)
        replacement = self.timed(original, part)
        setattr(owner, last, replacement)
        if not classes:
            for module in list(sys.modules.values()):
                if getattr(module, "__name__", "").startswith("quaver") and getattr(module, last, None) is original:
                    setattr(module, last, replacement)


def _functions(module: ModuleType) -> Iterable[str]:
    for name, value in list(vars(module).items()):
        own = callable(value) and getattr(value, "__module__", None) == module.__name__
        if own and not isinstance(value, type) and not name.startswith("_"):
            yield name
