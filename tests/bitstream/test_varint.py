import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.bitstream.varint import CHUNK, ByteReader, TruncatedError, encode_varint, unzigzag, zigzag
from quaver.errors import StreamError

from .samples import Pipe


def over(data: bytes, origin: int = 0) -> ByteReader:
    return ByteReader(io.BytesIO(data), "file", origin)


@given(st.integers(0, 2**70))
def test_varint_round_trip(value):
    data = encode_varint(value)
    source = over(data + b"x")
    assert source.varint(2**70, "value") == value
    assert source.offset == len(data) == max(1, -(-value.bit_length() // 7))


@given(st.integers(-(2**64), 2**64))
def test_zigzag_round_trip(value):
    assert zigzag(value) >= 0
    assert unzigzag(zigzag(value)) == value


def test_zigzag_order():
    assert [zigzag(v) for v in (0, -1, 1, -2, 2)] == [0, 1, 2, 3, 4]


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_varint_maximum_is_kept(value, maximum):
    source = over(encode_varint(value))
    if value <= maximum:
        assert source.varint(maximum, "value") == value
    else:
        with pytest.raises(StreamError, match="above"):
            source.varint(maximum, "value")


def test_endless_varint_ends():
    source = over(b"\x80" * 1000)
    with pytest.raises(StreamError, match="above"):
        source.varint(2**64 - 1, "value")
    assert source.offset <= 10


def test_long_form_is_refused():
    with pytest.raises(StreamError, match="shortest"):
        over(b"\x81\x00").varint(1000, "value")


def test_negative_value_is_refused():
    with pytest.raises(ValueError):
        encode_varint(-1)


def test_errors_name_path_and_offset():
    source = over(b"abc", origin=40)
    source.take(2, "start")
    with pytest.raises(TruncatedError) as caught:
        source.take(5, "tail")
    assert str(caught.value) == "file at byte 42: the stream ends inside the tail (5 bytes announced)"


def test_take_reads_pipes_piece_by_piece():
    pipe = Pipe(b"q" * 100)
    source = ByteReader(pipe)
    assert not source.at_end()
    assert source.take(100, "all") == b"q" * 100
    assert source.at_end()
    with pytest.raises(TruncatedError):
        source.take(2**40, "hostile")
    assert pipe.largest <= CHUNK


def test_seeks_and_skips():
    source = over(bytes(range(100)))
    assert not source.at_end()
    source.skip(10, "some")
    assert source.byte("value") == 10
    assert source.seek_back(5)
    assert (source.offset, source.byte("value")) == (95, 95)
    assert source.has(4)
    assert not source.has(5)
    assert not source.seek_back(101)
    pipe = ByteReader(Pipe(bytes(range(100))))
    pipe.skip(50, "some")
    assert pipe.byte("value") == 50


def test_has_sees_a_file_grow():
    file = io.BytesIO(b"ab")
    source = ByteReader(file)
    assert not source.has(3)
    file.seek(0, 2)
    file.write(b"cd")
    file.seek(0)
    assert source.has(4)
