"""Variable-length integers, and reads that never trust a length.

A varint is unsigned LEB128: seven bits a byte, least significant group first, bit 7 set on every byte but the
last, shortest form only. Signed values are zigzag-mapped first (0, -1, 1, -2, ... -> 0, 1, 2, 3, ...).
See docs/format/container.md.
"""

from __future__ import annotations

from typing import BinaryIO

from quaver.errors import PathName, StreamError

# No read asks for more than this at once, so a hostile length costs no more than the bytes behind it.
CHUNK = 1 << 20


def encode_varint(value: int) -> bytes:
    """LEB128 bytes of `value` >= 0."""
    if value < 0:
        raise ValueError(f"a varint holds non-negative values, not {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    """Map a signed integer of any size to a non-negative one, small magnitudes first."""
    return 2 * value if value >= 0 else -2 * value - 1


def unzigzag(value: int) -> int:
    """Inverse of `zigzag`."""
    return value >> 1 if value % 2 == 0 else -(value >> 1) - 1


class TruncatedError(StreamError):
    """The data ends inside a header or record: cut off, or not written yet."""


class ByteReader:
    """Bounded reads from a binary file or pipe; failures are StreamErrors that name path and offset.

    `origin` is the offset of the file's current position as errors should print it (non-zero for a reader
    over bytes that were cut out of a file; such a reader only moves forward).
    """

    def __init__(self, file: BinaryIO, path: PathName = None, origin: int = 0) -> None:
        self.offset = origin
        self.path = path
        self.seekable = file.seekable()
        self._file = file
        self._end = origin  # the file is at least this long
        self._ahead = b""  # at most one byte, taken by at_end(), not yet counted in offset

    def error(self, reason: str, offset: int | None = None) -> StreamError:
        return StreamError(reason, self.path, self.offset if offset is None else offset)

    def cut_off(self, what: str, size: int, offset: int) -> TruncatedError:
        return TruncatedError(f"the stream ends inside the {what} ({size} bytes announced)", self.path, offset)

    def at_end(self) -> bool:
        """True when no byte is left now; a file that is still being written may have more later."""
        if not self._ahead:
            self._ahead = self._file.read(1) or b""
        return not self._ahead

    def take(self, size: int, what: str) -> bytes:
        """Exactly `size` bytes of `what`, read in chunks: memory is bounded by the data that exists."""
        start, chunks, missing = self.offset, [], size
        while missing:
            if self._ahead:
                chunk, self._ahead = self._ahead, b""
            else:
                chunk = self._file.read(min(missing, CHUNK)) or b""
            if not chunk:
                raise self.cut_off(what, size, start)
            chunks.append(chunk)
            missing -= len(chunk)
            self.offset += len(chunk)
        return b"".join(chunks)

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def varint(self, maximum: int, what: str) -> int:
        """A varint of at most `maximum`."""
        start, value, shift = self.offset, 0, 0
        while True:
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            shift += 7
            if value > maximum or (byte & 0x80 and shift >= maximum.bit_length()):
                raise self.error(f"{what}: value above {maximum}", start)
            if byte == 0 and shift > 7:
                raise self.error(f"{what}: not in shortest form", start)
            if byte < 0x80:
                return value

    def has(self, size: int) -> bool:
        """Whether `size` more bytes exist now; seekable files only."""
        if self.offset + size > self._end:
            here = self._file.tell()
            self._end = self._file.seek(0, 2)
            self._file.seek(here)
        return self.offset + size <= self._end

    def seek_back(self, distance: int) -> bool:
        """Continue `distance` bytes before the end of a seekable file; False when it is shorter than that."""
        end = self._file.seek(0, 2)
        self.seek(max(0, end - distance))
        return distance <= end

    def skip(self, size: int, what: str) -> None:
        """Pass over `size` bytes of `what`."""
        if self.seekable and self.has(size):
            self.seek(self.offset + size)
            return
        while size:
            step = min(size, CHUNK)
            self.take(step, what)
            size -= step

    def seek(self, offset: int) -> None:
        """Continue at `offset` of a seekable file."""
        self._ahead = b""
        self._file.seek(offset)
        self.offset = offset
