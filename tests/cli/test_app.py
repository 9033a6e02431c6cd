"""The program as a whole: help, version, what it imports, how faults leave it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from quaver import __version__
from quaver.cli import info
from quaver.cli.app import COMMANDS

from .conftest import Quaver
from .samples import finish, one_line, start


def test_help_and_version(quaver: Quaver) -> None:
    names = [command.__name__ for command in COMMANDS]
    bare = quaver()
    assert bare.code == 0 and bare.err == "" and all(name in bare.out for name in names)
    assert quaver("--version").out == f"quaver {__version__}\n"
    for name in names:
        shown = quaver(name, "--help")
        assert shown.code == 0 and shown.err == "", name


def test_starting_imports_nothing_heavy() -> None:
    code = "import sys, quaver.cli; print(*{'torch', 'av', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("encode",), ("encode", "a", "b", "--nonsense"), ("encode", "a", "b", "-q", "high")]
)
def test_wrong_usage_is_one_line(quaver: Quaver, arguments: tuple[str, ...]) -> None:
    one_line(quaver(*arguments), "--help")


def test_missing_lab_says_what_to_install(quaver: Quaver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("quaver.lab")]:
        monkeypatch.delitem(sys.modules, name)
    one_line(quaver("train", "tiny", "--data", ".", "--out", "out"), "pip install 'quaver[lab]'", "torch")


def test_a_fault_is_one_line_too(quaver: Quaver, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: object) -> None:
        raise ValueError("not\nforeseen")

    monkeypatch.setattr(info, "_stream", broken)
    monkeypatch.delenv("QUAVER_DEBUG", raising=False)
    one_line(quaver("info", "x.qvr"), "ValueError", "QUAVER_DEBUG", code=70)


def test_debugging_keeps_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUAVER_DEBUG", "1")
    outcome = finish(start("info", "missing.qvr"))
    assert outcome.code == 1 and "Traceback" in outcome.err and "MediaError" in outcome.err
