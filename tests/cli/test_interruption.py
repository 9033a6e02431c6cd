"""Ctrl-C, a full disk, a reader that went away: the program leaves promptly and nothing stays behind."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quaver.bitstream.container import StreamReader, StreamWriter

from .samples import Outcome, clip, finish, moving, one_line, start, stream, write_y4m


def long_stream(folder: Path) -> Path:
    """A stream of thousands of frames, made by repeating a short one's closed group."""
    short, path = stream(folder, count=3, gop=3), folder / "long.qvr"
    with short.open("rb") as source, path.open("wb") as target:
        reader = StreamReader(source)
        records = list(reader)
        writer = StreamWriter(target, reader.header)
        for number, record in enumerate(itertools.islice(itertools.cycle(records), 30_000)):
            writer.write(type(record)(record.kind, record.quality, number, record.checksum, record.payload))
        writer.close()
    return path


def interrupt(process: subprocess.Popen[str], folder: Path, number: int) -> Outcome:
    """Send a signal once an unfinished file lies in `folder`."""
    deadline = time.monotonic() + 30
    while not list(folder.iterdir()):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(number)
    return finish(process)


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_ctrl_c(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    if command == "encode":
        source = write_y4m(tmp_path / "long.y4m", moving(count=8) * 500)
        process = start("encode", source, folder / "out.qvr")
    else:
        process = start("decode", long_stream(tmp_path), folder / "out.y4m")
    one_line(interrupt(process, folder, signal.SIGINT), "interrupted", code=130)
    assert not list(folder.iterdir())


def test_ctrl_c_while_starting() -> None:
    """The signal arrives while the program is still being imported."""
    code = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "quaver.codec.encoder":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from quaver.cli import main
main()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    one_line(finish(process), "interrupted", code=130)


def test_termination_leaves_nothing_either(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    source = write_y4m(tmp_path / "long.y4m", moving(count=8) * 500)
    outcome = interrupt(start("encode", source, folder / "out.qvr"), folder, signal.SIGTERM)
    assert outcome.code == 143 and outcome.err == ""
    assert not list(folder.iterdir())


@pytest.mark.parametrize("limit", [0, 300])
@pytest.mark.parametrize("name", ["out.qvr", "out.y4m", "out.mkv", "out.mp4"])
def test_a_file_that_cannot_grow(tmp_path: Path, name: str, limit: int) -> None:
    """Stands for a full disk: writing fails at once, or midway."""
    folder = tmp_path / "out"
    folder.mkdir()
    if name.endswith(".qvr"):
        process = start("encode", clip(tmp_path), folder / name, limit=limit)
    else:
        process = start("decode", stream(tmp_path), folder / name, limit=limit)
    one_line(finish(process), name, "cannot write")
    assert not list(folder.iterdir())


def test_nobody_reads_the_output(tmp_path: Path) -> None:
    process = start("info", stream(tmp_path))
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141
