"""Records: a head of a few bytes, guarded by a CRC-8, and a payload. See docs/format/container.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from quaver.bitstream.varint import ByteReader, encode_varint, unzigzag, zigzag

MAX_PAYLOAD = 2**28 - 1
MAX_PTS = 2**61  # magnitude, in units of the time base

# Record types. Bit 7 clear: a frame (bit 6 kind, bits 0-5 quality). 0x80-0xBF: a reader must know the type;
# 0xC0-0xFF: a reader that does not know it passes over the record.
INDEX = 0x80
SKIPPABLE = 0xC0


class FrameKind(IntEnum):
    INTRA = 0
    INTER = 1


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One coded frame.

    quality: 0..63. pts: presentation time in units of the header's time base. checksum: CRC-32 of the padded
    decoded picture. payload: the range coder's bytes.
    """

    kind: FrameKind
    quality: int
    pts: int
    checksum: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What stands before a payload.

    size: of the payload, bytes. pts_error: pts minus the expected pts. checksum: of the picture; both 0 where
    the record is not a frame. offset: of the record in the stream.
    """

    type: int
    size: int
    pts_error: int
    checksum: int
    offset: int

    @property
    def is_frame(self) -> bool:
        return self.type < INDEX

    @property
    def kind(self) -> FrameKind:
        return FrameKind(self.type >> 6 & 1)

    @property
    def quality(self) -> int:
        return self.type & 63


def crc8(data: bytes) -> int:
    """CRC-8, polynomial x^8+x^2+x+1, initial value 0xFF, bits not reflected, no final xor."""
    crc = 0xFF
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc8_table() -> bytes:
    table = bytearray()
    for crc in range(256):
        for _ in range(8):
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
        table.append(crc)
    return bytes(table)


_CRC8 = _crc8_table()


def encode_frame(record: FrameRecord, expected_pts: int) -> bytes:
    """Head and payload of a frame. Raises ValueError for a value out of range."""
    if record.quality not in range(64):
        raise ValueError(f"quality {record.quality} is outside 0..63")
    if abs(record.pts) > MAX_PTS:
        raise ValueError(f"pts {record.pts} is outside -2**61..2**61")
    if record.checksum not in range(2**32):
        raise ValueError(f"checksum {record.checksum} is outside 0..2**32-1")
    fields = encode_varint(zigzag(record.pts - expected_pts)) + record.checksum.to_bytes(4, "little")
    return _encode(record.kind << 6 | record.quality, fields, record.payload)


def encode_other(record_type: int, payload: bytes) -> bytes:
    """Head and payload of a record that is not a frame."""
    return _encode(record_type, b"", payload)


def _encode(record_type: int, fields: bytes, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes; at most {MAX_PAYLOAD} fit")
    head = bytes([record_type]) + encode_varint(len(payload)) + fields
    return head + bytes([crc8(head)]) + payload


def read_head(source: ByteReader, frame: int) -> RecordHead:
    """Read a head and check it; `frame` is the number of the frame it would be, for messages."""
    offset, what = source.offset, f"record of frame {frame}"
    record_type = source.byte(what)
    size = source.varint(MAX_PAYLOAD, f"{what}, payload length")
    raw = bytes([record_type]) + encode_varint(size)
    pts_error = checksum = 0
    if record_type < INDEX:
        code = source.varint(2**64 - 1, f"{what}, pts")
        crc = source.take(4, what)
        raw += encode_varint(code) + crc
        pts_error, checksum = unzigzag(code), int.from_bytes(crc, "little")
    if source.byte(what) != crc8(raw):
        raise source.error(f"the head of the {what} is damaged (its check byte differs)", offset)
    if source.seekable and not source.has(size):
        raise source.cut_off(f"payload of frame {frame}", size, offset)
    return RecordHead(record_type, size, pts_error, checksum, offset)
