"""`quaver encode`: a video to a Quaver stream."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from quaver.bitstream.record import FrameKind
from quaver.cli.ahead import ahead
from quaver.cli.frames import parse_range, progress, refuse_same_file
from quaver.codec.encoder import DEFAULT_GOP, DEFAULT_MODEL, DEFAULT_QUALITY, Encoder
from quaver.evaluate.metrics import Quality, compare, mean_quality
from quaver.media.frame import VideoFormat

_WHOLE = 0.95  # of the frames promised; headers often give durations only, which are rounded


def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video that FFmpeg reads.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The stream to write, usually .qvr.")],
    quality: Annotated[int, typer.Option("--quality", "-q", help="0 to 63; larger is better.")] = DEFAULT_QUALITY,
    gop: Annotated[int, typer.Option(help="Frames from one intra frame to the next.")] = DEFAULT_GOP,
    frames: Annotated[str | None, typer.Option(help="Only frames A:B, numbered from 0, B excluded.")] = None,
    model: Annotated[str, typer.Option(help="A model by name, or a .qvm file.")] = DEFAULT_MODEL,
    scenecut: Annotated[bool, typer.Option("--scenecut/--no-scenecut", help="Intra frames at scene cuts.")] = True,
    motion: Annotated[str, typer.Option(help="How vectors are found: search, network or seeded.")] = "search",
    psnr: Annotated[bool, typer.Option("--psnr", help="Also measure PSNR.")] = False,
    executor: Annotated[str | None, typer.Option(help="onnx, onnx-f32 or reference; by default what works.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: one for each core, up to four.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Encode a video. Anything but 8-bit 4:2:0 is converted first."""
    from quaver.media.reader import open_video

    refuse_same_file(source, target)
    totals = _Totals()
    began = time.perf_counter()
    with open_video(source, parse_range(frames)) as video:
        format = video.format
        with (
            Encoder(target, format, quality, gop, model, scenecut, executor, threads, motion) as encoder,
            progress("encoding", video.frame_count, format.frame_rate) as advance,
        ):
            for frame in ahead(video):
                record = encoder.encode(frame)
                totals.frames += 1
                totals.intra += record.kind == FrameKind.INTRA
                if psnr:
                    totals.qualities.append(compare(frame, encoder.reconstruction))
                advance(len(record.payload))
        if video.converted:
            print(f"{source}: converted from {video.pixel_format} to 8-bit 4:2:0", file=sys.stderr)
        if frames is None and totals.frames < _WHOLE * (video.frame_count or 0):
            note = f"its headers promise {video.frame_count} frames, {totals.frames} could be read: is it cut short?"
            print(f"{source}: {note}", file=sys.stderr)
    summary = _summary(target, encoder.model.name, format, totals, time.perf_counter() - began)
    if as_json:
        print(json.dumps(summary))
    else:
        print(_sentence(summary), file=sys.stderr)


@dataclass(slots=True)
class _Totals:
    frames: int = 0
    intra: int = 0
    qualities: list[Quality] = field(default_factory=list)


def _summary(target: Path, model: str, format: VideoFormat, totals: _Totals, seconds: float) -> dict[str, Any]:
    size = target.stat().st_size
    bits = 8 * size / totals.frames
    summary = {
        "file": str(target),
        "model": model,
        "frames": totals.frames,
        "intra_frames": totals.intra,
        "bytes": size,
        "bits_per_pixel": round(bits / (format.width * format.height), 5),
        "kilobits_per_second": round(bits * float(format.frame_rate) / 1000, 1),
        "seconds": round(seconds, 3),
        "frames_per_second": round(totals.frames / seconds, 2),
    }
    if totals.qualities:
        luma, together = mean_quality(totals.qualities)
        summary |= {"psnr_y": round(luma, 3), "psnr_611": round(together, 3)}
    return summary


def _sentence(summary: dict[str, Any]) -> str:
    text = (
        "{file}: {frames} frames ({intra_frames} intra), {bytes:,} bytes, {bits_per_pixel:.4f} bpp,"
        " {kilobits_per_second} kbit/s, {seconds:.1f} s ({frames_per_second} fps)"
    )
    if "psnr_y" in summary:
        text += ", PSNR {psnr_y:.2f} dB luma, {psnr_611:.2f} dB 6:1:1"
    return text.format(**summary)
