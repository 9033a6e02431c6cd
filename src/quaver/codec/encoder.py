"""Encoding: frames to records of a stream. Everything here is choice; the stream's meaning is frame_coder's."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.container import StreamWriter
from quaver.bitstream.header import StreamHeader
from quaver.bitstream.record import FrameKind, FrameRecord
from quaver.codec.coefficients import PLANES, Levels, choose_levels
from quaver.codec.frame_coder import (
    Chosen,
    State,
    channel_steps,
    code_intra,
    code_residual,
    code_vectors,
    grey,
    predict,
    without_dc,
)
from quaver.codec.motion_search import search_motion
from quaver.codec.symbol_coder import Symbols, SymbolWriter
from quaver.errors import MediaError, UsageError
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime import transform
from quaver.runtime.model import PROFILE, QUALITIES, IntegerModel, load_model
from quaver.runtime.picture import Picture, pad
from quaver.runtime.transform import Planes

DEFAULT_MODEL, DEFAULT_QUALITY, DEFAULT_GOP = "skeleton", 32, 32

# Share of a step below which a coefficient is rounded towards zero; Laplacian sources gain rate from it.
_ROUNDING = {FrameKind.INTRA: 0.40, FrameKind.INTER: 0.30}
_MOTION_BIT = 2.5  # squared error that one motion bit must save, times lambda
_AREA_BITS = 2.0  # what coding an area costs beside its coefficients: the levels
_CUT = 0.6  # prediction error over the picture's own detail, above which a frame is coded alone


def lagrangian(quality: int) -> float:
    """lambda of J = R + lambda * D: bits per luma sample that one unit of squared error is worth."""
    return float(0.001 * 300 ** (quality / (QUALITIES - 1)))


@dataclass(frozen=True, slots=True, eq=False)
class CodedFrame:
    """A frame's payload and the state both sides have after it."""

    kind: FrameKind
    payload: bytes
    state: State


def encode_picture(
    picture: Picture, past: State | None, model: IntegerModel, quality: int, scene_cuts: bool = True
) -> CodedFrame:
    """Code one picture, from `past` unless that is None or shows another scene."""
    if past is not None:
        vectors = search_motion(picture.y, past.picture.y, past.vectors, _MOTION_BIT / lagrangian(quality))
        prediction = predict(past, vectors)
        if not (scene_cuts and _is_cut(picture, prediction)):
            writer = SymbolWriter(model)
            code_vectors(writer, vectors, past)
            chosen = _choose(picture, prediction, model, quality, FrameKind.INTER)
            decoded, levels = code_residual(writer, chosen, prediction, past, quality)
            return CodedFrame(FrameKind.INTER, writer.finish(), State(decoded, vectors, levels))
    writer = SymbolWriter(model)
    chosen = _choose(picture, grey(picture.blocks), model, quality, FrameKind.INTRA)
    state = code_intra(writer, chosen, picture.blocks, quality)
    return CodedFrame(FrameKind.INTRA, writer.finish(), state)


def _choose(picture: Picture, prediction: Planes, model: IntegerModel, quality: int, kind: FrameKind) -> Chosen:
    """Quantize the prediction error; areas that are cheaper left alone become zero."""
    samples = tuple(plane.astype(np.int32) << 4 for plane in (picture.y, picture.u, picture.v))
    y, u, v = (s - p for s, p in zip(samples, prediction, strict=True))
    scaled = transform.forward((y, u, v)) / channel_steps(model, quality).astype(np.float32)
    rounding = np.float32(_ROUNDING[kind])
    symbols = (np.sign(scaled) * np.floor(np.abs(scaled) + rounding)).astype(np.int32)
    if kind == FrameKind.INTRA:
        levels, _ = choose_levels(without_dc(symbols), model.intra_levels, model)
        return Chosen(symbols, levels)
    levels, bits = choose_levels(symbols, model.inter_levels, model)
    return _drop_areas(scaled, symbols, levels, bits, channel_steps(model, quality), lagrangian(quality))


def _drop_areas(
    scaled: NDArray[np.floating],
    symbols: Symbols,
    levels: Levels,
    bits: NDArray[np.float32],
    steps: NDArray[np.int32],
    lmbda: float,
) -> Chosen:
    """Zero the areas whose coefficients cost more than they save: bits > lambda * squared error saved,
    luma weighing 6/8 and chroma, with a quarter of the samples, 1/8 * 4."""
    saved = (scaled**2 - (scaled - symbols) ** 2) * (steps.astype(np.float32) / 16) ** 2
    symbols, levels = symbols.copy(), levels.copy()
    _, rows, columns = symbols.shape
    for plane, (channels, weight) in enumerate(zip(PLANES, (0.75, 0.5), strict=True)):
        areas = saved[channels].reshape(-1, rows // 2, 2, columns // 2, 2).sum((0, 2, 4))
        useless = bits[plane] + _AREA_BITS > lmbda * weight * areas
        levels[plane][useless] = 0
        symbols[channels][:, useless.repeat(2, 0).repeat(2, 1)] = 0
    return Chosen(symbols, levels)


def _is_cut(picture: Picture, prediction: Planes) -> bool:
    """Whether prediction leaves about as much error as the picture's own detail within 8x8 blocks."""
    y = picture.y.astype(np.float32)
    error = float(((prediction[0] / np.float32(16) - y) ** 2).mean())
    height, width = y.shape
    blocks = y.reshape(height // 8, 8, width // 8, 8)
    detail = float(blocks.var(axis=(1, 3)).mean())
    return error > max(60.0, _CUT * detail)


class Encoder:
    """Writes a Quaver stream. A context manager; `encode` takes frames in display order.

    ``target``: a path, written beside and renamed on success, or a binary file. ``quality`` 0 to 63, larger is
    better. ``gop``: frames from one intra frame to the next. ``scene_cuts``: intra frames at cuts as well.
    """

    def __init__(
        self,
        target: str | PathLike[str] | BinaryIO,
        format: VideoFormat,
        quality: int = DEFAULT_QUALITY,
        gop: int = DEFAULT_GOP,
        model: IntegerModel | str = DEFAULT_MODEL,
        scene_cuts: bool = True,
    ) -> None:
        if not 0 <= quality < QUALITIES:
            raise UsageError(f"quality {quality} is out of range: 0 to {QUALITIES - 1} are legal")
        if not 1 <= gop < 1 << 31:
            raise UsageError(f"a group of {gop} pictures is out of range: at least 1 is legal")
        self.model = load_model(model) if isinstance(model, str) else model
        self.format, self.quality, self.gop, self.scene_cuts = format, quality, gop, scene_cuts
        self._path = Path(fspath(target)) if isinstance(target, (str, PathLike)) else None
        self._file = _create(self._path) if self._path is not None else target
        self._state: State | None = None
        self._since_intra = 0
        header = StreamHeader(self.model.hash, PROFILE, format, gop)
        self._writer = StreamWriter(self._file, header)  # type: ignore[arg-type]

    def encode(self, frame: Frame) -> FrameRecord:
        """Code one frame; returns its record, already written."""
        if (frame.format.width, frame.format.height) != (self.format.width, self.format.height):
            raise UsageError(
                f"a frame of {frame.format.width}x{frame.format.height} in a stream of"
                f" {self.format.width}x{self.format.height}"
            )
        past = None if self._since_intra >= self.gop else self._state
        coded = encode_picture(pad(frame), past, self.model, self.quality, self.scene_cuts)
        self._since_intra = 1 if coded.kind == FrameKind.INTRA else self._since_intra + 1
        self._state = coded.state
        record = FrameRecord(coded.kind, self.quality, frame.pts, coded.state.picture.checksum(), coded.payload)
        try:
            self._writer.write(record)
        except OSError as error:
            raise MediaError(f"{self._path or 'output'}: cannot write: {error.strerror}") from error
        return record

    def close(self) -> None:
        """Finish the stream: its index, and its name."""
        try:
            self._writer.close()
            if self._path is not None:
                self._file.close()  # type: ignore[union-attr]
                _partial(self._path).replace(self._path)
        except OSError as error:
            self.discard()
            raise MediaError(f"{self._path or 'output'}: cannot write: {error.strerror}") from error

    def discard(self) -> None:
        """Give up: nothing is left of a file that `close` has not finished."""
        if self._path is not None:
            self._file.close()  # type: ignore[union-attr]
            _partial(self._path).unlink(missing_ok=True)

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _create(path: Path) -> BinaryIO:
    try:
        return _partial(path).open("wb")
    except OSError as error:
        raise MediaError(f"{path}: cannot write: {error.strerror}") from error
