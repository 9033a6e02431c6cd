import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.bitstream import index as index_module
from quaver.bitstream.index import IndexBuilder, IndexEntry, StreamIndex, encode_index, find_index, read_index
from quaver.bitstream.record import read_head
from quaver.bitstream.varint import ByteReader
from quaver.errors import StreamError

BEFORE = b"h" * 5000  # stands for header and records
steps = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 40), st.integers(-1000, 2**40)), max_size=100)


def build(gaps: list[tuple[int, int, int]]) -> StreamIndex:
    entries, at = [], (0, 100, 7)
    for frames, size, pts in gaps:
        entries.append(IndexEntry(*at))
        at = (at[0] + frames, at[1] + size, at[2] + pts)
    return StreamIndex(at[0], tuple(entries))


def parse(record: bytes) -> StreamIndex:
    source = ByteReader(io.BytesIO(BEFORE + record))
    source.seek(len(BEFORE))
    return read_index(source, read_head(source, 0))


@given(steps)
def test_round_trip_and_search_from_the_end(gaps):
    index = build(gaps)
    record = encode_index(index)
    assert parse(record) == index
    assert find_index(ByteReader(io.BytesIO(BEFORE + record))) == index


def test_at_or_before():
    index = build([(10, 1, 1), (5, 1, 1), (20, 1, 1)])
    assert [index.at_or_before(n).frame_number for n in (0, 9, 10, 14, 15, 34)] == [0, 0, 10, 10, 15, 15]


@pytest.mark.parametrize(
    "index",
    [
        StreamIndex(5, ()),
        StreamIndex(0, (IndexEntry(0, 1, 0),)),
        StreamIndex(5, (IndexEntry(1, 10, 0),)),
        StreamIndex(5, (IndexEntry(0, 10, 0), IndexEntry(0, 20, 0))),
        StreamIndex(5, (IndexEntry(0, 10, 0), IndexEntry(3, 10, 0))),
        StreamIndex(5, (IndexEntry(0, 10, 0), IndexEntry(5, 20, 0))),
        StreamIndex(5, (IndexEntry(0, len(BEFORE), 0),)),
        StreamIndex(5, (IndexEntry(0, 10, 2**62),)),
    ],
)
def test_contradictions_are_refused(index):
    with pytest.raises(StreamError):
        parse(encode_index(index))


def test_every_bit_flip_is_noticed():
    record = encode_index(build([(3, 17, 9)] * 5))
    for bit in range(8 * len(record)):
        damaged = bytearray(record)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            parse(bytes(damaged))
        except StreamError:
            continue
        pytest.fail(f"bit {bit}")


@given(st.binary(max_size=200))
def test_search_in_foreign_bytes_finds_nothing(data):
    assert find_index(ByteReader(io.BytesIO(data))) is None
    assert find_index(ByteReader(io.BytesIO(data + b"\xff\xff\xff\xffQVRI"))) is None
    assert find_index(ByteReader(io.BytesIO(data + b"\x09\x00\x00\x00QVRI"))) is None


def test_builder_thins_out_regularly(monkeypatch):
    monkeypatch.setattr(index_module, "MAX_ENTRIES", 8)
    builder = IndexBuilder()
    for number in range(100):
        builder.add(IndexEntry(number, number + 1, number))
        assert len(builder.entries) <= 8
    assert [e.frame_number for e in builder.build(100).entries] == [0, 16, 32, 48, 64, 80, 96]
