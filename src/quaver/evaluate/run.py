"""Evaluation: clips through codecs to real files, and what they cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.errors import UsageError
from quaver.evaluate import peers
from quaver.evaluate.metrics import Quality, compare, mean_quality
from quaver.evaluate.points import Point
from quaver.media.frame import Frame
from quaver.media.reader import open_video
from quaver.runtime.model import IntegerModel, load_model

DEFAULT_QUALITIES = (2, 12, 22, 32, 42, 52, 62)


@dataclass(frozen=True, slots=True)
class Job:
    """One codec at one quality."""

    codec: str
    options: str
    quality: float


@dataclass(frozen=True, slots=True)
class Setting:
    frames: int
    gop: int
    executor: str | None = None
    threads: int = 1


def jobs(codecs: Sequence[str], models: Sequence[str], qualities: Sequence[int], setting: Setting) -> list[Job]:
    """What `codecs` (quaver, x264, x265, svtav1, or a peer by full name) stand for."""
    result = []
    for codec in codecs:
        if codec == "quaver":
            for name in models:
                model = load_model(name)
                options = f"model={model.hash.hex()[:16]} gop={setting.gop}"
                result += [Job(f"quaver-{model.name}", options, float(quality)) for quality in qualities]
            continue
        names = peers.GROUPS.get(codec, (codec,))
        for name in names:
            if name not in peers.PEERS:
                known = ", ".join(["quaver", *peers.GROUPS, *peers.PEERS])
                raise UsageError(f"no codec named {name!r}; known: {known}")
            if not peers.available(peers.PEERS[name]):
                raise UsageError(f"this build of FFmpeg has no {peers.PEERS[name].encoder}; leave {codec} out")
            peer = peers.PEERS[name]
            result += [Job(name, peer.describe(crf, setting.gop), float(crf)) for crf in peer.crf]
    return result


def read_clip(path: Path, frames: int) -> list[Frame]:
    with open_video(path, slice(0, frames)) as video:
        return list(video)


def measure(
    clip: str, frames: Sequence[Frame], job: Job, models: Sequence[str], setting: Setting
) -> tuple[Point, list[Quality]]:
    """Encode, decode, compare."""
    if job.codec in peers.PEERS:
        coded = peers.code(peers.PEERS[job.codec], frames, job.quality, setting.gop)
    else:
        name = next(n for n in models if f"quaver-{load_model(n).name}" == job.codec)
        coded = code_quaver(frames, int(job.quality), name, setting)
    if len(coded.frames) != len(frames):
        raise UsageError(f"{clip}: {job.codec} gave {len(coded.frames)} frames for {len(frames)}")
    qualities = [compare(a, b) for a, b in zip(frames, coded.frames, strict=True)]
    psnr_y, psnr_611 = mean_quality(qualities)
    area = frames[0].format.width * frames[0].format.height
    bpp = 8 * coded.bytes / (len(frames) * area)
    seconds = round(coded.encode_seconds, 3), round(coded.decode_seconds, 3)
    point = Point(clip, job.codec, job.options, job.quality, len(frames), coded.bytes, bpp, psnr_y, psnr_611, *seconds)
    return point, qualities


def code_quaver(frames: Sequence[Frame], quality: int, model: IntegerModel | str, setting: Setting) -> peers.Coded:
    """Through a real file; its bytes are the whole file's. No scene cuts, as the peers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.qvr"
        began = time.perf_counter()
        with Encoder(
            path, frames[0].format, quality, setting.gop, model, False, setting.executor, setting.threads
        ) as encoder:
            for frame in frames:
                encoder.encode(frame)
        encoded = time.perf_counter()
        with Decoder(path, encoder.model, setting.executor, setting.threads) as decoder:
            decoded = list(decoder)
        return peers.Coded(decoded, path.stat().st_size, encoded - began, time.perf_counter() - encoded)


def evaluate(
    clips: Iterable[Path],
    todo: Sequence[Job],
    models: Sequence[str],
    setting: Setting,
    done: Sequence[Point],
    save: Callable[[Point, list[Quality]], None],
) -> None:
    """Measure what `done` does not hold yet; each point is handed to `save` at once."""
    known = {point.key for point in done}
    for clip in clips:
        frames = read_clip(clip, setting.frames)
        for job in todo:
            if (clip.stem, job.codec, job.options, job.quality, len(frames)) not in known:
                save(*measure(clip.stem, frames, job, models, setting))
