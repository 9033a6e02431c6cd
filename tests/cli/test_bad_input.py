"""Bad input: one line that names the file, an exit code, nothing left, and no long wait."""

from __future__ import annotations

import io
import os
import re
import shutil
import wave
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from quaver.bitstream.container import StreamReader, StreamWriter
from quaver.bitstream.header import MAGIC, StreamHeader, encode_header
from quaver.bitstream.record import FrameRecord
from quaver.bitstream.varint import encode_varint
from quaver.codec import conformance
from quaver.runtime.model import load_model, save_model

from .conftest import Quaver
from .samples import clip, finish, moving, one_line, start, stream, write_y4m


@contextmanager
def nothing_new(folder: Path) -> Iterator[None]:
    """Nothing, hidden or not, appears in `folder`."""
    before = sorted(folder.rglob("*"))
    yield
    assert sorted(folder.rglob("*")) == before


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


def test_a_stream_cut_anywhere(quaver: Quaver, tmp_path: Path) -> None:
    """Cut at a record's border it is a shorter stream; anywhere else an error that says where, and what is whole."""
    whole = stream(tmp_path).read_bytes()
    source, target = tmp_path / "cut.qvr", tmp_path / "out.y4m"
    codes, parts = set(), set()
    for size in range(1, len(whole), max(1, len(whole) // 30)):
        source.write_bytes(whole[:size])
        with nothing_new(tmp_path):
            outcome = quaver("decode", source, target)
            codes.add(outcome.code)
            if outcome.code:
                one_line(outcome, "cut.qvr")
                part = re.search(r"--frames (0:\d) decodes what is whole", outcome.err)
                parts |= {part[1]} if part else set()
                assert not part or quaver("decode", source, target, "--frames", part[1]).code == 0
            target.unlink(missing_ok=True)
    assert 2 in codes and {"0:1", "0:4"} <= parts


def test_a_stream_with_a_flipped_bit(quaver: Quaver, tmp_path: Path) -> None:
    """Every flip is noticed; fields that decoding does not need may still be wrong only in the index."""
    whole = stream(tmp_path).read_bytes()
    source, target = tmp_path / "flipped.qvr", tmp_path / "out.y4m"
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        source.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with nothing_new(tmp_path):
            one_line(quaver("decode", source, target), "flipped.qvr")


def _header(path: Path, **changed: object) -> bytes:
    """The stream's header with other values in it, as only a hostile writer would."""
    with path.open("rb") as file:
        header = StreamReader(file).header
    return encode_header(replace(header, **changed))  # type: ignore[arg-type]


def _sized(width: int, height: int) -> bytes:
    """A header that claims this size, with a right CRC."""
    values = {1: encode_varint(1), 3: bytes(32), 5: encode_varint(width), 7: encode_varint(height)}
    values |= {2: encode_varint(32), 4: b"\1\x19", 6: b"\x19\1"}
    body = b"".join(encode_varint(tag) + encode_varint(len(data)) + data for tag, data in values.items())
    start = MAGIC + b"\1" + encode_varint(len(body)) + body
    return start + zlib.crc32(start).to_bytes(4, "little")


@pytest.mark.parametrize("size", [(16384, 16384), (2**32 - 1, 2**32 - 1), (1, 64), (0, 0)])
def test_a_header_with_an_illegal_size(quaver: Quaver, tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "hostile.qvr"
    source.write_bytes(_sized(*size))
    with nothing_new(tmp_path):
        one_line(quaver("decode", source, tmp_path / "out.mkv"), "hostile.qvr", str(size[0]))


def test_lengths_beyond_the_file(quaver: Quaver, tmp_path: Path) -> None:
    whole, source = stream(tmp_path), tmp_path / "hostile.qvr"
    for tail in (b"\x20" + b"\xff" * 9, b"\x20" + encode_varint(2**40), b"\x80" + encode_varint(2**40) + bytes(9)):
        source.write_bytes(_header(whole) + tail)
        with nothing_new(tmp_path):
            one_line(quaver("decode", source, tmp_path / "out.mkv"), "hostile.qvr")


def test_the_largest_legal_picture_in_a_few_bytes(tmp_path: Path) -> None:
    """It is refused before its memory is asked for, or within bounds: seconds, and gigabytes a machine has."""
    source = tmp_path / "hostile.qvr"
    small = stream(tmp_path)
    with small.open("rb") as file:
        reader = StreamReader(file)
        start_of_frames = len(encode_header(reader.header))
        format = replace(reader.header.format, width=16384, height=4096)
    source.write_bytes(_header(small, format=format) + small.read_bytes()[start_of_frames:])
    with nothing_new(tmp_path):
        one_line(finish(start("decode", source, tmp_path / "out.mkv")), "hostile.qvr")


def _rewritten(path: Path, change: Callable[[int, FrameRecord], FrameRecord], **header: object) -> bytes:
    """The stream with other frames and another header: whole, as only a hostile writer would leave it."""
    with path.open("rb") as file:
        reader = StreamReader(file)
        target = io.BytesIO()
        writer = StreamWriter(target, replace(reader.header, format=replace(reader.header.format, **header)))  # type: ignore[arg-type]
        for number, record in enumerate(reader):
            writer.write(change(number, record))
        writer.close()
    return target.getvalue()


@pytest.mark.parametrize("payload", [b"", b"\1", b"\xff" * 5000, bytes(range(1, 256)) * 40])
@pytest.mark.parametrize("victim", [0, 4])
def test_a_payload_of_something_else(quaver: Quaver, tmp_path: Path, victim: int, payload: bytes) -> None:
    """The message names the frame, also when decoding began in the middle, and where its record is."""
    source = tmp_path / "hostile.qvr"
    data = _rewritten(stream(tmp_path), lambda n, record: replace(record, payload=payload) if n == victim else record)
    source.write_bytes(data)
    with source.open("rb") as file:
        reader = StreamReader(file)
        _, offset = next(reader.last for number, _ in enumerate(reader) if number == victim)
    words = "hostile.qvr", f"at byte {offset}", f"frame {victim}"
    with nothing_new(tmp_path):
        one_line(quaver("decode", source, tmp_path / "out.mkv"), *words)
        one_line(quaver("decode", source, tmp_path / "out.mkv", "--frames", f"{victim}:"), *words)


def test_times_that_do_not_grow(quaver: Quaver, tmp_path: Path) -> None:
    source = tmp_path / "hostile.qvr"
    source.write_bytes(_rewritten(stream(tmp_path), lambda number, record: replace(record, pts=9 - number)))
    with nothing_new(tmp_path):
        one_line(quaver("decode", source, tmp_path / "out.mkv"), "hostile.qvr at byte", "frame 1", "must grow")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("field", ["time_base", "frame_rate", "sample_aspect"])
@pytest.mark.parametrize("value", [Fraction(2**32 - 1), Fraction(1, 2**32 - 1), Fraction(2**32 - 1, 2**32 - 2)])
def test_fractions_at_the_formats_limits(
    quaver: Quaver, tmp_path: Path, suffix: str, field: str, value: Fraction
) -> None:
    """The video can be written, or one line says that it cannot; .y4m holds them all."""
    source = tmp_path / "hostile.qvr"
    source.write_bytes(_rewritten(stream(tmp_path), lambda number, record: record, **{field: value}))
    outcome = quaver("decode", source, tmp_path / f"out{suffix}")
    if outcome.code:
        one_line(outcome, f"out{suffix}", "cannot write", ".y4m")
    assert quaver("decode", source, tmp_path / "out.y4m").code == 0
    assert not list(tmp_path.glob(".*"))


def test_a_stream_without_frames(quaver: Quaver, tmp_path: Path) -> None:
    source = tmp_path / "none.qvr"
    source.write_bytes(_header(stream(tmp_path)))
    with nothing_new(tmp_path):
        one_line(quaver("decode", source, tmp_path / "out.mkv"), "none.qvr", "no frames")
    assert quaver("info", source).code == 0


def test_a_stream_of_an_unknown_or_another_model(quaver: Quaver, tmp_path: Path) -> None:
    source, unknown = stream(tmp_path), tmp_path / "unknown.qvr"
    head = _header(source)
    unknown.write_bytes(_header(source, model_hash=bytes(range(32))) + source.read_bytes()[len(head) :])
    other = tmp_path / "other.qvm"
    save_model(conformance_model(), other)
    with nothing_new(tmp_path):
        one_line(quaver("decode", unknown, tmp_path / "out.mkv"), "unknown.qvr", bytes(range(8)).hex())
        one_line(quaver("decode", source, tmp_path / "out.mkv", "--model", other), "clip.qvr", "needs model")
    assert '"model": null' in quaver("info", unknown, "--json").out


def conformance_model():  # type: ignore[no-untyped-def]
    return load_model(str(conformance.folder() / "model.qvm"))


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
