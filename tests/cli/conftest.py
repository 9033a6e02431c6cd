"""The program inside the test's process: quick."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from quaver.cli import main

from .samples import Outcome

Quaver = Callable[..., Outcome]


@pytest.fixture
def quaver(capfd: pytest.CaptureFixture[str]) -> Iterator[Quaver]:
    """Runs `quaver ARGUMENTS...`."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(int(exit.value.code or 0), out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
