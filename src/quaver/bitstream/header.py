"""The stream header: what a decoder must know before the first frame. See docs/format/container.md."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from quaver.bitstream.varint import ByteReader, encode_varint
from quaver.errors import QuaverError, UsageError
from quaver.media.frame import VideoFormat

# As in PNG: a byte above 127, the name, and line ends that text-mode transfers would change.
MAGIC = b"\x89QVR\r\n\x1a\n"
FORMAT_VERSION = 1
MAX_HEADER = 1 << 16
MAX_PICTURE = 1 << 26  # luma samples

_U32 = 2**32 - 1
Value = int | bytes | bool | Fraction


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What a stream says about itself.

    model_hash: SHA-256 identity of the model (32 bytes). profile: arithmetic profile of the decoder.
    gop: frames from one regular intra frame to the next (scene cuts add more).
    """

    model_hash: bytes
    profile: int
    format: VideoFormat
    gop: int


@dataclass(frozen=True, slots=True)
class Field:
    """One header field. An odd tag is critical: a reader that does not know it must refuse the stream.

    `legal` bounds an integer, the length of bytes, or numerator and denominator of a fraction. A field with a
    default is left out of the stream when it has that value; one without must be present.
    """

    tag: int
    name: str
    kind: Literal["uint", "bool", "bytes", "fraction"]
    legal: range
    default: Value | None = None


FIELDS = (
    Field(1, "profile", "uint", range(256)),
    Field(3, "model_hash", "bytes", range(32, 33)),
    Field(5, "width", "uint", range(16, 16385)),
    Field(7, "height", "uint", range(16, 16385)),
    Field(2, "gop", "uint", range(1, 2**31)),
    Field(4, "time_base", "fraction", range(1, _U32 + 1)),
    Field(6, "frame_rate", "fraction", range(1, _U32 + 1)),
    Field(8, "primaries", "uint", range(256), 2),
    Field(10, "transfer", "uint", range(256), 2),
    Field(12, "matrix", "uint", range(256), 2),
    Field(14, "full_range", "bool", range(2), False),
    Field(16, "chroma_location", "uint", range(6), 1),
    Field(18, "sample_aspect", "fraction", range(1, _U32 + 1), Fraction(1)),
    Field(20, "rotation", "uint", range(0, 271, 90), 0),
)
_BY_TAG = {field.tag: field for field in FIELDS}
_OWN = ("model_hash", "profile", "gop")  # kept in StreamHeader itself; all others belong to VideoFormat


def encode_header(header: StreamHeader) -> bytes:
    """Magic, version, fields and CRC-32. Raises UsageError for a value the format cannot hold."""
    body = b""
    for field in FIELDS:
        value: Value = getattr(header if field.name in _OWN else header.format, field.name)
        problem = _problem(field, value)
        if problem:
            raise UsageError(f"stream header: {problem}")
        if value != field.default:
            data = _encode_value(value)
            body += encode_varint(field.tag) + encode_varint(len(data)) + data
    if header.format.width * header.format.height > MAX_PICTURE:
        raise UsageError(f"stream header: {_too_large(header.format.width, header.format.height)}")
    start = MAGIC + bytes([FORMAT_VERSION]) + encode_varint(len(body)) + body
    return start + zlib.crc32(start).to_bytes(4, "little")


def read_header(source: ByteReader) -> StreamHeader:
    """Read a header from the stream's first byte on; leaves `source` at the first record."""
    if source.at_end():
        raise source.error("the file is empty, not a Quaver stream")
    magic = b""
    while len(magic) < len(MAGIC):
        magic += bytes([source.byte("stream header")])
        if not MAGIC.startswith(magic):
            raise source.error("not a Quaver stream (its first bytes are different)", 0)
    version = source.byte("stream header")
    if version != FORMAT_VERSION:
        raise source.error(f"format version {version}; this Quaver reads version {FORMAT_VERSION}", source.offset - 1)
    size = source.varint(MAX_HEADER, "stream header length")
    body_at = source.offset
    body = source.take(size, "stream header")
    crc = int.from_bytes(source.take(4, "stream header CRC"), "little")
    if zlib.crc32(MAGIC + bytes([version]) + encode_varint(size) + body) != crc:
        raise source.error("the stream header is damaged (CRC differs)", 0)
    values = _read_fields(ByteReader(io.BytesIO(body), source.path, body_at))
    for field in FIELDS:
        if field.name not in values:
            if field.default is None:
                raise source.error(f"stream header: no {field.name}", body_at)
            values[field.name] = field.default
    width, height = values["width"], values["height"]
    assert isinstance(width, int) and isinstance(height, int)
    if width * height > MAX_PICTURE:
        raise source.error(f"stream header: {_too_large(width, height)}", body_at)
    picture = {field.name: values[field.name] for field in FIELDS if field.name not in _OWN}
    own = {name: values[name] for name in _OWN}
    try:
        return StreamHeader(format=VideoFormat(**picture), **own)  # type: ignore[arg-type]  # checked by field
    except QuaverError as error:
        raise source.error(f"stream header: {error}", body_at) from error


def _read_fields(source: ByteReader) -> dict[str, Value]:
    values: dict[str, Value] = {}
    seen: set[int] = set()
    while not source.at_end():
        at = source.offset
        tag = source.varint(_U32, "header field tag")
        size = source.varint(MAX_HEADER, "header field length")
        data = source.take(size, f"header field {tag}")
        if tag in seen:
            raise source.error(f"header field {tag} appears twice", at)
        seen.add(tag)
        field = _BY_TAG.get(tag)
        if field is None:
            if tag % 2:
                raise source.error(f"unknown critical header field {tag}: made by a newer Quaver", at)
            continue
        inner = ByteReader(io.BytesIO(data), source.path, source.offset - size)
        value = data if field.kind == "bytes" else _decode_number(field, inner)
        problem = _problem(field, value)
        if problem:
            raise source.error(f"stream header: {problem}", at)
        values[field.name] = value
    return values


def _too_large(width: int, height: int) -> str:
    return f"{width}x{height} is more than {MAX_PICTURE} luma samples"


def _problem(field: Field, value: Value) -> str | None:
    """Why `value` is not legal for `field`; None when it is."""
    if isinstance(value, bytes):
        numbers = [len(value)]
    elif isinstance(value, Fraction):
        numbers = [value.numerator, value.denominator]
    else:
        numbers = [int(value)]
    if all(number in field.legal for number in numbers):
        return None
    legal = field.legal
    step = f" in steps of {legal.step}" if legal.step > 1 else ""
    shown = f"of {len(value)} bytes" if isinstance(value, bytes) else str(value)
    return f"{field.name} {shown} is outside {legal.start}..{legal[-1]}{step}"


def _encode_value(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, Fraction):
        return encode_varint(value.numerator) + encode_varint(value.denominator)
    return encode_varint(int(value))


def _decode_number(field: Field, source: ByteReader) -> Value:
    value: Value
    if field.kind == "fraction":
        numerator, denominator = source.varint(_U32, field.name), source.varint(_U32, field.name)
        if denominator == 0:
            raise source.error(f"header field {field.name}: denominator 0")
        value = Fraction(numerator, denominator)
    elif field.kind == "bool":
        value = bool(source.varint(1, field.name))
    else:
        value = source.varint(_U32, field.name)
    if not source.at_end():
        raise source.error(f"header field {field.name} is longer than its value")
    return value
