"""Encoding: frames to records of a stream. Everything here is choice; the stream's meaning is frame_coder's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.container import StreamWriter
from quaver.bitstream.header import StreamHeader
from quaver.bitstream.record import FrameKind, FrameRecord
from quaver.codec import decisions
from quaver.codec.coefficients import DC_CHANNELS, Levels
from quaver.codec.frame_coder import Chosen, State, code_inter, code_intra, grey, predict
from quaver.codec.motion_coder import code_vectors, encode_motion
from quaver.codec.motion_estimator import check_estimator, estimate_motion
from quaver.codec.networks import Engine, FrameNetworks, prepare
from quaver.codec.symbol_coder import Symbols, SymbolWriter
from quaver.errors import MediaError, UsageError
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime import network_inputs
from quaver.runtime.model import QUALITIES, IntegerModel, load_model
from quaver.runtime.picture import Picture, crop, pad
from quaver.runtime.transform import Planes

DEFAULT_MODEL, DEFAULT_QUALITY, DEFAULT_GOP = "small", 32, 32

# Share of blocks predicted worse than by their mean, above which a frame is coded alone. Training clips: 0.17 at
# most without a cut, 0.25 at least at one, at any quality.
_CUT = 0.21


@dataclass(frozen=True, slots=True, eq=False)
class CodedFrame:
    """A frame's payload and the state both sides have after it."""

    kind: FrameKind
    quality: int
    payload: bytes
    state: State


def encode_picture(
    picture: Picture,
    past: State | None,
    engine: Engine,
    quality: int,
    scene_cuts: bool = True,
    estimator: str = "search",
    since_intra: int = 1,
) -> CodedFrame:
    """Code one picture, from `past` unless that is None or shows another scene. `since_intra`: frames since the last
    intra frame."""
    if past is not None:
        own = decisions.inter_quality(quality, since_intra)
        estimated = estimate_motion(picture, past, engine, own, estimator)
        vectors = encode_motion(estimated, engine, past, own)
        prediction = predict(past, vectors)
        if not (scene_cuts and _is_cut(picture, prediction, engine.model.steps[own, 0])):
            chosen = _choose(picture, prediction, engine, own, FrameKind.INTER, past.levels)
            coded = _code_inter(engine, chosen, prediction, vectors, past, own)
            return _unless_repeating_costs_less(coded, picture, past, engine)
    writer = SymbolWriter(engine.model)
    better = decisions.intra_quality(quality)
    chosen = _choose(picture, grey(picture.blocks), engine, better, FrameKind.INTRA)
    state = code_intra(writer, engine, chosen, picture.blocks, better)
    return CodedFrame(FrameKind.INTRA, better, writer.finish(), state)


def _code_inter(
    engine: Engine, chosen: Chosen, prediction: Planes, vectors: NDArray[np.int16], past: State, quality: int
) -> CodedFrame:
    writer = SymbolWriter(engine.model)
    code_vectors(writer, engine, vectors, past, quality)
    state = code_inter(writer, engine, chosen, prediction, vectors, past, quality)
    return CodedFrame(FrameKind.INTER, quality, writer.finish(), state)


def _unless_repeating_costs_less(coded: CodedFrame, picture: Picture, past: State, engine: Engine) -> CodedFrame:
    """`coded`, or the past picture once more where that has the lower J. Trained corrections are no part of what
    `coded` was chosen by and may do harm; so a still clip comes to rest whatever the networks say."""
    anything = coded.state.vectors.any() or coded.state.levels.any()
    cost = decisions.cost(picture, coded.state.picture, len(coded.payload), coded.quality)
    if not anything or cost <= decisions.cost(picture, past.picture, 0, coded.quality):
        return coded
    rest, levels = np.zeros_like(past.vectors), np.zeros_like(past.levels)
    nothing = Chosen(levels, lambda means: np.zeros_like(past.latents))
    repeated = _code_inter(engine, nothing, predict(past, rest), rest, past, coded.quality)
    return min(
        (coded, repeated),
        key=lambda each: decisions.cost(picture, each.state.picture, len(each.payload), each.quality),
    )


def _choose(
    picture: Picture,
    prediction: Planes,
    engine: Engine,
    quality: int,
    kind: FrameKind,
    past_levels: Levels | None = None,
) -> Chosen:
    """Latents of the prediction error, where they are coded, and how they are rounded once the means are known."""
    model = engine.model
    scaled = decisions.analyse(picture, prediction, model, quality)
    dc = np.rint(scaled[DC_CHANNELS]).astype(np.int32) if kind == FrameKind.INTRA else None
    networks, corrected = engine.networks[kind], scaled
    if networks is not None:
        corrected = scaled + _encoder_correction(picture, prediction, dc, networks, model, quality)
    levels = decisions.choose_activity(corrected, model, quality, kind, past_levels, scaled)
    return Chosen(levels, lambda means: decisions.quantize(corrected, means, levels, kind), dc)


def _encoder_correction(
    picture: Picture,
    prediction: Planes,
    dc: Symbols | None,
    networks: FrameNetworks,
    model: IntegerModel,
    quality: int,
) -> NDArray[np.float32]:
    """What the contextual encoder adds to the latents, in steps."""
    steps = model.channel_steps(quality)
    seen = prediction if dc is None else network_inputs.smooth_from_dc(dc, steps[DC_CHANNELS, 0, 0])
    known = [
        network_inputs.picture_planes(picture, steps),
        network_inputs.coefficient_planes(seen, steps),
        network_inputs.quality_plane(quality, picture.blocks),
    ]
    correction = (networks.encode(np.concatenate(known)).astype(np.float32) - 128) / np.float32(64)
    if dc is not None:
        correction[DC_CHANNELS] = 0
    return correction


def _is_cut(picture: Picture, prediction: Planes, step: int) -> bool:
    """Whether prediction leaves more error than the block has detail in many 8x8 blocks; coding noise of the
    reference, a part of `step` (4 fractional bits), does not count."""
    y = picture.y.astype(np.float32)
    error = _block_means(np.square(prediction[0] / np.float32(16) - y))
    detail = _block_means(np.square(y)) - np.square(_block_means(y))
    return bool((error - detail > (step / 16) ** 2 / 48 + 16).mean() > _CUT)


def _block_means(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of 8x8 samples; whole rows are summed first, which is several times faster."""
    height, width = samples.shape
    rows = samples.reshape(height // 8, 8, width).sum(1)
    return rows.reshape(height // 8, width // 8, 8).sum(2) / np.float32(64)


class Encoder:
    """Writes a Quaver stream. A context manager; `encode` takes frames in display order.

    ``target``: a path, written beside and renamed on success, or a binary file. ``quality`` 0 to 63, larger is
    better. ``gop``: frames from one intra frame to the next. ``scene_cuts``: intra frames at cuts as well.
    ``threads``: strips of the networks side by side; 0 for as many as there are cores, at most four.
    ``motion``: how vectors are found: "search", or by the model's "network", or "seeded", the search from there.
    """

    def __init__(
        self,
        target: str | PathLike[str] | BinaryIO,
        format: VideoFormat,
        quality: int = DEFAULT_QUALITY,
        gop: int = DEFAULT_GOP,
        model: IntegerModel | str = DEFAULT_MODEL,
        scene_cuts: bool = True,
        executor: str | None = None,
        threads: int = 0,
        motion: str = "search",
    ) -> None:
        if not 0 <= quality < QUALITIES:
            raise UsageError(f"quality {quality} is out of range: 0 to {QUALITIES - 1} are legal")
        if not 1 <= gop < 1 << 31:
            raise UsageError(f"a group of {gop} pictures is out of range: 1 to {2**31 - 1} are legal")
        self.model = load_model(model) if isinstance(model, str) else model
        self._engine = prepare(self.model, executor, threads, encoding=True)
        check_estimator(motion, self._engine)
        self.format, self.quality, self.gop = format, quality, gop
        self.scene_cuts, self.motion = scene_cuts, motion
        self._path = Path(fspath(target)) if isinstance(target, (str, PathLike)) else None
        self._file = _create(self._path) if self._path is not None else target
        self._state: State | None = None
        self._since_intra, self._pts = 0, 0
        header = StreamHeader(self.model.hash, self.model.profile, format, gop)
        try:
            self._writer = StreamWriter(self._file, header)  # type: ignore[arg-type]
        except OSError as error:
            self.discard()
            raise self._failure(error) from error
        except BaseException:
            self.discard()
            raise

    def encode(self, frame: Frame) -> FrameRecord:
        """Code one frame; returns its record, already written. Times (pts) must grow."""
        if (frame.format.width, frame.format.height) != (self.format.width, self.format.height):
            raise UsageError(
                f"a frame of {frame.format.width}x{frame.format.height} in a stream of"
                f" {self.format.width}x{self.format.height}"
            )
        if self._state is not None and frame.pts <= self._pts:
            raise UsageError(f"pts {frame.pts} follows {self._pts}; they must grow")
        past = None if self._since_intra >= self.gop else self._state
        coded = encode_picture(
            pad(frame), past, self._engine, self.quality, self.scene_cuts, self.motion, self._since_intra
        )
        self._since_intra = 1 if coded.kind == FrameKind.INTRA else self._since_intra + 1
        self._state, self._pts = coded.state, frame.pts
        record = FrameRecord(coded.kind, coded.quality, frame.pts, coded.state.picture.checksum(), coded.payload)
        try:
            self._writer.write(record)
        except OSError as error:
            raise self._failure(error) from error
        return record

    @property
    def reconstruction(self) -> Frame:
        """The frame encoded last, as every decoder will show it."""
        if self._state is None:
            raise UsageError("no frame has been encoded yet")
        return crop(self._state.picture, self.format, self._pts)

    def close(self) -> None:
        """Finish the stream: its index, and its name."""
        try:
            self._writer.close()
            if self._path is not None:
                self._file.close()  # type: ignore[union-attr]
                _partial(self._path).replace(self._path)
        except OSError as error:
            self.discard()
            raise self._failure(error) from error

    def discard(self) -> None:
        """Give up: nothing is left of a file that `close` has not finished."""
        if self._path is not None:
            with suppress(OSError):  # closing tries once more to write what could not be written
                self._file.close()  # type: ignore[union-attr]
            _partial(self._path).unlink(missing_ok=True)

    def _failure(self, error: OSError) -> MediaError:
        return MediaError(f"{self._path or 'output'}: cannot write: {error.strerror}")

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
    if path.exists() and not path.is_file():
        raise MediaError(f"{path}: cannot write: this is not a regular file")
    try:
        return _partial(path).open("wb")
    except OSError as error:
        raise MediaError(f"{path}: cannot write: {error.strerror}") from error
