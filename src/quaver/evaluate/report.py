"""What a set of points says: BD-rates and rate-distortion plots."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from quaver.evaluate.bdrate import bd_rate
from quaver.evaluate.output import replacing
from quaver.evaluate.points import Point, write_table

_HEADER = ("clip", "codec", "anchor", "bd_rate_percent", "overlap")


def curves(points: Sequence[Point]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """clip -> codec -> (bpp, psnr_611) by growing rate; clips and codecs in the order of the points."""
    result: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        result[point.clip][point.codec].append((point.bpp, point.psnr_611))
    return {clip: {codec: sorted(curve) for codec, curve in codecs.items()} for clip, codecs in result.items()}


def delta_rows(points: Sequence[Point]) -> list[tuple[str, str, str, str, str]]:
    """BD-rates of Quaver against every peer and of every pair of peers: mean and median over clips, then clips."""
    table = curves(points)
    codecs = list(dict.fromkeys(point.codec for point in points))
    peers = [codec for codec in codecs if not codec.startswith("quaver")]
    pairs = [(codec, peer) for codec in codecs if codec not in peers for peer in peers]
    summary, rows = [], []
    for codec, anchor in [*pairs, *combinations(peers, 2)]:
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
                of = f"{len(legal)}/{len(values)} clips"
                summary.append((name, codec, anchor, f"{function(legal):.2f}", of))
    return summary + rows


def write_report(points: Sequence[Point], out: Path, comment: str) -> None:
    """bdrate.tsv and rd.png in `out`; the comment gets what each of Quaver's models is."""
    ours = dict.fromkeys(f"{point.codec}: {point.options}" for point in points if point.codec.startswith("quaver"))
    write_table(out / "bdrate.tsv", _HEADER, delta_rows(points), "; ".join([comment, *ours]))
    plot(points, out / "rd.png")


def plot(points: Sequence[Point], path: Path) -> None:
    """One panel per clip, PSNR over rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

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
        # 0.01, 0.02, 0.05, ...: matplotlib's own labels of small ranges run into each other.
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_title(clip, fontsize=9)
        axis.grid(True, alpha=0.3)
        axis.set_xlabel("bits per pixel")
        axis.set_ylabel("PSNR 6:1:1, dB")
    axes.flat[0].legend(fontsize=7)
    figure.tight_layout()
    with replacing(path) as part:
        figure.savefig(part, dpi=110, format="png")
    pyplot.close(figure)
