"""The demo's page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quaver.evaluate import montage
from quaver.evaluate.chart import Series, line_chart
from quaver.media.frame import Frame
from quaver.media.png import encode_png

if TYPE_CHECKING:
    from quaver.evaluate.demo import Outcome

_STYLE = """
:root { --ink: #1c2126; --soft: #5d6670; --line: #d9dde1; --paper: #fff;
  --c0: #1f66d1; --c1: #a3690b; --c2: #8a3d7c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --soft: #9aa4ad; --line: #363c43; --paper: #16191d;
    --c0: #6ea8fe; --c1: #e0aa4e; --c2: #d68bc8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 62rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
p { margin: .3rem 0 .9rem; max-width: 44rem; } .soft, figcaption { color: var(--soft); font-size: .9rem; }
img { display: block; width: 100%; height: auto; } figure { margin: 0; }
.flip { display: flex; flex-wrap: wrap; }
.flip input { position: absolute; opacity: 0; }
.flip label { padding: .45rem 0 .4rem; margin-right: 1.2rem; cursor: pointer; border-bottom: 3px solid transparent; }
.flip input:focus-visible + label { outline: 2px solid var(--c0); }
.flip figure { display: none; order: 1; width: 100%; }
.flip figcaption { margin: .6rem 0 .3rem; } .flip figcaption + img { image-rendering: pixelated; }
.charts { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1rem .3rem 0; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--soft); } .grid { stroke: var(--line); }
polyline { fill: none; stroke-width: 2; } .key { font-weight: 600; margin-right: 1rem; white-space: nowrap; }
"""
_COLOURS = 3  # as many as --c0, --c1, ... above


def render(
    title: str, results: Sequence[Outcome], pictures: Sequence[tuple[str, Frame]], part: montage.Part, credit: str
) -> str:
    """The page: `pictures` by name to flip between, and the `part` of them enlarged; `results` as numbers and
    curves, Quaver's first. `credit` is plain text."""
    count, name = len(results[0].per_frame), html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quaver: {name}</title>
<style>{_STYLE}{_switches(len(pictures))}</style>
</head>
<body>
<h1>{name}: {count} frames through Quaver and x264</h1>
<p>All at about the same number of bytes. Below is frame {count // 2} of each; flip between them (arrow keys do, too)
to see what was lost.</p>
<div class="flip">{_flip(pictures, part)}</div>
<h2>Numbers</h2>
<div class="wide"><table>
<tr><th>codec</th><th>kB</th><th>bpp</th><th>PSNR 6:1:1, dB</th><th>encode fps</th><th>decode fps</th></tr>
{_rows(results)}
</table></div>
<p class="soft">bpp: bits per pixel. PSNR 6:1:1: of the three planes of each frame,
(6 Y + U + V) / 8, and the mean of that over frames; more is closer to the original.
Speeds are of this run on this machine, one thread each.</p>
<h2>Curves</h2>
<p>{_key(results)}</p>
<div class="charts">{_charts(results)}</div>
<h2>How this was made</h2>
<p>Quaver: the integer codec, encoded to a file, decoded from that file, every frame's checksum compared; its bytes
are the whole file's. x264: one thread, tuned for PSNR, no B frames, no look-ahead; its bytes are the elementary
stream's, at the rate factor that comes nearest to Quaver's size. An intra frame every 32 frames in both; Quaver adds
one at a scene cut.</p>
<p class="soft">{html.escape(credit)}</p>
</body>
</html>
"""


def _switches(count: int) -> str:
    """What the chosen picture and the curves' colours need, by number."""
    shown = (
        f"#p{n}:checked ~ #f{n} {{ display: block; }}\n#p{n}:checked + label {{ border-color: var(--c0); }}\n"
        for n in range(count)
    )
    coloured = (
        f".series-{n} {{ stroke: var(--c{n}); }} circle.series-{n} {{ fill: var(--c{n}); }}"
        f" .key-{n} {{ color: var(--c{n}); }}\n"
        for n in range(_COLOURS)
    )
    return "".join([*shown, *coloured])


def _flip(pictures: Sequence[tuple[str, Frame]], part: montage.Part) -> str:
    """Each picture, and under it its part, one at a time."""
    caption = "<figcaption>A ninth of it enlarged: where the two codecs together lost most.</figcaption>"
    choices, figures = [], []
    for number, (name, frame) in enumerate(pictures):
        label, checked = html.escape(name), " checked" if number == 1 else ""
        choices.append(f'<input type="radio" name="p" id="p{number}"{checked}><label for="p{number}">{label}</label>')
        images = _image(montage.whole(frame), label), _image(montage.enlarged(frame, part), f"{label}, enlarged")
        figures.append(f'<figure id="f{number}">{caption.join(images)}</figure>')
    return "".join(choices + figures)


def _image(rgb: montage.RGB, text: str) -> str:
    data = base64.b64encode(encode_png(rgb)).decode()
    return f'<img alt="{text}" src="data:image/png;base64,{data}">'


def _rows(results: Sequence[Outcome]) -> str:
    return "\n".join(
        f"<tr><td>{html.escape(r.name)}</td><td>{r.bytes / 1000:.1f}</td><td>{r.bpp:.4f}</td>"
        f"<td>{r.psnr_611:.2f}</td><td>{r.encode_fps:.1f}</td><td>{r.decode_fps:.1f}</td></tr>"
        for r in results
    )


def _key(results: Sequence[Outcome]) -> str:
    return " ".join(f'<span class="key key-{n}">{html.escape(r.name)}</span>' for n, r in enumerate(results))


def _charts(results: Sequence[Outcome]) -> str:
    """PSNR over rate, near the rate compared, and PSNR over time."""
    rate = results[0].bpp
    curves = [[p for p in r.curve if rate / 3 <= p[0] <= rate * 3] or [(r.bpp, r.psnr_611)] for r in results]
    near = [Series(r.name, curve, marked=len(curve) > 1) for r, curve in zip(results, curves, strict=True)]
    over_time = [Series(r.name, list(enumerate(r.per_frame))) for r in results]
    charts = (near, "bits per pixel", "over rate"), (over_time, "frame", "by frame")
    return "".join(
        f"<figure>{line_chart(series, unit, 'PSNR 6:1:1, dB')}<figcaption>PSNR 6:1:1 (dB) {how}</figcaption></figure>"
        for series, unit, how in charts
    )
