"""One pass over a clip, coding or decoding it, with the time of every frame."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.media.frame import Frame
from quaver.runtime.model import IntegerModel

GROUP = 32  # pictures from one intra frame to the next


@dataclass(frozen=True, slots=True)
class Lap:
    """One frame: seconds by the clock, seconds of all threads' processor time, what a stopwatch said meanwhile."""

    wall: float
    cpu: float
    parts: dict[str, float]


Take = Callable[[], dict[str, float]]


def encode(
    frames: Sequence[Frame],
    path: Path,
    quality: int,
    model: IntegerModel,
    executor: str | None = None,
    threads: int = 1,
    take: Take = dict,
) -> list[Lap]:
    """Frames to a stream, the first one intra, without scene cuts."""
    with Encoder(path, frames[0].format, quality, GROUP, model, False, executor, threads) as encoder:
        return [lap for lap, _ in _laps(map(encoder.encode, frames), take)]


def decode(
    path: Path, model: IntegerModel, executor: str | None = None, threads: int = 1, frames: int = 0, take: Take = dict
) -> Iterator[tuple[Lap, Frame]]:
    """The first `frames` frames of a stream, all by default, each with its lap."""
    with Decoder(path, model, executor, threads) as decoder:
        for number, each in enumerate(_laps(iter(decoder), take), 1):
            yield each
            if number == frames:
                return


def _laps(steps: Iterator[Any], take: Take) -> Iterator[tuple[Lap, Any]]:
    while True:
        take()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            result = next(steps)
        except StopIteration:
            return
        yield Lap(time.perf_counter() - wall, time.process_time() - cpu, take()), result


def medians(passes: Sequence[Sequence[float]]) -> tuple[float, float]:
    """(intra, inter) from a number for each frame of each pass, all beginning with an intra frame: medians over
    passes, then over inter frames."""
    frames = [statistics.median(each) for each in zip(*passes, strict=True)]
    return frames[0], statistics.median(frames[1:])


def group_rate(intra: float, inter: float) -> float:
    """Frames per second of a group of pictures from the seconds of an intra and of an inter frame."""
    return GROUP / (intra + (GROUP - 1) * inter)
