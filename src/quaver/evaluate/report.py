"""What a set of points says: BD-rates and rate-distortion plots."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from quaver.evaluate.bdrate import bd_rate
from quaver.evaluate.output import replacing
from quaver.evaluate.points import Point, write_table

_HEADER = ("clip", "codec", "anchor", "bd_rate_percent", "overlap")


def curves(points: Sequence[Point]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """clip -> codec -> (bpp, psnr_611) by growing rate."""
    result: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for point in sorted(points, key=lambda p: p.bpp):
        result[point.clip][point.codec].append((point.bpp, point.psnr_611))
    return result


def delta_rows(points: Sequence[Point]) -> list[tuple[str, str, str, str, str]]:
    """Each codec against each peer on each clip, then mean and median over clips."""
    table = curves(points)
    codecs = list(dict.fromkeys(point.codec for point in points))
    anchors = [codec for codec in codecs if not codec.startswith("quaver")]
    rows = []
    for codec in codecs:
        for anchor in anchors:
            if codec == anchor:
                continue
            values = []
            for clip, by_codec in table.items():
                if codec not in by_codec or anchor not in by_codec:
                    continue
                delta = bd_rate(by_codec[anchor], by_codec[codec])
                values.append(delta.percent)
                rows.append((clip, codec, anchor, f"{delta.percent:.2f}", f"{delta.overlap:.2f}"))
            legal = [value for value in values if value == value]
            for name, function in (("mean", statistics.mean), ("median", statistics.median)):
                if legal:
                    rows.append((name, codec, anchor, f"{function(legal):.2f}", f"{len(legal)}/{len(values)} clips"))
    return rows


def write_report(points: Sequence[Point], out: Path, comment: str) -> None:
    """bdrate.tsv and rd.png in `out`."""
    write_table(out / "bdrate.tsv", _HEADER, delta_rows(points), comment)
    plot(points, out / "rd.png")


def plot(points: Sequence[Point], path: Path) -> None:
    """One panel per clip, PSNR over rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = curves(points)
    columns = min(3, len(table))
    rows = -(-len(table) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.6 * columns, 3.6 * rows), squeeze=False)
    for axis in axes.flat[len(table) :]:
        axis.set_visible(False)
    colours = {codec: f"C{number}" for number, codec in enumerate(dict.fromkeys(point.codec for point in points))}
    for axis, (clip, by_codec) in zip(axes.flat, table.items(), strict=False):
        for codec, curve in by_codec.items():
            ours = codec.startswith("quaver")
            axis.plot(
                *zip(*curve, strict=True),
                marker="o",
                markersize=3,
                color=colours[codec],
                label=codec,
                linewidth=2 if ours else 1,
            )
        axis.set_xscale("log")
        axis.set_title(clip, fontsize=9)
        axis.grid(True, alpha=0.3)
        axis.set_xlabel("bits per pixel")
        axis.set_ylabel("PSNR 6:1:1, dB")
    axes.flat[0].legend(fontsize=7)
    figure.tight_layout()
    with replacing(path) as part:
        figure.savefig(part, dpi=110, format="png")
    pyplot.close(figure)
