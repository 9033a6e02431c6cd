"""Bad input: one line that names the file, an exit code, nothing left, and no long wait."""

from __future__ import annotations

import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from quaver.bitstream.container import StreamReader
from quaver.bitstream.header import MAGIC, StreamHeader

from .conftest import Quaver
from .samples import clip, moving, nothing_new, one_line, stream, write_y4m


def _audio(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))


def _narrow(width: int, height: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
        path.write_bytes(f"YUV4MPEG2 W{width} H{height} F25:1 C420jpeg\nFRAME\n".encode() + bytes(size))

    return write


NO_VIDEO: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "directory": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("not a video, just words\n" * 9) and None,
    "noise": lambda path: path.write_bytes(bytes((7 * i * i) % 251 for i in range(5000))) and None,
    "audio": _audio,
    "one row": _narrow(64, 1),
    "one column": _narrow(1, 64),
    "8x8": _narrow(8, 8),
    "no frame": lambda path: path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n") and None,
    "huge": lambda path: path.write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 C420jpeg\nFRAME\n" + bytes(99)) and None,
}


@pytest.mark.parametrize("kind", NO_VIDEO)
def test_no_video_to_encode(quaver: Quaver, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "input.y4m"
    NO_VIDEO[kind](source)
    with nothing_new(tmp_path):
        one_line(quaver("encode", source, tmp_path / "out.qvr"), "input.y4m")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--quality", 64), ("64", "0 to 63")),
        (("--quality", -1), ("-1", "0 to 63")),
        (("--gop", 0), ("0", "1 to")),
        (("--gop", 2**31), (str(2**31), "1 to")),
        (("--frames", "3"), ("A:B",)),
        (("--frames", "4:2"), ("A:B",)),
        (("--frames", "99:"), ("99", "has 5")),
        (("--model", "nonsense"), ("nonsense", "known")),
        (("--model", "missing.qvm"), ("missing.qvm",)),
        (("--executor", "abacus"), ("abacus", "known")),
        (("--threads", "-1"), ("--threads",)),
        (("--motion", "flow"), ("flow", "search, network, seeded")),
        (("--motion", "network", "--model", "skeleton"), ("network", "skeleton", "'search'")),
    ],
)
def test_options_out_of_range(quaver: Quaver, tmp_path: Path, options: tuple[object, ...], words: tuple[str]) -> None:
    source = clip(tmp_path)
    with nothing_new(tmp_path):
        one_line(quaver("encode", source, tmp_path / "out.qvr", *options), *words)


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_outputs_that_cannot_be(quaver: Quaver, tmp_path: Path, command: str) -> None:
    source = clip(tmp_path) if command == "encode" else stream(tmp_path)
    suffix = ".qvr" if command == "encode" else ".mkv"
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"device{suffix}").symlink_to("/dev/full")
    (tmp_path / f"same{suffix}").hardlink_to(source)
    with nothing_new(tmp_path):
        for name in ("nowhere/out", "folder", "device"):
            one_line(quaver(command, source, tmp_path / f"{name}{suffix}"), f"{name}{suffix}", "cannot write")
        one_line(quaver(command, source, tmp_path / f"same{suffix}"), "both input and output")
        if command == "decode":
            one_line(quaver("decode", source, tmp_path / "out.avi"), "out.avi", ".y4m")
    assert Path("/dev/full").is_char_device()


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 33)


def _described(path: Path, description: str) -> None:
    save_file({"steps": np.zeros(1, np.int32)}, path, metadata={"quaver": description})


NO_MODEL: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "directory": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "noise": lambda path: path.write_bytes(bytes(range(256))) and None,
    "huge": _huge,
    "deeply nested": lambda path: _described(path, "[" * 100_000),
    "no description": lambda path: _described(path, "null"),
    "a list of networks": lambda path: _described(path, '{"profile": 1, "graphs": [1]}'),
    "endless channels": lambda path: _described(
        path, '{"profile": 1, "graphs": {"a": {"nodes": [], "outputs": [], "inputs": [["x", 1e999, 128]]}}}'
    ),
}


@pytest.mark.parametrize("kind", NO_MODEL)
def test_a_model_that_is_none(quaver: Quaver, tmp_path: Path, kind: str) -> None:
    source = clip(tmp_path)
    NO_MODEL[kind](tmp_path / "bad.qvm")
    with nothing_new(tmp_path):
        one_line(quaver("encode", source, tmp_path / "out.qvr", "--model", tmp_path / "bad.qvm"), "bad.qvm")
        one_line(quaver("info", tmp_path / "bad.qvm"), "bad.qvm")


NO_STREAM: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "directory": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "foreign": lambda path: write_y4m(path, moving()) and None,
    "only its first bytes": lambda path: path.write_bytes(MAGIC) and None,
}


@pytest.mark.parametrize("kind", NO_STREAM)
def test_no_stream_to_decode(quaver: Quaver, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "input.qvr"
    NO_STREAM[kind](source)
    with nothing_new(tmp_path):
        one_line(quaver("decode", source, tmp_path / "out.mkv"), "input.qvr")
        one_line(quaver("info", source), "input.qvr")


@pytest.mark.parametrize("frames", ["9:", "5:6", "x:"])
def test_frames_that_are_not_there(quaver: Quaver, tmp_path: Path, frames: str) -> None:
    source = stream(tmp_path, count=5)
    with nothing_new(tmp_path):
        one_line(quaver("decode", source, tmp_path / "out.mkv", "--frames", frames), frames.rstrip(":").split(":")[0])


def test_odd_file_names(quaver: Quaver, tmp_path: Path) -> None:
    """Names with what a terminal library or a shell would take for its own."""
    source = shutil.copy(clip(tmp_path), tmp_path / "[bold] %s\n{x} ü.y4m")
    one_line(quaver("encode", tmp_path / "[red]\nno.y4m", tmp_path / "out.qvr"), "[red] no.y4m")
    target = tmp_path / "[bold]{frames}.qvr"
    assert "[bold]{frames}.qvr: 5 frames" in quaver("encode", source, target).err
    assert quaver("decode", target, tmp_path / "%03d [i].mkv").code == 0
    assert (tmp_path / "%03d [i].mkv").is_file()


def test_the_same_file_twice_is_no_accident(quaver: Quaver, tmp_path: Path) -> None:
    """An output is replaced only by a finished one."""
    source, target = clip(tmp_path), tmp_path / "out.qvr"
    target.write_bytes(b"precious")
    one_line(quaver("encode", source, target, "--quality", 64))
    assert target.read_bytes() == b"precious"
    assert quaver("encode", source, target).code == 0
    assert isinstance(StreamReader(target.open("rb")).header, StreamHeader)
