import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.bitstream.record import (
    MAX_PTS,
    FrameKind,
    FrameRecord,
    crc8,
    encode_frame,
    encode_other,
    read_head,
)
from quaver.bitstream.varint import ByteReader, TruncatedError
from quaver.errors import StreamError

from .samples import Pipe, frame

pts = st.integers(-MAX_PTS, MAX_PTS)
records = st.builds(
    FrameRecord,
    kind=st.sampled_from(FrameKind),
    quality=st.integers(0, 63),
    pts=pts,
    checksum=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=300),
)


def head_of(data: bytes):
    return read_head(ByteReader(io.BytesIO(data)), 0)


def test_crc8_check_value():
    assert crc8(b"123456789") == 0xFB


@given(records, pts)
def test_head_round_trip(record, expected):
    data = encode_frame(record, expected)
    head = head_of(data)
    assert (head.kind, head.quality, head.checksum) == (record.kind, record.quality, record.checksum)
    assert head.is_frame
    assert expected + head.pts_error == record.pts
    assert data[len(data) - head.size :] == record.payload


@pytest.mark.parametrize(
    ("payload", "pts_error", "overhead"),
    [
        (0, 0, 8),
        (127, 0, 8),
        (128, 0, 9),
        (16383, -1, 9),
        (2**21 - 1, 2**20 - 1, 12),
        (2**21 - 1, -(2**20), 12),
    ],
)
def test_overhead(payload, pts_error, overhead):
    record = frame(0, payload=bytes(payload))
    assert len(encode_frame(record, record.pts - pts_error)) - payload == overhead


@pytest.mark.parametrize("payload", [b"", b"p" * 200])
@pytest.mark.parametrize("pts_error", [0, 100])
def test_flips_of_one_and_two_bits_in_a_head_are_noticed(payload, pts_error):
    data = encode_frame(frame(1, payload=payload), frame(1).pts - pts_error)
    bits = 8 * (len(data) - len(payload))
    missed = 0
    for first in range(bits):
        for second in range(first, bits):
            damaged = bytearray(data)
            damaged[first // 8] ^= 1 << first % 8
            if second > first:
                damaged[second // 8] ^= 1 << second % 8
            try:
                head_of(bytes(damaged))
            except StreamError:
                continue
            missed += 1
            assert second > first, "a single flip must always be noticed"
    # Flips that change where a varint ends escape the CRC's guarantee, one in 256 of them by chance.
    assert missed <= bits * (bits - 1) / 2 / 256


def test_sparse_zeros_are_not_a_record():
    with pytest.raises(StreamError, match="damaged"):
        head_of(bytes(100))


def test_hostile_lengths():
    announced = encode_other(0xC0, bytes(1000))[:-1000]
    with pytest.raises(TruncatedError, match="1000 bytes announced"):
        head_of(announced + bytes(999))
    assert read_head(ByteReader(Pipe(announced)), 0).size == 1000
    with pytest.raises(StreamError, match="above 268435455"):
        head_of(b"\x00\xff\xff\xff\xff\x7f" + bytes(20))


@pytest.mark.parametrize(
    "change", [{"quality": 64}, {"quality": -1}, {"pts": 2**61 + 1}, {"checksum": 2**32}, {"checksum": -1}]
)
def test_illegal_values_are_not_written(change):
    values = {"kind": FrameKind.INTRA, "quality": 0, "pts": 0, "checksum": 0, "payload": b"", **change}
    with pytest.raises(ValueError, match="outside"):
        encode_frame(FrameRecord(**values), 0)
