"""What integers cost: the integer model against the float model of the same weights: float_vs_integer.tsv.

Both are the codec in torch in closed loop on the middle of real clips, each with its own decisions, and both are
rated by the same estimate of bits: code lengths of everything in a frame. "float" computes networks in float32,
"integer" as the runtime does. The lowered model then codes the same frames to real files: how far their bytes
(file_percent), and those of the frames' payloads alone, are from the integer estimate, the mean over qualities, stands
beside the BD-rate. The estimate leaves out what ends a payload. same_frames: how many decoded frames equal torch's;
they part where the encoder chose to repeat the last picture, which torch does not consider. Weights without a plan are
calibrated first, as `quaver lower` does; with the name of the model that ships the table names its hash. Points go to
float_vs_integer_points.tsv, and finished clips are kept.

usage: compare_float.py WEIGHTS.safetensors CLIP... [--name NAME] [--calibrate FOLDER] [--cache FOLDER]
       [--skeleton NAME] [--out results] [--qualities 2,12,22,32,42,52,62] [--frames 8] [--size 320x192]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from provenance import comment

from quaver.bitstream.container import StreamReader
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.evaluate.bdrate import bd_rate
from quaver.evaluate.metrics import compare
from quaver.evaluate.points import read_table, write_table
from quaver.evaluate.run import read_clip
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.data.batches import largest_size
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, set_integer, weights_hash
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.recipes import Stage
from quaver.media.frame import Frame
from quaver.runtime.model import IntegerModel, load_model
from quaver.runtime.picture import plain_format

POINTS = ("clip", "model", "arithmetic", "quality", "bpp", "psnr_611", "payload_bpp", "same_frames")
HEADER = ("clip", "model", "bd_rate_percent", "overlap", "file_percent", "payload_percent", "same_frames")
SEQUENCES, CALIBRATION_FRAMES, CALIBRATION_SIZE = 12, 4, 192  # those of `quaver lower`
Row = dict[str, str]


def middle(frames: Sequence[Frame], width: int, height: int) -> list[Frame]:
    """The same even place in the middle of every frame."""
    format = plain_format(width, height)
    top, left = ((side - size) // 4 * 2 for side, size in zip(frames[0].y.shape, (height, width), strict=True))

    def cut(plane: np.ndarray, part: int) -> np.ndarray:
        return plane[top // part : (top + height) // part, left // part : (left + width) // part].copy()

    return [Frame(cut(f.y, 1), cut(f.u, 2), cut(f.v, 2), n, format) for n, f in enumerate(frames)]


@torch.no_grad()
def in_torch(adapter: QuaverAdapter, frames: Sequence[Frame], integer: bool) -> tuple[list[list[Frame]], list[float]]:
    """Per quality: decoded frames, and bits per luma sample over all frames."""
    set_integer(adapter.module, integer)
    count = len(adapter.qualities)
    state, rates, decoded = None, torch.zeros(count, dtype=torch.float64), [list[Frame]() for _ in range(count)]
    for frame in frames:
        planes = [torch.from_numpy(plane).repeat(count, 1, 1) for plane in (frame.y, frame.u, frame.v)]
        step = adapter.step((planes[0], planes[1], planes[2]), state, torch.arange(count))
        state, rates = step.state, rates + step.rate.double()
        for number, parts in enumerate(zip(*state.picture, strict=True)):
            y, u, v = (part.numpy().astype(np.uint8) for part in parts)
            decoded[number].append(Frame(y, u, v, frame.pts, frame.format))
    return decoded, (rates / len(frames)).tolist()


def to_file(frames: Sequence[Frame], quality: int, model: IntegerModel) -> tuple[list[Frame], int, int]:
    """Decoded frames, bytes of the file, bytes of its frames' payloads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.qvr"
        with Encoder(path, frames[0].format, quality, len(frames), model, False) as encoder:
            for frame in frames:
                encoder.encode(frame)
        with path.open("rb") as file:
            payload = sum(len(record.payload) for record in StreamReader(file))
        with Decoder(path, model) as decoder:
            return list(decoder), path.stat().st_size, payload


def measure(clip: str, frames: Sequence[Frame], adapter: QuaverAdapter, model: IntegerModel, name: str) -> list[Row]:
    """The points of a clip: float, integer, file."""
    rows = []
    found = {kind: in_torch(adapter, frames, kind == "integer") for kind in ("float", "integer")}
    samples = len(frames) * frames[0].y.size
    for number, quality in enumerate(adapter.qualities):
        for kind, (decoded, rates) in found.items():
            rows.append(point(clip, name, kind, quality, frames, decoded[number], rates[number]))
        decoded_file, size, payload = to_file(frames, quality, model)
        pairs = zip(decoded_file, found["integer"][0][number], strict=True)
        same = sum(all(np.array_equal(getattr(a, p), getattr(b, p)) for p in "yuv") for a, b in pairs)
        row = point(clip, name, "file", quality, frames, decoded_file, 8 * size / samples)
        rows.append(row | {"payload_bpp": f"{8 * payload / samples:.6f}", "same_frames": f"{same}/{len(frames)}"})
    return rows


def point(
    clip: str, name: str, kind: str, quality: int, frames: Sequence[Frame], decoded: Sequence[Frame], bpp: float
) -> Row:
    psnr = statistics.mean(compare(a, b).psnr_611 for a, b in zip(frames, decoded, strict=True))
    numbers = {"quality": f"{quality}", "bpp": f"{bpp:.6f}", "psnr_611": f"{psnr:.4f}"}
    return {"clip": clip, "model": name, "arithmetic": kind, **numbers}


def summary(points: Sequence[Row]) -> list[list[str]]:
    """A row per clip and model, then the mean over clips."""
    rows, means = [], []
    for model in dict.fromkeys(row["model"] for row in points):
        of_model = [row for row in points if row["model"] == model]
        own = [_clip_row(clip, model, of_model) for clip in dict.fromkeys(row["clip"] for row in of_model)]
        rows += own
        averages = [f"{statistics.mean(float(row[column]) for row in own):.2f}" for column in range(2, 6)]
        means.append([f"mean of {len(own)}", model, *averages, ""])
    return rows + means


def _clip_row(clip: str, model: str, points: Sequence[Row]) -> list[str]:
    by = {kind: [r for r in points if r["clip"] == clip and r["arithmetic"] == kind] for kind in ("float", "integer")}
    files = [r for r in points if r["clip"] == clip and r["arithmetic"] == "file"]
    anchor, tested = ([(float(r["bpp"]), float(r["psnr_611"])) for r in rows] for rows in by.values())
    delta = bd_rate(anchor, tested)
    pairs = list(zip(files, by["integer"], strict=True))
    excess = [
        statistics.mean(abs(float(file[column]) / float(estimate["bpp"]) - 1) * 100 for file, estimate in pairs)
        for column in ("bpp", "payload_bpp")
    ]
    same = [sum(int(file["same_frames"].split("/")[part]) for file in files) for part in (0, 1)]
    numbers = [f"{number:.2f}" for number in (delta.percent, delta.overlap, *excess)]
    return [clip, model, *numbers, f"{same[0]}/{same[1]}"]


def read_weights(path: Path, skeleton: IntegerModel, clips: Path | None, cache: Path | None) -> Codec:
    """The codec, with a plan."""
    codec = read_codec(path, skeleton)
    if codec.plan is not None:
        return codec
    if clips is None:
        raise SystemExit(f"{path}: these weights have no plan yet; give --calibrate FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        known = build_cache(clips, cache or Path(folder))
        size = largest_size(known, CALIBRATION_FRAMES, CALIBRATION_SIZE)
        stage = Stage("calibration", SEQUENCES, CALIBRATION_FRAMES, size=size, encoder=True)
        calibrate(codec, [sequence_at(known, 0, stage, step) for step in range(SEQUENCES)], stage)
    return codec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--name", help="of the integer model; by default the weights' file's")
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--skeleton", default="skeleton")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--qualities", default="2,12,22,32,42,52,62")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="320x192")
    given = parser.parse_args()
    torch.set_num_threads(1)  # two wait for each other by spinning, which a busy machine makes very slow
    width, height = map(int, given.size.split("x"))
    codec = read_weights(given.weights, load_model(given.skeleton), given.calibrate, given.cache)
    model = lower(codec, given.name or given.weights.stem)
    adapter = QuaverAdapter(codec, tuple(map(int, given.qualities.split(","))))
    name = f"{model.name}-{model.hash.hex()[:8]}"
    first = comment(model, f"weights {weights_hash(codec)[:16]}", f"{given.frames} frames of {given.size}")
    points = read_table(given.out / "float_vs_integer_points.tsv")
    for clip in given.clips:
        if any((row["clip"], row["model"]) == (clip.stem, name) for row in points):
            continue
        frames = middle(read_clip(clip, given.frames), width, height)
        points += measure(clip.stem, frames, adapter, model, name)
        print(clip.stem, *_clip_row(clip.stem, name, [r for r in points if r["model"] == name])[2:], file=sys.stderr)
        table = [[row.get(column) or "" for column in POINTS] for row in points]
        write_table(given.out / "float_vs_integer_points.tsv", POINTS, table, first)
        write_table(given.out / "float_vs_integer.tsv", HEADER, summary(points), first)


if __name__ == "__main__":
    main()
