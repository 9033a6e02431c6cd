"""What people do first: encode, look, decode, and get back what the encoder saw."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quaver.cli.quantize import quantize
from quaver.cli.train import train
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import DEFAULT_MODEL
from quaver.media.frame import Frame
from quaver.media.reader import open_video
from quaver.runtime.model import load_model, save_model

from .conftest import Quaver
from .samples import clip, stream


def same(got: list[Frame], expected: list[Frame]) -> bool:
    planes = [[(f.y, f.u, f.v) for f in frames] for frames in (got, expected)]
    return len(got) == len(expected) and all(
        np.array_equal(a, b) for x, y in zip(*planes, strict=True) for a, b in zip(x, y, strict=True)
    )


def read(path: Path) -> list[Frame]:
    with open_video(path) as video:
        return list(video)


def test_encode_says_what_it_made(quaver: Quaver, tmp_path: Path) -> None:
    target = tmp_path / "out.qvr"
    outcome = quaver("encode", clip(tmp_path), target, "--gop", 2, "--psnr", "--json")
    assert outcome.code == 0 and outcome.err == ""
    told = json.loads(outcome.out)
    assert told["frames"] == 5 and told["intra_frames"] == 3 and told["model"] == DEFAULT_MODEL
    assert told["bytes"] == target.stat().st_size
    assert told["bits_per_pixel"] == pytest.approx(8 * told["bytes"] / 5 / 64 / 48, abs=1e-5)
    assert told["kilobits_per_second"] == pytest.approx(told["bits_per_pixel"] * 64 * 48 * 25 / 1000, rel=0.01)
    assert 25 < told["psnr_611"] < 80
    sentence = quaver("encode", tmp_path / "clip.y4m", target)
    assert sentence.out == "" and "5 frames (1 intra)" in sentence.err and len(sentence.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.y4m", "out.qvr"]


def test_quality_costs_bytes(quaver: Quaver, tmp_path: Path) -> None:
    source, sizes = clip(tmp_path), []
    for quality in (0, 63):
        told = json.loads(quaver("encode", source, tmp_path / "out.qvr", "-q", quality, "--json").out)
        sizes.append(told["bytes"])
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("size", [(64, 48), (33, 17), (16, 16), (19, 64)])
def test_decode_gives_the_decoders_frames(quaver: Quaver, tmp_path: Path, size: tuple[int, int]) -> None:
    stream_path = tmp_path / "out.qvr"
    assert quaver("encode", clip(tmp_path, *size, count=3), stream_path).code == 0
    with Decoder(stream_path) as decoder:
        expected = list(decoder)
    for suffix in (".y4m", ".mkv"):
        told = json.loads(quaver("decode", stream_path, tmp_path / f"out{suffix}", "--json").out)
        assert told["frames"] == 3 and not told["lossy"]
        assert same(read(tmp_path / f"out{suffix}"), expected)


def test_mp4_is_said_to_be_lossy(quaver: Quaver, tmp_path: Path) -> None:
    source = stream(tmp_path)
    assert "H.264 is lossy" in quaver("decode", source, tmp_path / "out.mp4").err
    assert len(read(tmp_path / "out.mp4")) == 5
    assert json.loads(quaver("decode", source, tmp_path / "out.mp4", "--json").out)["lossy"]


@pytest.mark.parametrize("chosen", [(0, 2), (1, 3), (4, 5), (3, 9)])
def test_frames_chosen_by_number(quaver: Quaver, tmp_path: Path, chosen: tuple[int, int]) -> None:
    whole = stream(tmp_path, count=5, gop=2)
    with Decoder(whole) as decoder:
        expected = list(decoder)[slice(*chosen)]
    text = f"{chosen[0]}:{chosen[1]}"
    assert quaver("decode", whole, tmp_path / "part.y4m", "--frames", text).code == 0
    assert same(read(tmp_path / "part.y4m"), expected)
    told = json.loads(quaver("encode", clip(tmp_path), tmp_path / "part.qvr", "--frames", text, "--json").out)
    assert told["frames"] == len(expected)


def test_executors_agree(quaver: Quaver, tmp_path: Path) -> None:
    source, pictures = stream(tmp_path), []
    for name in ("onnx", "onnx-f32", "reference"):
        assert quaver("decode", source, tmp_path / f"{name}.y4m", "--executor", name).code == 0
        pictures.append((tmp_path / f"{name}.y4m").read_bytes())
    assert pictures[0] == pictures[1] == pictures[2]


def test_a_model_from_a_file(quaver: Quaver, tmp_path: Path) -> None:
    save_model(load_model(DEFAULT_MODEL), tmp_path / "mine.qvm")
    outcome = quaver("encode", clip(tmp_path), tmp_path / "out.qvr", "--model", tmp_path / "mine.qvm")
    assert outcome.code == 0
    assert quaver("decode", tmp_path / "out.qvr", tmp_path / "out.y4m", "--model", tmp_path / "mine.qvm").code == 0


def test_info_of_a_stream(quaver: Quaver, tmp_path: Path) -> None:
    source = stream(tmp_path, count=5, gop=3)
    told = json.loads(quaver("info", source, "--json").out)
    assert (told["width"], told["height"], told["frames"], told["intra_frames"]) == (64, 48, 5, 2)
    assert told["seconds"] == 0.2 and told["bytes"] == source.stat().st_size and told["model"] == DEFAULT_MODEL
    shown = quaver("info", source)
    assert shown.code == 0 and told["model_hash"] in shown.out


def test_info_of_a_model(quaver: Quaver, tmp_path: Path) -> None:
    model = load_model(DEFAULT_MODEL)
    save_model(model, tmp_path / "mine.qvm")
    told = json.loads(quaver("info", tmp_path / "mine.qvm", "--json").out)
    assert told["hash"] == model.hash.hex() and set(told["graphs"]) == set(model.graphs)


def test_info_of_an_installed_model(quaver: Quaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, as --model takes it; a file of that name comes first, and a folder does not stand in the way."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_MODEL).mkdir()
    told = json.loads(quaver("info", DEFAULT_MODEL, "--json").out)
    assert told["name"] == DEFAULT_MODEL and told["hash"] == load_model(DEFAULT_MODEL).hash.hex()
    (tmp_path / "skeleton").write_bytes(stream(tmp_path, count=2).read_bytes())
    assert json.loads(quaver("info", "skeleton", "--json").out)["frames"] == 2
    assert "nowhere" in quaver("info", "nowhere").err
    assert "No such file" in quaver("info", tmp_path / "folder" / DEFAULT_MODEL).err


def test_a_video_cut_short_is_said_to_be(quaver: Quaver, tmp_path: Path) -> None:
    source, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    assert quaver("decode", stream(tmp_path, count=20), source).code == 0
    cut.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert "promise" not in quaver("encode", source, tmp_path / "out.qvr").err
    assert "cut.mkv: its headers promise 20 frames" in quaver("encode", cut, tmp_path / "out.qvr").err


@pytest.mark.parametrize("command", [train, quantize])
def test_torch_has_one_thread_unless_told(command: Callable[..., None]) -> None:
    """A second thread that waits for a core others use makes a step several times longer."""
    assert inspect.signature(command).parameters["threads"].default == 1


def test_verify(quaver: Quaver) -> None:
    outcome = quaver("verify", "--executor", "reference", "--json")
    results = json.loads(outcome.out)
    assert outcome.code == 0 and results
    assert all(result["ok"] and result["executor"] == "reference" for result in results)
