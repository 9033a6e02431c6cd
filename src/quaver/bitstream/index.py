"""The index of intra frames, the last record of a finished stream. See docs/format/container.md."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, field

from quaver.bitstream.record import INDEX, MAX_PTS, RecordHead, encode_other, read_head
from quaver.bitstream.varint import ByteReader, encode_varint, unzigzag, zigzag
from quaver.errors import StreamError

FOOTER_MAGIC = b"QVRI"
# Bounds memory and parsing time; a stream with more intra frames lists a regular part of them.
MAX_ENTRIES = 1 << 18

_FOOTER_SIZE = 8
_MAX_INDEX = 32 * MAX_ENTRIES  # bytes
_MAX_COUNT = 2**62


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An intra frame: its number in the stream (from 0), byte offset of its record, and pts."""

    frame_number: int
    offset: int
    pts: int


@dataclass(frozen=True, slots=True)
class StreamIndex:
    """How many frames the stream holds, and its intra frames in order, the first one included.

    Beyond MAX_ENTRIES intra frames the list holds every 2nd, 4th, ... of them.
    """

    frame_count: int
    entries: tuple[IndexEntry, ...]

    def at_or_before(self, frame_number: int) -> IndexEntry:
        """The last entry that does not lie behind `frame_number`, 0..frame_count-1."""
        return next(entry for entry in reversed(self.entries) if entry.frame_number <= frame_number)


@dataclass(slots=True)
class IndexBuilder:
    """Collects intra frames as they pass by, in bounded memory."""

    entries: list[IndexEntry] = field(default_factory=list)
    _stride: int = 1
    _seen: int = 0

    def add(self, entry: IndexEntry) -> None:
        if self._seen % self._stride == 0:
            if len(self.entries) == MAX_ENTRIES:
                self.entries = self.entries[::2]
                self._stride *= 2
            self.entries.append(entry)
        self._seen += 1

    def build(self, frame_count: int) -> StreamIndex:
        return StreamIndex(frame_count, tuple(self.entries))


def encode_index(index: StreamIndex) -> bytes:
    """The index record; its last bytes, the footer, tell its length to a reader that starts at the end."""
    body = bytearray(encode_varint(index.frame_count) + encode_varint(len(index.entries)))
    past = IndexEntry(0, 0, 0)
    for entry in index.entries:
        body += encode_varint(entry.frame_number - past.frame_number)
        body += encode_varint(entry.offset - past.offset)
        body += encode_varint(zigzag(entry.pts - past.pts))
        past = entry
    body += zlib.crc32(body).to_bytes(4, "little")
    length = len(encode_other(INDEX, bytes(len(body) + _FOOTER_SIZE)))
    return encode_other(INDEX, bytes(body) + length.to_bytes(4, "little") + FOOTER_MAGIC)


def read_index(source: ByteReader, head: RecordHead) -> StreamIndex:
    """The payload of the index record whose head was just read."""
    if not 4 + _FOOTER_SIZE <= head.size <= _MAX_INDEX:
        raise source.error(f"an index of {head.size} bytes", head.offset)
    start = source.offset
    data = source.take(head.size, "index")
    body, footer = data[: -4 - _FOOTER_SIZE], data[-_FOOTER_SIZE:]
    if data[-4 - _FOOTER_SIZE : -_FOOTER_SIZE] != zlib.crc32(body).to_bytes(4, "little"):
        raise source.error("the index is damaged (CRC differs)", head.offset)
    if footer != (source.offset - head.offset).to_bytes(4, "little") + FOOTER_MAGIC:
        raise source.error("the footer is damaged", source.offset - _FOOTER_SIZE)
    fields = ByteReader(io.BytesIO(body), source.path, start)
    frame_count = fields.varint(_MAX_COUNT, "index, frame count")
    count = fields.varint(min(MAX_ENTRIES, len(body) // 3), "index, entry count")
    entries: list[IndexEntry] = []
    past = IndexEntry(0, 0, 0)
    for _ in range(count):
        at = fields.offset
        entry = IndexEntry(
            past.frame_number + fields.varint(_MAX_COUNT, "index, frame number"),
            past.offset + fields.varint(_MAX_COUNT, "index, offset"),
            past.pts + unzigzag(fields.varint(2**64 - 1, "index, pts")),
        )
        in_order = entry.frame_number == 0 if not entries else entry.frame_number > past.frame_number
        if not in_order or not past.offset < entry.offset < head.offset or abs(entry.pts) > MAX_PTS:
            raise source.error("the index is not in order", at)
        entries.append(entry)
        past = entry
    if not fields.at_end() or bool(entries) != bool(frame_count) or past.frame_number > max(0, frame_count - 1):
        raise source.error("the index contradicts itself", start)
    return StreamIndex(frame_count, tuple(entries))


def find_index(source: ByteReader) -> StreamIndex | None:
    """Read the index from the end of a seekable file; None where there is none, or none to be trusted."""
    try:
        if not source.seek_back(_FOOTER_SIZE):
            return None
        footer = source.take(_FOOTER_SIZE, "footer")
        if footer[4:] != FOOTER_MAGIC or not source.seek_back(int.from_bytes(footer[:4], "little")):
            return None
        head = read_head(source, 0)
        return read_index(source, head) if head.type == INDEX else None
    except StreamError:
        return None
