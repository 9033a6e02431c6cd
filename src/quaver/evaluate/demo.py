"""The demo: one clip, Quaver and x264 at about the same rate, what they look like side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.evaluate import demo_page, peers
from quaver.evaluate.metrics import compare
from quaver.media.frame import Frame
from quaver.media.png import encode_png
from quaver.media.reader import open_video
from quaver.media.writer import create_video

_PEERS = ("x264-ultrafast", "x264-medium")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One codec's result on the clip; ``per_frame``: PSNR 6:1:1 in dB."""

    name: str
    frames: list[Frame]
    bytes: int
    bpp: float
    per_frame: list[float]
    encode_fps: float
    decode_fps: float

    @property
    def psnr_611(self) -> float:
        return sum(self.per_frame) / len(self.per_frame)


def write_demo(
    clip: Path, out: Path, quality: int, count: int, model: str, say: Callable[[str], None]
) -> tuple[list[Outcome], Path]:
    """Write the stream, the decoded video, demo.png and index.html into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    say("reading")
    with open_video(clip, slice(0, count)) as video:
        frames = list(video)
    results = [_quaver(frames, out / f"{clip.stem}.qvr", quality, model, say)]
    for name in _PEERS:
        say(name)
        results.append(_at_rate(peers.PEERS[name], frames, results[0].bytes))
    say("writing")
    with create_video(out / f"{clip.stem}.mkv", frames[0].format) as sink:
        for frame in results[0].frames:
            sink.write(frame)
    shown = len(frames) // 2
    strips = [("original", frames[shown]), *((r.name, r.frames[shown]) for r in (results[0], results[-1]))]
    picture = side_by_side([frame for _, frame in strips])
    (out / "demo.png").write_bytes(encode_png(picture))
    page = out / "index.html"
    page.write_text(demo_page.render(clip.stem, results, strips), encoding="utf-8")
    return results, page


def _quaver(frames: Sequence[Frame], path: Path, quality: int, model: str, say: Callable[[str], None]) -> Outcome:
    began = time.perf_counter()
    with Encoder(path, frames[0].format, quality, model=model) as encoder:
        for number, frame in enumerate(frames):
            say(f"encoding {number + 1}/{len(frames)}")
            encoder.encode(frame)
    middle = time.perf_counter()
    say("decoding")
    with Decoder(path) as decoder:
        decoded = list(decoder)
    end = time.perf_counter()
    coded = peers.Coded(decoded, path.stat().st_size, middle - began, end - middle)
    return _outcome(f"quaver {encoder.model.name}", frames, coded)


def _at_rate(peer: peers.Peer, frames: Sequence[Frame], size: int) -> Outcome:
    """The peer at the CRF whose size is nearest to `size`, found by bisection in half steps."""
    low, high = 10.0, 51.0
    best = None
    while high - low > 0.5:
        crf = round(low + high) / 2 if high - low > 1 else (low + high) / 2
        coded = peers.code(peer, frames, crf, 32)
        if best is None or abs(coded.bytes - size) < abs(best.bytes - size):
            best = coded
        low, high = (crf, high) if coded.bytes > size else (low, crf)
    assert best is not None
    return _outcome(peer.name, frames, best)


def _outcome(name: str, frames: Sequence[Frame], coded: peers.Coded) -> Outcome:
    count, format = len(frames), frames[0].format
    per_frame = [compare(a, b).psnr_611 for a, b in zip(frames, coded.frames, strict=True)]
    bpp = 8 * coded.bytes / (count * format.width * format.height)
    fps = count / max(1e-9, coded.encode_seconds), count / max(1e-9, coded.decode_seconds)
    return Outcome(name, coded.frames, coded.bytes, bpp, per_frame, *fps)


def side_by_side(frames: Sequence[Frame]) -> NDArray[np.uint8]:
    """The pictures in a row, and below each its busiest part, three times as large."""
    pictures = [frame.to_rgb() for frame in frames]
    height, width, _ = pictures[0].shape
    tall, wide = max(8, height // 3), max(8, width // 3)
    top, left = busiest(frames[0].y, tall, wide)
    rows = []
    for picture in pictures:
        detail = picture[top : top + tall, left : left + wide].repeat(3, 0).repeat(3, 1)
        filler = np.full((detail.shape[0], max(0, width - detail.shape[1]), 3), 255, np.uint8)
        rows.append(np.concatenate([picture, np.concatenate([detail, filler], 1)[:, :width]]))
    gap = np.full((rows[0].shape[0], 8, 3), 255, np.uint8)
    parts = [part for row in rows for part in (row, gap)][:-1]
    return np.concatenate(parts, axis=1)


def busiest(luma: NDArray[np.uint8], tall: int, wide: int) -> tuple[int, int]:
    """(top, left) of the rectangle with the largest variance, on a grid of half its size."""
    tops = range(0, luma.shape[0] - tall + 1, max(1, tall // 2))
    lefts = range(0, luma.shape[1] - wide + 1, max(1, wide // 2))
    places = [(top, left) for top in tops for left in lefts]
    return max(places, key=lambda p: float(luma[p[0] : p[0] + tall, p[1] : p[1] + wide].var()))
