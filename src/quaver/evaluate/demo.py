"""The demo: one clip through Quaver, and through x264 at about the same rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import DEFAULT_GOP, Encoder
from quaver.evaluate import demo_page, montage, peers
from quaver.evaluate.metrics import compare
from quaver.evaluate.output import replacing
from quaver.media.frame import Frame
from quaver.media.png import encode_png
from quaver.media.reader import open_video
from quaver.media.writer import create_video
from quaver.runtime.model import load_model

_PEERS = ("x264-ultrafast", "x264-medium")
_CRF = 10.0, 51.0  # where the search for a rate begins
_CLOSE = 0.02  # of the wanted size: near enough

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One codec's result on the clip.

    ``bpp``: bits per luma sample. ``per_frame``: PSNR 6:1:1 in dB. ``shown``: the decoded frame to look at.
    ``curve``: (bpp, mean PSNR 6:1:1) of every rate tried, by growing rate.
    """

    name: str
    bytes: int
    bpp: float
    per_frame: list[float]
    shown: Frame
    encode_fps: float
    decode_fps: float
    curve: list[tuple[float, float]]

    @property
    def psnr_611(self) -> float:
        return sum(self.per_frame) / len(self.per_frame)


@dataclass(frozen=True, slots=True)
class Files:
    """What the demo wrote."""

    stream: Path
    video: Path
    picture: Path
    page: Path


def write_demo(
    clip: Path, out: Path, quality: int, count: int, model: str, credit: str, say: Say
) -> tuple[list[Outcome], Files]:
    """Code the first `count` frames of `clip`; write the stream, the decoded video, demo.png and index.html into
    `out`. `credit` stands at the end of the page; `say` is told what is being done."""
    say("reading")
    with open_video(clip, slice(0, count)) as video:
        frames = list(video)
    out.mkdir(parents=True, exist_ok=True)
    files = Files(out / f"{clip.stem}.qvr", out / f"{clip.stem}.mkv", out / "demo.png", out / "index.html")
    ours = _quaver(frames, files, quality, model, say)
    results = [ours, *(_at_rate(peers.PEERS[name], frames, ours.bytes, say) for name in _PEERS)]
    say("drawing")
    original, others = frames[len(frames) // 2], (results[0], results[-1])
    pictures = [("original", original), *((r.name, r.shown) for r in others)]
    part = montage.worst_part(original, [r.shown for r in others])
    captions = ["original", *(f"{r.name}   {r.bytes / 1000:.0f} kB   PSNR {r.psnr_611:.2f} dB" for r in others)]
    labelled = [(text, frame) for text, (_, frame) in zip(captions, pictures, strict=True)]
    with replacing(files.picture) as path:
        path.write_bytes(encode_png(montage.side_by_side(labelled, part)))
    with replacing(files.page) as path:
        path.write_text(demo_page.render(clip.stem.replace("_", " "), results, pictures, part, credit), "utf-8")
    return results, files


def _quaver(frames: Sequence[Frame], files: Files, quality: int, model: str, say: Say) -> Outcome:
    """Encode to a file, decode that file to another."""
    loaded, count = load_model(model), len(frames)
    began = time.perf_counter()
    with Encoder(files.stream, frames[0].format, quality, model=loaded) as encoder:
        for number, frame in enumerate(frames, 1):
            encoder.encode(frame)
            say(f"encoding {number}/{count}, {number / (time.perf_counter() - began):.1f} fps")
    middle = time.perf_counter()
    decoded: list[Frame] = []
    with Decoder(files.stream, loaded) as decoder:
        for frame in decoder:
            decoded.append(frame)
            say(f"decoding {len(decoded)}/{count}, {len(decoded) / (time.perf_counter() - middle):.1f} fps")
    end = time.perf_counter()
    with create_video(files.video, frames[0].format) as sink:
        for frame in decoded:
            sink.write(frame)
    coded = peers.Coded(decoded, files.stream.stat().st_size, middle - began, end - middle)
    return _outcome(f"quaver-{loaded.name}", frames, coded, [_point(frames, coded)])


def _at_rate(peer: peers.Peer, frames: Sequence[Frame], size: int, say: Say) -> Outcome:
    """The peer at the CRF whose bytes come nearest to `size`, by bisection in quarter steps."""
    low, high = _CRF
    best, curve = None, []
    while high - low > 0.25:
        crf = round(2 * (low + high)) / 4
        say(f"{peer.name} at crf {crf:g}")
        coded = peers.code(peer, frames, crf, DEFAULT_GOP)
        curve.append(_point(frames, coded))
        if best is None or abs(coded.bytes - size) < abs(best.bytes - size):
            best = coded
        if abs(coded.bytes - size) < _CLOSE * size or crf in (low, high):
            break
        low, high = (crf, high) if coded.bytes > size else (low, crf)
    assert best is not None  # the search begins with a wide interval
    return _outcome(peer.name, frames, best, sorted(curve))


def _outcome(name: str, frames: Sequence[Frame], coded: peers.Coded, curve: list[tuple[float, float]]) -> Outcome:
    count = len(frames)
    fps = count / max(1e-9, coded.encode_seconds), count / max(1e-9, coded.decode_seconds)
    shown = coded.frames[count // 2]
    return Outcome(name, coded.bytes, _bpp(frames, coded), _psnr(frames, coded), shown, *fps, curve)


def _point(frames: Sequence[Frame], coded: peers.Coded) -> tuple[float, float]:
    values = _psnr(frames, coded)
    return _bpp(frames, coded), sum(values) / len(values)


def _bpp(frames: Sequence[Frame], coded: peers.Coded) -> float:
    return 8 * coded.bytes / (len(frames) * frames[0].y.size)


def _psnr(frames: Sequence[Frame], coded: peers.Coded) -> list[float]:
    return [compare(a, b).psnr_611 for a, b in zip(frames, coded.frames, strict=True)]
