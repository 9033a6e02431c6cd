"""`quaver decode`: a Quaver stream to a video."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from quaver.bitstream.varint import TruncatedError
from quaver.cli.ahead import ahead
from quaver.cli.frames import parse_range, progress, refuse_same_file
from quaver.codec.decoder import Decoder
from quaver.errors import StreamError, UsageError
from quaver.media.frame import Frame
from quaver.runtime.model import load_model


def decode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A Quaver stream.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help=".y4m raw, .mkv FFV1 lossless, .mp4 H.264 (lossy).")],
    frames: Annotated[str | None, typer.Option(help="Only frames A:B, B excluded.")] = None,
    model: Annotated[str | None, typer.Option(help="The stream's model, if it is not installed.")] = None,
    executor: Annotated[str | None, typer.Option(help="onnx, onnx-f32 or reference; by default what works.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: one for each core, up to four.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Decode a stream. Every frame's checksum is compared; a damaged frame is an error."""
    from quaver.media.writer import create_video

    refuse_same_file(source, target)
    chosen = parse_range(frames) or slice(0, None)
    began, count = time.perf_counter(), 0
    with Decoder(source, load_model(model) if model else None, executor, threads) as decoder:
        total = len(range(decoder.frame_count)[chosen])
        with create_video(target, decoder.format) as sink, progress("decoding", total) as advance:
            try:
                for frame in ahead(_selected(decoder, chosen)):
                    sink.write(frame)
                    count += 1
                    advance(0)
            except TruncatedError as error:
                whole = f"; --frames {chosen.start}:{chosen.start + count} decodes what is whole" if count else ""
                raise StreamError(error.reason + whole, error.path, error.offset) from error
            if count == 0:
                raise UsageError(f"{source}: the stream holds no frames")
    seconds = time.perf_counter() - began
    lossy = target.suffix.lower() == ".mp4"
    summary = {
        "file": str(target),
        "frames": count,
        "lossy": lossy,
        "seconds": round(seconds, 3),
        "frames_per_second": round(count / seconds, 2),
    }
    if as_json:
        print(json.dumps(summary))
        return
    note = "; H.264 is lossy, .y4m and .mkv keep every bit" if lossy else ""
    text = f"{target}: {count} frames, {seconds:.1f} s ({summary['frames_per_second']} fps){note}"
    print(text, file=sys.stderr)


def _selected(decoder: Decoder, chosen: slice) -> Iterator[Frame]:
    """The frames of `chosen`, beginning to decode at the intra frame at or before its start."""
    first = decoder.seek(chosen.start) if chosen.start else 0
    for number, frame in enumerate(decoder, first):
        if number >= chosen.start:
            yield frame
        if chosen.stop is not None and number + 1 >= chosen.stop:
            return
