"""What patch bits lose and save: results/patches.tsv, from real files of the clips given.

Tables by the integer programme and by chance under each budget (losses of classes from a file that
`quaver patches --scores` wrote), the same bits everywhere, and "still": no networks where nothing is coded and nothing
moves. zeta is the change of J over the rate of the model without a table. Decoding is timed in processor time, in turns
with the model without a table, with 0-bit patches left out and with them computed all the same. Rows that are there
are kept: run it again to go on.

usage: measure_patches.py MODEL CLIP... [--scores SCORES] [--budgets avg_bits=6] [--uniform 6,4] [--qualities 12,32]
       [--frames 17] [--turns 3] [--out results/patches.tsv]
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from provenance import comment
from turns import use_cores

from quaver.codec import frame_coder
from quaver.codec.decisions import lagrangian
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.evaluate.metrics import compare, mean_quality
from quaver.evaluate.points import write_table
from quaver.evaluate.run import read_clip
from quaver.lab.allocate.patch_scores import PatchScores
from quaver.lab.allocate.patch_table import Operations, allocate
from quaver.media.frame import Frame
from quaver.runtime.executors import patches as runners
from quaver.runtime.executors.patches import Band
from quaver.runtime.model import IntegerModel, load_model
from quaver.runtime.patches import FEATURES, FULL, NETWORKS, PatchTable

HEADER = (
    "table", "clip", "quality", "avg_bits", "skipped", "bytes", "psnr_611", "zeta", "ms_decode", "ms_all_computed",
    "ms_without_table", "model_hash",
)  # fmt: skip


def whole_map(active: np.ndarray, side: int, shape: tuple[int, int], halo: int) -> list[Band]:
    """In place of `bands`: 0-bit patches are computed and thrown away."""
    return [Band(0, shape[0], 0, shape[0], (slice(0, shape[1]),))]


class Watch:
    """Bits of all patches that were coded, to average."""

    def __init__(self, model: IntegerModel) -> None:
        self.maps: list[np.ndarray] = []
        macs = np.array([Operations.of(name, model.graphs[name]).macs for name in NETWORKS], float)
        self.weights = macs / macs.sum()

    def __call__(self, *arguments) -> np.ndarray:
        self.maps.append(WATCHED(*arguments))
        return self.maps[-1]

    def averages(self) -> tuple[float, float]:
        """(bits, share of multiplications that 0 bits would save at best)"""
        bits = np.mean([own.mean((1, 2)) for own in self.maps], axis=0)
        none = np.mean([(own == 0).mean((1, 2)) for own in self.maps], axis=0)
        return float(self.weights @ bits), float(self.weights @ none)


WATCHED = frame_coder.patch_bits


def encode(frames: Sequence[Frame], model: IntegerModel, quality: int) -> bytes:
    stream = io.BytesIO()
    with Encoder(stream, frames[0].format, quality, len(frames), model, False, threads=1) as encoder:
        for frame in frames:
            encoder.encode(frame)
    return stream.getvalue()


def decode(stream: bytes, model: IntegerModel) -> tuple[list[Frame], float]:
    """Frames, and milliseconds of processor time that an inter frame takes (median)."""
    frames, times, began = [], [], time.thread_time()
    for frame in Decoder(io.BytesIO(stream), model, threads=1):
        times.append(time.thread_time() - began)
        frames.append(frame)
        began = time.thread_time()
    return frames, 1000 * statistics.median(times[1:])


def cost(frames: Sequence[Frame], decoded: Sequence[Frame], size: int, quality: int) -> tuple[float, float]:
    """(J, R) in bits per luma sample of the whole file."""
    area = frames[0].y.size * len(frames)
    errors = {
        name: sum(
            float(np.square(getattr(a, name).astype(int) - getattr(b, name)).mean())
            for a, b in zip(frames, decoded, strict=True)
        )
        / len(frames)
        for name in "yuv"
    }
    distortion = (6 * errors["y"] + errors["u"] + errors["v"]) / 8
    return 8 * size / area + lagrangian(quality) * distortion, 8 * size / area


def tables(
    scores: PatchScores | None, model: IntegerModel, budgets: Sequence[str], widths: Sequence[int]
) -> dict[str, PatchTable | None]:
    """By name; None is the model without a table."""
    found: dict[str, PatchTable | None] = {"none": None}
    rest = dict.fromkeys(FEATURES, ()) | {"levels": (1,), "motion": (1,)}
    bits = np.full((4, len(NETWORKS)), FULL, np.uint8)
    bits[0] = 0
    found["still"] = PatchTable(rest, bits)
    for width in widths:
        found[f"uniform {width}"] = PatchTable(dict.fromkeys(FEATURES, ()), np.full((1, 3), width, np.uint8))
    for budget in budgets if scores is not None else ():
        for method in ("ilp", "random"):
            found[f"{method} {budget}"] = allocate(scores, model, [budget], method).table
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--budgets", default="avg_bits=6")
    parser.add_argument("--uniform", default="6,4")
    parser.add_argument("--qualities", default="12,32")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/patches.tsv"))
    given = parser.parse_args()
    use_cores(1)
    model = load_model(given.model)
    scores = None if given.scores is None else PatchScores.load(given.scores)
    source = [] if scores is None else [f"losses of classes from {scores.setting}"]
    first = comment(model, f"{given.frames} frames, one intra", *source)
    chosen = tables(scores, model, given.budgets.split(","), [int(width) for width in given.uniform.split(",")])
    rows: list[Sequence[object]] = []
    if given.out.exists():
        lines = [line.rstrip("\n").split("\t") for line in given.out.open() if not line.startswith("#")]
        rows = [tuple(line) for line in lines[1:] if line[-1] == model.hash.hex()[:16]]
    known = {tuple(map(str, row[:3])) for row in rows}
    for path in given.clips:
        frames = read_clip(path, given.frames)
        for quality in map(int, given.qualities.split(",")):
            plain = None
            for name, table in chosen.items():
                if plain is not None and (name, path.stem, str(quality)) in known:
                    continue
                own, watch = replace(model, patches=table), Watch(model)
                with mock.patch.object(frame_coder, "patch_bits", watch):
                    stream = encode(frames, own, quality)
                decoded, _ = decode(stream, own)
                j, rate = cost(frames, decoded, len(stream), quality)
                plain = plain or (j, rate, stream)
                times: list[tuple[float, float, float]] = []
                for _ in range(given.turns if table is not None and not table.bits.all() else 0):
                    left_out = decode(stream, own)[1]
                    with mock.patch.object(runners, "bands", whole_map):
                        computed = decode(stream, own)[1]
                    times.append((left_out, computed, decode(plain[2], model)[1]))
                medians = [f"{statistics.median(column):.1f}" for column in zip(*times, strict=True)] or [""] * 3
                bits, skipped = watch.averages() if watch.maps else (float(FULL), 0.0)
                psnr = mean_quality([compare(a, b) for a, b in zip(frames, decoded, strict=True)])[1]
                if (name, path.stem, str(quality)) in known:
                    continue
                rows.append(
                    (name, path.stem, quality, f"{bits:.2f}", f"{skipped:.3f}", len(stream), f"{psnr:.3f}",
                     f"{(j - plain[0]) / plain[1]:.4f}", *medians, model.hash.hex()[:16])
                )  # fmt: skip
                print(*rows[-1], sep="\t", flush=True)
                write_table(given.out, HEADER, rows, first)


if __name__ == "__main__":
    main()
