"""Where the time of a frame goes: speed_parts.tsv.

A clip's first frames are encoded and decoded on one core in a few passes, without and with a stopwatch on the parts
of a frame's path. Numbers are milliseconds of processor time, since the clock also counts other programs: medians
over passes, then over inter frames. A part's time is its own, without what it spends in other parts; "other" is what
no part claims. Colour and output come after decoding and are no part of it.

usage: measure_parts.py CLIP [--model NAME] [--out results] [--passes 5] [--frames 12] [--qualities 12,32,52]
       [--executor NAME]
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turns import use_cores

HEADER = ("task", "size", "quality", "executor", "part", "intra_ms", "inter_ms", "inter_share")
PARTS = {
    "quaver.bitstream.symbols:SymbolDecoder.get": "range coder",
    "quaver.bitstream.symbols:SymbolEncoder.put": "range coder",
    "quaver.codec.motion_coder:code_vectors": "entropy of motion",
    "quaver.codec.coefficients:code_levels": "entropy of levels",
    "quaver.codec.coefficients:code_dc": "entropy of intra DC",
    "quaver.codec.coefficients:table_indices": "table indices",
    "quaver.codec.symbol_coder:corrected_indices": "table indices",
    "quaver.runtime.warp:compensate": "prediction",
    "quaver.runtime.network_inputs:*": "network inputs",
    "quaver.runtime.transform:inverse": "transform",
    "quaver.runtime.activity:activity_mask": "activity mask",
    "quaver.codec.frame_coder:reconstruct": "reconstruction",
    "quaver.runtime.picture:Picture.checksum": "checksum",
    "quaver.codec.encoder:encode_picture": "encoder, rest",
    "quaver.codec.motion_search:search_motion": "encoder: motion search",
    "quaver.codec.decisions:*": "encoder: decisions",
}
RUNNERS = (
    "quaver.runtime.executors.onnx_runtime:OnnxRunner.run",
    "quaver.runtime.executors.reference:ReferenceRunner.run",
)
Parts = dict[str, float]  # milliseconds


def laps_of(frames: Sequence[Any], stream: Path, quality: int, model: Any, executor: str | None, take: Any) -> Any:
    """One pass each way: {task: [parts of frame 0, of frame 1, ...]}."""
    import passes

    found: dict[str, list[Parts]] = {"encode": [], "decode": []}
    for lap in passes.encode(frames, stream, quality, model, executor, take=take):
        found["encode"].append({"whole frame": lap.cpu, **lap.parts})
    for lap, frame in passes.decode(stream, model, executor, take=take):
        found["decode"].append({"whole frame": lap.cpu, **lap.parts, **after_decoding(frame)})
    return found


def after_decoding(frame: Any) -> Parts:
    """What a player or `quaver decode` does with a frame."""
    from quaver.media.y4m import Y4mWriter

    began = time.thread_time()
    frame.to_rgb()
    middle = time.thread_time()
    Y4mWriter(io.BytesIO(), frame.format).write(frame)
    return {"after: colour (RGB)": middle - began, "after: output (y4m)": time.thread_time() - middle}


def table(runs: Sequence[Sequence[Parts]], plain: Sequence[Sequence[Parts]]) -> list[tuple[str, float, float]]:
    """(part, intra, inter) in seconds from passes with and without the stopwatch."""
    from passes import medians

    names = list(dict.fromkeys(name for frames in runs for frame in frames for name in frame))
    found = {name: medians([[frame.get(name, 0.0) for frame in frames] for frames in runs]) for name in names}
    inside = [name for name in names if name != "whole frame" and not name.startswith("after: ")]
    whole = found.pop("whole frame")
    rest = [whole[kind] - sum(found[name][kind] for name in inside) for kind in (0, 1)]
    rows = [(name, *found[name]) for name in sorted(inside, key=lambda name: -found[name][1])]
    rows += [("other", *rest), ("whole frame", *whole)]
    without = medians([[frame["whole frame"] for frame in frames] for frames in plain])
    rows.append(("whole frame, without the stopwatch", *without))
    return rows + [(name, *times) for name, times in found.items() if name.startswith("after: ")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", help="by default the one that `quaver encode` uses")
    parser.add_argument("--executor")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--qualities", default="12,32,52")
    given = parser.parse_args()
    use_cores(1)

    from provenance import comment
    from stopwatch import Stopwatch

    from quaver.codec.encoder import DEFAULT_MODEL
    from quaver.codec.networks import prepare
    from quaver.evaluate.points import write_table
    from quaver.evaluate.run import read_clip
    from quaver.runtime.model import load_model

    given.model = given.model or DEFAULT_MODEL
    model = load_model(given.model)
    executor = prepare(model, given.executor).executor
    first = comment(model, f"one core, {given.passes} passes over {given.frames} frames")
    frames = read_clip(given.clip, given.frames)
    qualities = [int(quality) for quality in given.qualities.split(",")]
    runs: dict[tuple[int, bool], list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        stream, watch = Path(folder) / "clip.qvr", Stopwatch(time.thread_time)
        for number in range(2 * given.passes):
            if number == given.passes:
                for place, part in PARTS.items():
                    watch.watch(place, part)
                for place in RUNNERS:
                    watch.watch(place, lambda runner, inputs: f"network {runner.graph.name}")
            for quality in qualities:
                laps = laps_of(frames, stream, quality, model, given.executor, watch.take)
                runs.setdefault((quality, number >= given.passes), []).append(laps)
    size = f"{frames[0].format.width}x{frames[0].format.height}"
    rows = []
    for task in ("decode", "encode"):
        for quality in qualities:
            watched, plain = ([run[task] for run in runs[quality, kind]] for kind in (True, False))
            times = table(watched, plain)
            whole = next(inter for part, _, inter in times if part == "whole frame")
            for part, intra, inter in times:
                numbers = f"{1000 * intra:.2f}", f"{1000 * inter:.2f}", f"{inter / whole:.3f}"
                rows.append([task, size, quality, executor, part, *numbers])
    write_table(given.out / "speed_parts.tsv", HEADER, rows, first)


if __name__ == "__main__":
    main()
