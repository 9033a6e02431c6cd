"""Streams cut, flipped or made by a hostile writer: one line that says what and where, nothing left, no long wait."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from quaver.bitstream.container import StreamReader, StreamWriter
from quaver.bitstream.header import MAGIC, encode_header
from quaver.bitstream.record import FrameRecord
from quaver.bitstream.varint import encode_varint
from quaver.codec import conformance
from quaver.runtime.model import load_model, save_model

from .conftest import Quaver
from .samples import finish, nothing_new, one_line, start, stream


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
