"""Small videos and streams, made in code, and the program run on them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from quaver.codec.encoder import Encoder
from quaver.media.frame import Frame, VideoFormat

PROGRAM = (sys.executable, "-c", "from quaver.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the program left."""

    code: int
    out: str
    err: str


def moving(width: int = 64, height: int = 48, count: int = 5) -> list[Frame]:
    """A soft pattern that moves a sample and a half a frame."""
    format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
    rows, columns = format.chroma_shape
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    frames = []
    for t in range(count):
        luma = 128 + 60 * np.sin((x + 1.5 * t) / 5) * np.cos((y - t) / 7)
        u, v = 128 + 20 * np.sin((x[:rows, :columns] + t) / 9), 128 + 20 * np.cos(y[:rows, :columns] / 8)
        frames.append(Frame(*(np.rint(plane).astype(np.uint8) for plane in (luma, u, v)), t, format))
    return frames


def write_y4m(path: Path, frames: Sequence[Frame]) -> Path:
    """As text and bytes, independent of the writer under test."""
    format = frames[0].format
    head = f"YUV4MPEG2 W{format.width} H{format.height} F25:1 Ip A1:1 C420jpeg\n".encode()
    pictures = (b"FRAME\n" + b"".join(plane.tobytes() for plane in (f.y, f.u, f.v)) for f in frames)
    path.write_bytes(head + b"".join(pictures))
    return path


def clip(folder: Path, width: int = 64, height: int = 48, count: int = 5) -> Path:
    return write_y4m(folder / "clip.y4m", moving(width, height, count))


def stream(folder: Path, count: int = 5, gop: int = 3) -> Path:
    frames = moving(count=count)
    path = folder / "clip.qvr"
    with Encoder(path, frames[0].format, gop=gop) as encoder:
        for frame in frames:
            encoder.encode(frame)
    return path


def start(*arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
    """The program as a process of its own; `limit`: the largest file it may write, in bytes."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are started with it ignored
        if limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare)


def finish(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out, err)


def one_line(outcome: Outcome, *words: str, code: int = 2) -> None:
    """The program failed as it should: its exit code, one line on stderr that holds `words`, no traceback."""
    assert outcome.code == code, outcome
    lines = outcome.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("quaver: error: "), outcome.err
    for word in words:
        assert word in lines[0]


@contextmanager
def nothing_new(folder: Path) -> Iterator[None]:
    """Nothing, hidden or not, appears in `folder`."""
    before = sorted(folder.rglob("*"))
    yield
    assert sorted(folder.rglob("*")) == before
