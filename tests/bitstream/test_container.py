import dataclasses
import io
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaver.bitstream import FrameRecord, StreamReader, StreamWriter, TruncatedError
from quaver.bitstream.container import pts_step
from quaver.bitstream.header import encode_header
from quaver.bitstream.record import encode_other
from quaver.errors import StreamError, UsageError

from .samples import HEADER, Pipe, frame, reader, stream

FRAMES = [frame(n) for n in range(10)]
INTRA = [0, 3, 6, 9]


def borders(frames: list[FrameRecord]) -> list[int]:
    """Offsets at which a cut leaves a whole number of records: after the header, after each frame."""
    return [len(stream(frames[:n], close=False)) for n in range(len(frames) + 1)]


@given(st.lists(st.tuples(st.integers(-(2**61), 2**61), st.binary(max_size=40), st.integers(0, 3)), max_size=20))
def test_round_trip(drawn):
    frames = [
        dataclasses.replace(frame(n if n == 0 else kind, gop=3), pts=pts, payload=payload)
        for n, (pts, payload, kind) in enumerate(drawn)
    ]
    data = stream(frames)
    got = reader(data)
    assert got.header == HEADER
    assert list(got) == frames
    assert list(StreamReader(Pipe(data))) == frames


def test_constant_frame_rate_costs_eight_bytes_a_frame():
    frames = [frame(n, gop=32, payload=b"") for n in range(64)]
    assert len(stream(frames, close=False)) - len(encode_header(HEADER)) == 8 * 64


@pytest.mark.parametrize(
    ("rate", "base", "step"),
    [
        (Fraction(30), Fraction(1, 90000), 3000),
        (Fraction(30000, 1001), Fraction(1, 1000), 33),
        (Fraction(24), Fraction(1, 12), 1),
        (Fraction(25), Fraction(1, 10), 0),
        (Fraction(1, 2**32 - 1), Fraction(1, 2**32 - 1), 2**31),
    ],
)
def test_pts_step(rate, base, step):
    assert pts_step(dataclasses.replace(HEADER.format, frame_rate=rate, time_base=base)) == step


@pytest.mark.parametrize("close", [True, False])
def test_index_and_seek(close):
    data = stream(FRAMES, close=close)
    got = reader(data)
    first = next(iter(got))
    index = got.index()
    assert index.frame_count == 10
    assert [e.frame_number for e in index.entries] == INTRA
    assert [e.offset for e in index.entries] == [borders(FRAMES)[n] for n in INTRA]
    assert [first, *got] == FRAMES, "index() leaves the position as it was"
    for number in (9, 0, 4, 5, 6):
        entry = got.seek(number)
        assert entry.frame_number == max(n for n in INTRA if n <= number)
        assert list(got) == FRAMES[entry.frame_number :]
    for number in (-1, 10):
        with pytest.raises(UsageError, match="holds 10 frames"):
            got.seek(number)


def test_reading_while_writing(tmp_path):
    path = tmp_path / "clip.qvr"
    with path.open("wb") as written, path.open("rb") as read:
        writer = StreamWriter(written, HEADER)
        got = StreamReader(read, path)
        for number, record in enumerate(FRAMES):
            assert list(got) == []
            writer.write(record)
            assert list(got) == [record]
            assert got.index().frame_count == number + 1
        writer.close()
        writer.close()
        assert list(got) == []
        got.seek(7)
        assert list(got) == FRAMES[6:]


def test_pipe_has_no_random_access():
    with pytest.raises(StreamError, match="seekable"):
        StreamReader(Pipe(stream(FRAMES))).index()


def test_empty_stream():
    for close in (True, False):
        got = reader(stream([], close=close))
        assert list(got) == []
        assert got.index().entries == ()
        with pytest.raises(UsageError, match="holds 0 frames"):
            got.seek(0)


def test_writer_refuses():
    with pytest.raises(ValueError, match="begins with an intra"):
        stream([frame(1)])
    writer = StreamWriter(io.BytesIO(), HEADER)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(frame(0))


def test_records_of_later_versions():
    start = stream(FRAMES[:2], close=False)
    rest = stream(FRAMES[:4], close=False)[len(start) :]
    got = reader(start + encode_other(0xC5, b"note") + rest)
    assert list(got) == FRAMES[:4]
    assert got.index().frame_count == 4
    with pytest.raises(StreamError, match="newer"):
        list(reader(start + encode_other(0x85, b"") + rest))


def test_damaged_index_is_reported_by_reading_and_replaced_by_a_scan():
    data = bytearray(stream(FRAMES))
    data[-20] ^= 1
    got = reader(bytes(data))
    assert [e.frame_number for e in got.index().entries] == INTRA
    with pytest.raises(StreamError, match="index is damaged"):
        list(got)


def test_missing_and_surplus_data():
    data, at = stream(FRAMES), borders(FRAMES)
    with pytest.raises(StreamError, match="counts 10 frames, there are 9"):
        list(reader(data[: at[4]] + data[at[5] :]))
    with pytest.raises(StreamError, match="more bytes"):
        list(reader(data + b"\0"))
    with pytest.raises(StreamError, match="first frame is not"):
        list(reader(data[: at[0]] + data[at[1] :]))


def test_every_cut_gives_whole_frames_then_a_located_error():
    data, at = stream(FRAMES), borders(FRAMES)
    for size in range(at[0], len(data)):
        got, whole = reader(data[:size]), sum(size >= b for b in at) - 1
        frames = []
        try:
            for record in got:
                frames.append(record)
            assert size in at
        except TruncatedError as error:
            assert at[whole] <= error.offset <= size
            assert "clip.qvr at byte" in str(error)
        assert frames == FRAMES[:whole]
        assert got.index().frame_count == whole


def test_every_bit_flip_is_noticed_or_confined_to_a_payload():
    data, at = stream(FRAMES), borders(FRAMES)
    for bit in range(8 * at[0], 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            frames = list(reader(bytes(damaged)))
        except StreamError as error:
            assert at[0] <= error.offset <= len(data)
            continue
        number = sum(bit // 8 >= b for b in at) - 1
        assert at[number + 1] - bit // 8 <= len(FRAMES[number].payload)
        assert [dataclasses.replace(f, payload=b"") for f in frames] == [
            dataclasses.replace(f, payload=b"") for f in FRAMES
        ]


def read_all(data: bytes, pipe: bool) -> None:
    try:
        got = StreamReader(Pipe(data) if pipe else io.BytesIO(data))
        for _ in got:
            pass
    except StreamError:
        pass


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_raises_nothing_but_stream_errors(data):
    damaged = bytearray(stream(FRAMES))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        action = data.draw(st.sampled_from(["flip", "set", "cut", "insert", "remove"]))
        if action == "flip":
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "set":
            damaged[at : at + 8] = data.draw(st.binary(max_size=8))
        elif action == "cut":
            del damaged[at + 1 :]
        elif action == "insert":
            damaged[at:at] = data.draw(st.binary(max_size=20))
        else:
            del damaged[at : at + data.draw(st.integers(1, 20))]
        damaged = damaged or bytearray(b"\x89")
    read_all(bytes(damaged), pipe=False)
    read_all(bytes(damaged), pipe=True)
    try:
        got = reader(bytes(damaged))
        index = got.index()
        if index.frame_count:
            got.seek(index.frame_count - 1)
            list(got)
    except StreamError:
        pass


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_random_records_raise_nothing_but_stream_errors(junk):
    read_all(encode_header(HEADER) + junk, pipe=False)
    read_all(junk, pipe=True)
