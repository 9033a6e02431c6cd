"""The demo's page: one HTML file without outside resources."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quaver.media.frame import Frame
from quaver.media.png import encode_png

if TYPE_CHECKING:
    from quaver.evaluate.demo import Outcome

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1b1f24;
  background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .9rem .25rem 0; text-align: right; }
td:first-child, th:first-child { text-align: left; } th { border-bottom: 1px solid #bbb; font-weight: 600; }
.wide { overflow-x: auto; }
figure { margin: 0; } img { display: block; max-width: 100%; height: auto; }
.tabs label { display: inline-block; padding: .4rem .9rem; cursor: pointer; border-bottom: 3px solid transparent; }
.tabs input { position: absolute; opacity: 0; }
.tabs figure { display: none; }
.tabs input:focus-visible + label { outline: 2px solid #1f6feb; }
"""
_COLOURS = ("#1f6feb", "#9a9a9a", "#d1495b", "#2a9d8f")


def render(title: str, results: Sequence[Outcome], pictures: Sequence[tuple[str, Frame]]) -> str:
    """The page as a string: pictures to switch between, numbers, PSNR over time."""
    rows = "".join(
        f"<tr><td>{html.escape(r.name)}</td><td>{r.bytes / 1000:.1f}</td><td>{r.bpp:.4f}</td>"
        f"<td>{r.psnr_611:.2f}</td><td>{r.encode_fps:.1f}</td><td>{r.decode_fps:.1f}</td></tr>"
        for r in results
    )
    count = len(results[0].per_frame)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Quaver: {html.escape(title)}</title><style>{_STYLE}{_switches(len(pictures))}</style>
<h1>{html.escape(title)}, {count} frames</h1>
<p>The same frame from each codec, at about the same file size. Choose one; flip between them to see what each lost.</p>
<div class="tabs">{_tabs(pictures)}</div>
<h2>Numbers</h2>
<div class="wide"><table><tr><th>codec</th><th>kB</th><th>bits per pixel</th><th>PSNR 6:1:1, dB</th><th>encode fps</th>
<th>decode fps</th></tr>{rows}</table></div>
<h2>PSNR by frame, dB</h2>
<div class="wide">{_chart(results)}</div>
<p>x264: one thread, tuned for PSNR, no B frames, no look-ahead. Quaver: the integer codec, decoded from its file.
Speeds are of this run on this machine.</p>
</html>
"""


def _switches(count: int) -> str:
    return "".join(
        f"#p{n}:checked ~ #f{n} {{ display: block; }} #p{n}:checked + label {{ border-color: #1f6feb; }}\n"
        for n in range(count)
    )


def _tabs(pictures: Sequence[tuple[str, Frame]]) -> str:
    choices, figures = [], []
    for number, (name, frame) in enumerate(pictures):
        checked = " checked" if number == 1 else ""
        choices.append(
            f'<input type="radio" name="p" id="p{number}"{checked}><label for="p{number}">{html.escape(name)}</label>'
        )
        data = base64.b64encode(encode_png(frame.to_rgb())).decode()
        figures.append(
            f'<figure id="f{number}"><img alt="{html.escape(name)}" src="data:image/png;base64,{data}"></figure>'
        )
    return "".join(choices + figures)


def _chart(results: Sequence[Outcome]) -> str:
    """PSNR over frames as SVG."""
    width, height, left, bottom = 720, 240, 40, 24
    values = [value for r in results for value in r.per_frame]
    low, high = int(min(values)), int(max(values)) + 1
    count = max(2, len(results[0].per_frame))

    def at(t: int, value: float) -> str:
        x = left + (width - left - 130) * t / (count - 1)
        return f"{x:.1f},{(height - bottom) * (high - value) / (high - low) + 6:.1f}"

    parts = []
    for tick in range(low, high + 1, max(1, (high - low) // 5)):
        x, y = at(0, tick).split(",")
        end = at(count - 1, tick).split(",")[0]
        parts.append(f'<line x1="{x}" y1="{y}" x2="{end}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y) + 4:.0f}" text-anchor="end">{tick}</text>')
    for r, colour in zip(results, _COLOURS, strict=False):
        line = " ".join(at(t, value) for t, value in enumerate(r.per_frame))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for number, (r, colour) in enumerate(zip(results, _COLOURS, strict=False)):
        parts.append(f'<text x="{width - 120}" y="{20 + 18 * number}" fill="{colour}">{html.escape(r.name)}</text>')
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        f' aria-label="PSNR by frame" style="font-size:12px">{body}</svg>'
    )
