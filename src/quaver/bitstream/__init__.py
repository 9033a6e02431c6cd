"""Streams: the container, frequency tables, and range coding. The format is defined in docs/format/."""

from quaver.bitstream.container import StreamReader, StreamWriter
from quaver.bitstream.header import StreamHeader
from quaver.bitstream.index import IndexEntry, StreamIndex
from quaver.bitstream.record import FrameKind, FrameRecord
from quaver.bitstream.symbols import SymbolDecoder, SymbolEncoder
from quaver.bitstream.tables import TableSet, frequencies_from_probabilities, laplace_tables
from quaver.bitstream.varint import TruncatedError

__all__ = [
    "FrameKind",
    "FrameRecord",
    "IndexEntry",
    "StreamHeader",
    "StreamIndex",
    "StreamReader",
    "StreamWriter",
    "SymbolDecoder",
    "SymbolEncoder",
    "TableSet",
    "TruncatedError",
    "frequencies_from_probabilities",
    "laplace_tables",
]
