import dataclasses
import io
import zlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.bitstream.header import FIELDS, FORMAT_VERSION, MAGIC, StreamHeader, encode_header, read_header
from quaver.bitstream.varint import ByteReader, encode_varint
from quaver.errors import StreamError, UsageError
from quaver.media.frame import VideoFormat

from .samples import HEADER

u32 = st.integers(1, 2**32 - 1)
fractions = st.builds(Fraction, u32, u32)
formats = st.builds(
    VideoFormat,
    width=st.integers(16, 4096),
    height=st.integers(16, 4096),
    frame_rate=fractions,
    time_base=fractions,
    primaries=st.integers(0, 255),
    transfer=st.integers(0, 255),
    matrix=st.integers(0, 255),
    full_range=st.booleans(),
    chroma_location=st.integers(0, 5),
    sample_aspect=fractions,
    rotation=st.sampled_from([0, 90, 180, 270]),
)
headers = st.builds(
    StreamHeader,
    model_hash=st.binary(min_size=32, max_size=32),
    profile=st.integers(0, 255),
    format=formats,
    gop=st.integers(1, 2**31 - 1),
)


def decode(data: bytes) -> StreamHeader:
    return read_header(ByteReader(io.BytesIO(data), "clip.qvr"))


def assemble(fields: list[tuple[int, bytes]], version: int = FORMAT_VERSION) -> bytes:
    """A header of raw fields with a correct CRC."""
    body = b"".join(encode_varint(tag) + encode_varint(len(data)) + data for tag, data in fields)
    start = MAGIC + bytes([version]) + encode_varint(len(body)) + body
    return start + zlib.crc32(start).to_bytes(4, "little")


REQUIRED = {
    1: b"\x01",
    3: bytes(32),
    5: encode_varint(640),
    7: encode_varint(360),
    2: encode_varint(32),
    4: b"\x01\x1e",
    6: b"\x1e\x01",
}


@given(headers)
def test_round_trip(header):
    assert decode(encode_header(header)) == header


def test_reading_stops_at_the_first_record():
    source = ByteReader(io.BytesIO(encode_header(HEADER) + b"record"))
    read_header(source)
    assert source.take(6, "record") == b"record"


def test_fields_cover_header_and_format_and_tags_are_unique():
    named = {f.name for f in dataclasses.fields(StreamHeader)} - {"format"}
    named |= {f.name for f in dataclasses.fields(VideoFormat)}
    assert {field.name for field in FIELDS} == named
    assert len({field.tag for field in FIELDS}) == len(FIELDS)
    defaults = {f.name: f.default for f in dataclasses.fields(VideoFormat)}
    for field in FIELDS:
        assert field.default is None or field.default == defaults[field.name]


def test_golden_bytes():
    data = encode_header(HEADER)
    fields = "010101 0320" + bytes(range(32)).hex() + "05028005 0702e802 020103 04040190bf05 0605b0ea01e907"
    start = bytes.fromhex("895156520d0a1a0a 01 3d" + fields)
    assert data == start + zlib.crc32(start).to_bytes(4, "little")


def test_minimal_header_takes_defaults():
    header = decode(assemble(list(REQUIRED.items())))
    assert header.format == VideoFormat(640, 360, Fraction(30), Fraction(1, 30))


def test_unknown_field_is_skipped_and_unknown_critical_field_refused():
    fields = list(REQUIRED.items())
    assert decode(assemble([(1000, b"whatever"), *fields])) == decode(assemble(fields))
    with pytest.raises(StreamError, match="unknown critical header field 1001"):
        decode(assemble([*fields, (1001, b"")]))


@pytest.mark.parametrize("tag", REQUIRED)
def test_missing_field_is_named(tag):
    fields = [(t, data) for t, data in REQUIRED.items() if t != tag]
    name = next(field.name for field in FIELDS if field.tag == tag)
    with pytest.raises(StreamError, match=f"no {name}"):
        decode(assemble(fields))


@pytest.mark.parametrize(
    ("tag", "data", "reason"),
    [
        (3, bytes(31), "model_hash of 31 bytes"),
        (5, encode_varint(15), "width 15 is outside 16..16384"),
        (5, encode_varint(2**32 - 1), "width 4294967295"),
        (5, b"\xff" * 20, "above"),
        (5, b"", "ends inside"),
        (5, b"\x80\x05\x00", "longer than its value"),
        (4, b"\x01\x00", "denominator 0"),
        (4, b"\x00\x01", "outside"),
        (14, b"\x02", "above 1"),
        (20, encode_varint(45), "rotation 45 is outside 0..270 in steps of 90"),
    ],
)
def test_illegal_values_are_named(tag, data, reason):
    with pytest.raises(StreamError, match=reason) as caught:
        decode(assemble([(t, d) for t, d in REQUIRED.items() if t != tag] + [(tag, data)]))
    assert "clip.qvr at byte" in str(caught.value)


def test_repeated_field_is_refused():
    with pytest.raises(StreamError, match="twice"):
        decode(assemble([*REQUIRED.items(), (1, b"\x01")]))


def test_picture_area_is_bounded():
    large = {**REQUIRED, 5: encode_varint(16384), 7: encode_varint(16384)}
    with pytest.raises(StreamError, match="16384x16384"):
        decode(assemble(list(large.items())))


def test_foreign_and_empty_files():
    with pytest.raises(StreamError, match="empty"):
        decode(b"")
    with pytest.raises(StreamError, match="not a Quaver stream"):
        decode(b"\x00\x00\x00\x20ftypisom")
    with pytest.raises(StreamError, match="not a Quaver stream"):
        decode(MAGIC.replace(b"\r\n", b"\n") + bytes(100))
    with pytest.raises(StreamError, match="format version 2"):
        decode(assemble(list(REQUIRED.items()), version=2))


def test_every_bit_flip_and_cut_is_noticed():
    data = encode_header(HEADER)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StreamError):
            decode(bytes(damaged))
    for size in range(len(data)):
        with pytest.raises(StreamError):
            decode(data[:size])


@pytest.mark.parametrize("change", [{"profile": 256}, {"gop": 0}, {"model_hash": b"short"}])
def test_illegal_header_is_not_written(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        encode_header(dataclasses.replace(HEADER, **change))
