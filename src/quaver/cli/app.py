"""The `quaver` program: its commands, and how errors leave it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from quaver.cli import (
    allocate,
    analyse,
    costs,
    decode,
    demo,
    encode,
    evaluate,
    export,
    info,
    lower,
    patches,
    profile,
    quantize,
    score,
    search,
    train,
    verify,
)
from quaver.errors import QuaverError

FAILED, CRASHED, INTERRUPTED = 2, 70, 130

# What the extra "lab" installs; a command that misses one of these says so.
_LAB = {"torch", "lightning_fabric", "tensorboard", "scipy", "polars", "plotly", "matplotlib", "bjontegaard"}

# Newer typer carries its own click, so the class is not importable under one name.
_ClickError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    help="A neural video codec that runs in low-precision integers.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    encode.encode,
    decode.decode,
    info.info,
    verify.verify,
    demo.demo,
    evaluate.evaluate,
    lower.lower,
    quantize.quantize,
    score.score,
    train.train,
    analyse.analyse,
    profile.profile,
    costs.costs,
    allocate.allocate,
    search.search,
    patches.patches,
    export.export,
)
for command in COMMANDS:
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        from quaver import __version__

        print(f"quaver {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on `arguments`, by default the command line's, and exit.

    Codes: 0 done; 1 `verify` found a difference; 2 an error, one line on stderr; 70 a fault of Quaver's own; 130
    Ctrl-C; 141 the reader of stdout went away; 143 SIGTERM. With QUAVER_DEBUG=1 errors keep their traceback.
    """
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminate)
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
        sys.stdout.flush()
    except Exception as error:
        if os.environ.get("QUAVER_DEBUG") == "1":
            raise
        _leave(error)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The exit code; errors are raised. Goes around typer's own handling of errors, Ctrl-C and pipes."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("quaver", arguments) as context:
            command.invoke(context)
    except typer.Exit as exit:
        return exit.exit_code
    return 0


def _terminate(number: int, frame: object) -> NoReturn:
    """Leave as from an error, so that unfinished files are removed."""
    sys.exit(128 + number)


def _leave(error: Exception) -> NoReturn:
    """One line for `error`, and its exit code."""
    if isinstance(error, QuaverError):
        _fail(str(error), FAILED)
    if isinstance(error, _ClickError):
        where = getattr(error, "ctx", None)
        hint = f"; see '{where.command_path} --help'" if where is not None else ""
        _fail(error.format_message().rstrip(".") + hint, FAILED)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _LAB:
        _fail(f"this command needs the lab ({error.name} is missing): pip install 'quaver[lab]'", FAILED)
    if isinstance(error, BrokenPipeError):
        # Python flushes stdout once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    if isinstance(error, OSError):
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", FAILED)
    if isinstance(error, MemoryError):
        _fail("out of memory", FAILED)
    _fail(f"a fault in Quaver, please report it: {error!r} (QUAVER_DEBUG=1 shows where)", CRASHED)


def _fail(message: str, code: int) -> NoReturn:
    print("quaver: error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
