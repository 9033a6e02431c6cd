"""How much quality is lost over a long group of pictures beside a codec that does not drift: drift.tsv.

One intra frame, then 95 inter frames. Drift is the mean over t = 89...96 minus the mean over t = 2...9 of
PSNR_Quaver(t) - PSNR_x264(t), 6:1:1 PSNR in dB, with x264 (medium, P frames only, the same QP in all frames) at the
same bytes: its PSNR is interpolated between the two neighbouring QPs in the logarithm of bytes. Negative is loss.
Both averages stand beside it, so that the intra frame's higher quality shows. Finished rows are kept.

usage: measure_drift.py CLIP... [--model NAME] [--out results] [--qualities 12,32,52]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance import comment

from quaver.codec.encoder import DEFAULT_MODEL
from quaver.evaluate import peers
from quaver.evaluate.metrics import compare
from quaver.evaluate.points import read_table, write_table
from quaver.evaluate.run import Setting, code_quaver, read_clip
from quaver.media.frame import Frame
from quaver.runtime.model import load_model

FRAMES, EARLY, LATE = 96, slice(1, 9), slice(88, 96)
FINEST, COARSEST = 1, 51  # QPs of x264 that are lossy
ANCHOR = peers.Peer(
    "x264-qp",
    "libx264",
    (
        ("preset", "medium"),
        ("tune", "psnr,zerolatency"),
        ("x264-params", "ipratio=1:keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:threads=1"),
    ),
    "h264",
    "qp",
)
HEADER = ("clip", "model", "quality", "bpp", "x264_qp", "psnr", "x264_psnr", "early_db", "late_db", "drift_db")
KEY = HEADER[:3]
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Curve:
    """A coded clip: its bytes and PSNR 6:1:1 of every frame in dB."""

    bytes: float
    psnr: tuple[float, ...]


def curve(frames: Sequence[Frame], coded: peers.Coded) -> Curve:
    return Curve(coded.bytes, tuple(compare(a, b).psnr_611 for a, b in zip(frames, coded.frames, strict=True)))


class Anchor:
    """x264 of one clip; every QP is coded once."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames, self._known = frames, dict[int, Curve]()

    def at(self, qp: int) -> Curve:
        if qp not in self._known:
            self._known[qp] = curve(self._frames, peers.code(ANCHOR, self._frames, qp, FRAMES))
        return self._known[qp]

    def of_size(self, size: int) -> tuple[float, Curve] | None:
        """The QP, between two whole ones, that takes `size` bytes, and its curve; None where no QP does."""
        qp = 30
        for _ in range(COARSEST):
            guess = qp + 6 * math.log2(self.at(qp).bytes / size)  # six steps of QP are about half the bytes
            qp = min(COARSEST - 1, max(FINEST, math.floor(guess) if abs(guess - qp) > 2 else qp))
            finer, coarser = self.at(qp), self.at(qp + 1)
            if finer.bytes >= size > coarser.bytes:
                part = math.log(finer.bytes / size) / math.log(finer.bytes / coarser.bytes)
                mixed = (a + part * (b - a) for a, b in zip(finer.psnr, coarser.psnr, strict=True))
                return qp + part, Curve(size, tuple(mixed))
            qp += 1 if size <= coarser.bytes else -1
            if not FINEST <= qp < COARSEST:
                return None
        return None


def row_of(clip: str, model: str, quality: int, ours: Curve, anchor: Anchor, area: int) -> Row:
    """A row of the table; without numbers of x264 where it has no such rate."""
    row = {"clip": clip, "model": model, "quality": f"{quality}", "bpp": f"{8 * ours.bytes / FRAMES / area:.5f}"}
    row["psnr"] = f"{statistics.mean(ours.psnr):.3f}"
    found = anchor.of_size(round(ours.bytes))
    if found is None:
        return row
    qp, theirs = found
    gain = [a - b for a, b in zip(ours.psnr, theirs.psnr, strict=True)]
    early, late = statistics.mean(gain[EARLY]), statistics.mean(gain[LATE])
    numbers = f"{qp:.2f}", f"{statistics.mean(theirs.psnr):.3f}", f"{early:.3f}", f"{late:.3f}", f"{late - early:.3f}"
    return row | dict(zip(("x264_qp", "x264_psnr", "early_db", "late_db", "drift_db"), numbers, strict=True))


def save(path: Path, rows: Sequence[Row], first: str) -> None:
    """Rows of clips, then means over clips of every model and quality."""
    means = []
    for model, quality in dict.fromkeys((row["model"], row["quality"]) for row in rows):
        same = [row for row in rows if (row["model"], row["quality"]) == (model, quality) and row.get("drift_db")]
        columns = ("early_db", "late_db", "drift_db")
        values = {name: f"{statistics.mean(float(row[name]) for row in same):.3f}" for name in columns if same}
        means.append({"clip": f"mean of {len(same)}", "model": model, "quality": quality, **values})
    write_table(path, HEADER, [[row.get(name, "") for name in HEADER] for row in [*rows, *means]], first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--qualities", default="12,32,52")
    given = parser.parse_args()
    model = load_model(given.model)
    name, path = f"{model.name}-{model.hash.hex()[:8]}", given.out / "drift.tsv"
    first = comment(model, f"{FRAMES} frames, x264: {ANCHOR.describe(0, FRAMES).replace('qp=0', 'qp=N')}")
    rows = [row for row in read_table(path) if not row["clip"].startswith("mean of")]
    known = {tuple(row[key] for key in KEY) for row in rows}
    for clip in given.clips:
        qualities = [q for q in map(int, given.qualities.split(",")) if (clip.stem, name, f"{q}") not in known]
        if not qualities:
            continue
        frames = read_clip(clip, FRAMES)
        if len(frames) < FRAMES:
            raise SystemExit(f"{clip}: {len(frames)} frames; drift needs {FRAMES}")
        anchor, area = Anchor(frames), frames[0].format.width * frames[0].format.height
        for quality in qualities:
            ours = curve(frames, code_quaver(frames, quality, given.model, Setting(FRAMES, FRAMES)))
            rows.append(row_of(clip.stem, name, quality, ours, anchor, area))
            print(*rows[-1].values(), sep="\t", file=sys.stderr)
            save(path, rows, first)


if __name__ == "__main__":
    main()
