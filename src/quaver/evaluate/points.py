"""Measured points: one clip, one codec, one quality; kept in a table that a run can continue."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from quaver.errors import UsageError
from quaver.evaluate.output import replacing


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
    """Tab-separated, written beside and renamed; `comment` becomes a first line that begins with #."""
    with replacing(path) as part, part.open("w", newline="") as file:
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
