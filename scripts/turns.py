"""Processes that are measured in turns, on a machine that others use too.

What is compared runs in one session: each worker does a little, then sleeps while the others do the same. Load that
comes and goes then meets all of them, and medians over turns are comparable.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Reply = dict[str, Any]


class Worker:
    """The script itself once more, as `script --worker SETTING`; asked one thing at a time."""

    def __init__(self, **setting: Any) -> None:
        self.setting = setting
        command = [sys.executable, sys.argv[0], "--worker", json.dumps(setting)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._pause()

    def ask(self, **task: Any) -> Reply:
        """Wake the worker, wait for its answer, put it to sleep."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker for {self.setting} ended with code {self._process.wait()}")
        self._pause()
        reply: Reply = json.loads(line)
        return reply

    def close(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def _pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)


@contextmanager
def workers(settings: list[dict[str, Any]]) -> Iterator[list[Worker]]:
    """One worker for each setting."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as from an error, so that none stays behind asleep
    started = [Worker(**setting) for setting in settings]
    try:
        yield started
    finally:
        for worker in started:
            worker.close()


def serve(answer: Callable[..., Reply]) -> None:
    """A worker's side: answer tasks from stdin until it closes."""
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def use_cores(count: int) -> None:
    """Run on the first `count` cores that this process may use. Called before libraries start their threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the median, by order statistics: the narrowest that holds it with 95 % or more."""
    count, ordered = len(values), sorted(values)
    cut = max(
        (k for k in range(count // 2) if 2 * sum(math.comb(count, i) for i in range(k + 1)) / 2**count <= 0.05),
        default=0,
    )
    return ordered[cut], ordered[count - 1 - cut]
