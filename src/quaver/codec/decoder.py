"""Decoding: records of a stream to frames."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO

from quaver.bitstream.container import StreamReader
from quaver.bitstream.header import StreamHeader
from quaver.bitstream.record import FrameKind, FrameRecord
from quaver.codec.frame_coder import State, code_inter, code_intra, predict
from quaver.codec.motion_coder import code_vectors
from quaver.codec.networks import Engine, prepare
from quaver.codec.symbol_coder import SymbolReader
from quaver.errors import MediaError, ModelError, StreamError
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import PROFILES, IntegerModel, find_model
from quaver.runtime.picture import crop, padded_size


def decode_record(record: FrameRecord, engine: Engine, past: State | None, shape: tuple[int, int]) -> State:
    """One frame; `shape` is (h8, w8). Raises StreamError where the record is not what an encoder writes or
    the picture is not the encoder's."""
    coder = SymbolReader(engine.model, record.payload)
    if record.kind == FrameKind.INTRA:
        state = code_intra(coder, engine, None, shape, record.quality)
    elif past is None:
        raise StreamError("an inter frame comes before any intra frame")
    else:
        vectors = code_vectors(coder, engine, None, past, record.quality)
        state = code_inter(coder, engine, None, predict(past, vectors), vectors, past, record.quality)
    coder.finish()
    if state.picture.checksum() != record.checksum:
        raise StreamError("the decoded picture's checksum differs: the frame is damaged")
    return state


class Decoder:
    """Reads a Quaver stream; iterating gives its frames. A context manager.

    ``source``: a path or a binary file. ``model``: by default the one the stream names. ``executor``: "onnx",
    "onnx-f32" or "reference"; by default the first that passes its self-test here.
    ``threads``: strips of the networks side by side; 0 for as many as there are cores, at most four.
    """

    def __init__(
        self,
        source: str | PathLike[str] | BinaryIO,
        model: IntegerModel | None = None,
        executor: str | None = None,
        threads: int = 0,
    ) -> None:
        self._path = fspath(source) if isinstance(source, (str, PathLike)) else None
        self._file = _open(self._path) if self._path is not None else source
        try:
            self._reader = StreamReader(self._file, self._path)  # type: ignore[arg-type]
            self.header: StreamHeader = self._reader.header
            if self.header.profile not in PROFILES:
                known = " and ".join(map(str, PROFILES))
                raise StreamError(f"arithmetic profile {self.header.profile}; this version decodes {known}", self._path)
            self.model = model if model is not None else self._find_model()
            if self.model.hash != self.header.model_hash:
                raise StreamError(
                    f"the stream needs model {self.header.model_hash.hex()[:16]}, given is"
                    f" {self.model.hash.hex()[:16]} ({self.model.name})",
                    self._path,
                )
            if self.model.profile != self.header.profile:
                raise StreamError(
                    f"arithmetic profile {self.header.profile}; its model {self.model.name!r} has {self.model.profile}",
                    self._path,
                )
            self._engine = prepare(self.model, executor, threads)
        except BaseException:
            self.close()
            raise

    @property
    def format(self) -> VideoFormat:
        return self.header.format

    @property
    def frame_count(self) -> int:
        """How many frames the stream holds; needs a seekable file."""
        return self._reader.index().frame_count

    def __iter__(self) -> Iterator[Frame]:
        """Frames from the current position, the start unless `seek` was called."""
        past: State | None = None
        height, width = padded_size(self.format)
        last: int | None = None
        for record in self._reader:
            try:
                if last is not None and record.pts <= last:
                    raise StreamError(f"pts {record.pts} follows {last}; they must grow")
                past = decode_record(record, self._engine, past, (height // 8, width // 8))
            except StreamError as error:
                number, offset = self._reader.last
                raise StreamError(f"frame {number}: {error.reason}", self._path, offset) from error
            last = record.pts
            yield crop(past.picture, self.format, record.pts)

    def seek(self, frame_number: int) -> int:
        """Go to the last intra frame at or before `frame_number`; returns its number."""
        return self._reader.seek(frame_number).frame_number

    def _find_model(self) -> IntegerModel:
        try:
            return find_model(self.header.model_hash)
        except ModelError as error:
            raise ModelError(f"{self._path or 'stream'}: {error}") from error

    def close(self) -> None:
        if self._path is not None:
            self._file.close()  # type: ignore[union-attr]

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise MediaError(f"{path}: cannot read: {error.strerror}") from error
