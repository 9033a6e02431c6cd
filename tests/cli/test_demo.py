"""The demo on a small clip: what it writes, and that the page needs nothing from outside."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import DEFAULT_MODEL
from quaver.media.reader import open_video
from quaver.runtime.model import load_model, save_model

from .conftest import Quaver
from .samples import clip, one_line


def test_everything_is_there(quaver: Quaver, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    outcome = quaver("demo", clip(tmp_path, count=6), "--out", out, "--frames", 4)
    assert outcome.code == 0 and outcome.err == ""
    for word in (f"quaver-{DEFAULT_MODEL}", "x264-ultrafast", "x264-medium", "PSNR", str(out / "index.html")):
        assert word in outcome.out
    assert sorted(path.name for path in out.iterdir()) == ["clip.mkv", "clip.qvr", "demo.png", "index.html"]
    with Decoder(out / "clip.qvr") as decoder, open_video(out / "clip.mkv") as video:
        pairs = list(zip(decoder, video, strict=True))
    assert len(pairs) == 4 and all(np.array_equal(a.y, b.y) for a, b in pairs)
    with av.open(str(out / "demo.png")) as picture:
        shown = next(picture.decode(video=0))
    assert shown.width >= 3 * 64 and shown.height >= 2 * 48


def test_the_page_stands_alone(quaver: Quaver, tmp_path: Path) -> None:
    quaver("demo", clip(tmp_path), "--out", tmp_path / "out", "--frames", 3)
    page = (tmp_path / "out" / "index.html").read_text()
    assert all(address.startswith("data:") for address in re.findall(r'(?:src|href)="([^"]*)', page))
    assert not any(word in page for word in ("<script", "<link", "@import", "url(", "href"))
    assert page.count("data:image/png;base64,") == 6 and page.count("<svg") == 2
    assert 'name="viewport"' in page
    assert "PSNR 6:1:1" in page and "(6 Y + U + V) / 8" in page


def test_a_model_that_is_not_installed(quaver: Quaver, tmp_path: Path) -> None:
    save_model(load_model(DEFAULT_MODEL), tmp_path / "mine.qvm")
    source = clip(tmp_path, count=2)
    assert quaver("demo", source, "--out", tmp_path / "out", "--model", tmp_path / "mine.qvm").code == 0


def test_no_clip_no_folder(quaver: Quaver, tmp_path: Path) -> None:
    one_line(quaver("demo", tmp_path / "missing.mp4", "--out", tmp_path / "out"), "missing.mp4")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    one_line(quaver("demo", clip(tmp_path, count=2), "--out", tmp_path / "file"), "file")
