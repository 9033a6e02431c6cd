"""Writing and reading streams: a header, frame records, and an index. See docs/format/container.md.

A stream is readable at every record border, so also while it is being written; the index at its end only
saves a scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from quaver.bitstream.header import StreamHeader, encode_header, read_header
from quaver.bitstream.index import IndexBuilder, IndexEntry, StreamIndex, encode_index, find_index, read_index
from quaver.bitstream.record import (
    INDEX,
    MAX_PTS,
    SKIPPABLE,
    FrameKind,
    FrameRecord,
    RecordHead,
    encode_frame,
    read_head,
)
from quaver.bitstream.varint import ByteReader, TruncatedError
from quaver.errors import PathName, UsageError
from quaver.media.frame import VideoFormat


def pts_step(video_format: VideoFormat) -> int:
    """The pts increment that the nominal frame rate suggests, rounded half up, at most 2**31.

    Records store what a pts differs from the previous one plus this step.
    """
    units = 1 / (video_format.frame_rate * video_format.time_base)
    return min(2**31, (2 * units.numerator + units.denominator) // (2 * units.denominator))


class StreamWriter:
    """Writes a stream front to back; `file` may be a pipe and stays the caller's to close.

    Every record is written in one piece and flushed. Without `close()` a stream only lacks its index.
    """

    def __init__(self, file: BinaryIO, header: StreamHeader) -> None:
        self._file = file
        self._step = pts_step(header.format)
        self._expected_pts = 0
        self._frames = 0
        self._offset = 0
        self._index = IndexBuilder()
        self._closed = False
        self._append(encode_header(header))

    def write(self, record: FrameRecord) -> None:
        """Append a frame. Raises ValueError for a value out of range or an inter frame at the beginning."""
        if self._closed:
            raise ValueError("the stream is closed")
        if self._frames == 0 and record.kind is not FrameKind.INTRA:
            raise ValueError("a stream begins with an intra frame")
        data = encode_frame(record, self._expected_pts)
        if record.kind is FrameKind.INTRA:
            self._index.add(IndexEntry(self._frames, self._offset, record.pts))
        self._append(data)
        self._expected_pts = record.pts + self._step
        self._frames += 1

    def close(self) -> None:
        """Write the index. The file stays open; further calls do nothing."""
        if not self._closed:
            self._closed = True
            self._append(encode_index(self._index.build(self._frames)))

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        self._offset += len(data)


class StreamReader:
    """Reads a stream; iterating yields FrameRecords from the current position on.

    `file` stands at its first byte; a pipe will do for reading front to back. Raises StreamError, with path
    and offset, for anything damaged except payload bytes, whose guard is the checksum of the decoded picture.
    """

    def __init__(self, file: BinaryIO, path: PathName = None) -> None:
        self._source = ByteReader(file, path)
        self.header = read_header(self._source)
        self._step = pts_step(self.header.format)
        self._first_record = self._source.offset
        self._expected_pts = 0
        self._frame = 0
        self._record = self._first_record

    @property
    def last(self) -> tuple[int, int]:
        """The frame read last: its number in the stream, and its record's byte offset."""
        return self._frame - 1, self._record

    def __iter__(self) -> Iterator[FrameRecord]:
        while not self._source.at_end():
            head = read_head(self._source, self._frame)
            if not head.is_frame:
                self._pass_over(head)
                continue
            payload = self._source.take(head.size, f"payload of frame {self._frame}")
            pts = self._advance(head)
            self._record = head.offset
            yield FrameRecord(head.kind, head.quality, pts, head.checksum, payload)

    def index(self) -> StreamIndex:
        """The intra frames, read at the stream's end; by a scan up to the last complete record when there
        is no index (yet). Needs a seekable file; leaves the reading position as it was."""
        if not self._source.seekable:
            raise self._source.error("random access needs a seekable file")
        position = self._source.offset, self._expected_pts, self._frame
        try:
            return find_index(self._source) or self._scan()
        finally:
            self._source.seek(position[0])
            self._expected_pts, self._frame = position[1:]

    def seek(self, frame_number: int) -> IndexEntry:
        """Continue at the last indexed intra frame at or before `frame_number`, and return its entry."""
        index = self.index()
        if frame_number not in range(index.frame_count):
            name = self._source.path or "stream"
            raise UsageError(
                f"{name}: frame {frame_number} does not exist: the stream holds {index.frame_count} frames"
            )
        entry = index.at_or_before(frame_number)
        self._source.seek(entry.offset)
        head = read_head(self._source, entry.frame_number)
        if not head.is_frame or head.kind is not FrameKind.INTRA:
            raise self._source.error("the index points here, but this is no intra frame", entry.offset)
        self._source.seek(entry.offset)
        self._expected_pts = entry.pts - head.pts_error
        self._frame = entry.frame_number
        return entry

    def _advance(self, head: RecordHead) -> int:
        """Count a frame; returns its pts."""
        pts = self._expected_pts + head.pts_error
        if abs(pts) > MAX_PTS:
            raise self._source.error(f"pts {pts} of frame {self._frame} is outside -2**61..2**61", head.offset)
        if self._frame == 0 and head.kind is not FrameKind.INTRA:
            raise self._source.error("the first frame is not an intra frame", head.offset)
        self._expected_pts = pts + self._step
        self._frame += 1
        return pts

    def _pass_over(self, head: RecordHead) -> None:
        """Check the index record, which ends the stream, or skip a record of a later version."""
        source = self._source
        if head.type == INDEX:
            count = read_index(source, head).frame_count
            if count != self._frame:
                raise source.error(f"the index counts {count} frames, there are {self._frame}", head.offset)
            if not source.at_end():
                raise source.error("more bytes follow the stream's end")
        elif head.type < SKIPPABLE:
            raise source.error(f"record type {head.type:#x} is unknown: made by a newer Quaver", head.offset)
        else:
            source.skip(head.size, "skipped record")

    def _scan(self) -> StreamIndex:
        source, builder = self._source, IndexBuilder()
        source.seek(self._first_record)
        self._expected_pts = self._frame = 0
        try:
            while not source.at_end():
                head = read_head(source, self._frame)
                if head.type == INDEX:
                    break
                if head.is_frame:
                    number, pts = self._frame, self._advance(head)
                    if head.kind is FrameKind.INTRA:
                        builder.add(IndexEntry(number, head.offset, pts))
                    source.skip(head.size, "payload")
                else:
                    self._pass_over(head)
        except TruncatedError:
            pass  # an unfinished record: everything before it can be used
        return builder.build(self._frame)
