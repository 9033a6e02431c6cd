"""Measured points: one clip, one codec, one quality; kept in tables that a run can continue."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from quaver.errors import UsageError
from quaver.evaluate.metrics import Quality
from quaver.evaluate.output import replacing

_FRAME_KEY, _FRAME_VALUES = ("clip", "codec", "quality"), ("frame", "psnr_y", "psnr_u", "psnr_v")

FrameRows = dict[tuple[str, ...], list[tuple[str, ...]]]  # of each point: its rows of frames.tsv, without the key


@dataclass(frozen=True, slots=True)
class Point:
    """A row of points.tsv. Rates in bits per luma sample, times in seconds; ``quality`` is a CRF or a Quaver
    quality."""

    clip: str
    codec: str
    options: str
    quality: float
    frames: int
    bytes: int
    bpp: float
    psnr_y: float
    psnr_611: float
    encode_s: float
    decode_s: float

    @property
    def key(self) -> tuple[str, str, str, float, int]:
        return self.clip, self.codec, self.options, self.quality, self.frames


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], comment: str = "") -> None:
    """Tab-separated, written beside and renamed, in a folder that is made if there is none; `comment` becomes a first
    line that begins with #."""
    with replacing(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", newline="") as file:
            if comment:
                file.write(f"# {comment}\n")
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table that `write_table` wrote, by column; none without a file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"))


def read_points(path: Path) -> Iterator[Point]:
    """The points of an earlier run; none without a file."""
    kinds = {field.name: {"str": str, "int": int, "float": float}[str(field.type)] for field in fields(Point)}
    for row in read_table(path):
        try:
            yield Point(**{name: kind(row[name]) for name, kind in kinds.items()})
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(f"{path}: not a table of points ({error}); choose another --out") from error


def write_points(path: Path, points: Sequence[Point], comment: str) -> None:
    rounded = [[f"{v:.6g}" if isinstance(v, float) else v for v in asdict(point).values()] for point in points]
    write_table(path, [field.name for field in fields(Point)], rounded, comment)


def read_frames(path: Path) -> FrameRows:
    """The frames' PSNR of an earlier run; none without a file."""
    rows: FrameRows = {}
    try:
        for row in read_table(path):
            key = tuple(row[name] for name in _FRAME_KEY)
            rows.setdefault(key, []).append(tuple(row[name] for name in _FRAME_VALUES))
    except KeyError as error:
        raise UsageError(f"{path}: not a table of frames ({error}); choose another --out") from error
    return rows


def put_frames(rows: FrameRows, point: Point, qualities: Sequence[Quality]) -> None:
    """A point's frames, in place of those of an earlier one with the same clip, codec and quality."""
    values = [(str(t), *(f"{psnr:.4f}" for psnr in astuple(frame))) for t, frame in enumerate(qualities)]
    rows[point.clip, point.codec, f"{point.quality:g}"] = values


def write_frames(path: Path, rows: FrameRows, comment: str) -> None:
    lines = [(*key, *values) for key, frames in rows.items() for values in frames]
    write_table(path, _FRAME_KEY + _FRAME_VALUES, lines, comment)
