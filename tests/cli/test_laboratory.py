"""The laboratory from the shell: weights to a decoded file, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.allocate.samples import PRESET
from lab.data.samples import write_photo, write_video
from quaver.codec.decoder import Decoder
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import save_weights
from quaver.lab.quant.plan import QuantPlan
from quaver.media.reader import open_video
from quaver.runtime.model import load_model, read_model

from .conftest import Quaver
from .samples import one_line

ANALYSE = ("--bits", "3,6", "--mode", "add", "--frames", 2, "--drift-frames", 0, "--clips", 1, "--size", 32,
           "--lambdas", "32", "--no-proxies", "--layers", "inter.decoder.*")  # fmt: skip
SCORE = ("--clips", 1, "--frames", 2, "--size", 32)


def soft(frames: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pattern that moves."""
    y, x = np.mgrid[:height, :width]
    luma = np.stack([128 + 60 * np.sin((x + 2 * t) / 5) * np.cos((y - t) / 4) for t in range(frames)])
    luma = luma.round().astype(np.uint8)
    return luma, luma[:, ::2, ::2] // 2 + 60, luma[:, ::2, ::2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights, and a folder with a video."""
    torch.set_num_threads(1)
    torch.manual_seed(4)
    folder = tmp_path_factory.mktemp("laboratory")
    codec = Codec(PRESET, load_model("skeleton"))
    for parameter in codec.parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=0.05)
    save_weights(codec, folder / "w.safetensors")
    write_video(folder / "videos/a.mkv", soft(5, 48, 64))
    return folder / "w.safetensors", folder / "videos"


@pytest.fixture(scope="module")
def broken(files: tuple[Path, Path]) -> Path:
    """Weights of which one is not a number."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    state, path = load_file(files[0]), files[0].with_name("nan.safetensors")
    next(value for name, value in state.items() if "inter.decoder" in name and value.ndim == 4)[0] = float("nan")
    with safe_open(files[0], "pt") as file:
        save_file(state, path, dict(file.metadata()))
    return path


def test_from_weights_to_a_decoded_file(quaver: Quaver, files: tuple[Path, Path], tmp_path: Path) -> None:
    weights, videos = files
    steps = (
        ("analyse", weights, "--data", videos, "--out", tmp_path / "analysis", *ANALYSE),
        ("allocate", tmp_path / "analysis", "--model", weights, "--budget", "avg_bits=6.9",
         "--out", tmp_path / "p.json"),
        ("score", weights, "--plan", tmp_path / "p.json", "--data", videos, *SCORE),
        ("quantize", weights, tmp_path / "m.qvm", "--plan", tmp_path / "p.json", "--calibrate", videos,
         "--sequences", 1),
        ("encode", videos / "a.mkv", tmp_path / "a.qvr", "--model", tmp_path / "m.qvm"),
        ("decode", tmp_path / "a.qvr", tmp_path / "a.y4m", "--model", tmp_path / "m.qvm"),
    )  # fmt: skip
    for step in steps:
        done = quaver(*step)
        assert done.code == 0, (step[0], done.err)
    plan = QuantPlan.load(tmp_path / "p.json")
    assert plan.predicted["avg_bits"] <= 6.9 and (tmp_path / "analysis/report.html").is_file()
    with Decoder(tmp_path / "a.qvr", read_model(tmp_path / "m.qvm"), "onnx-f32") as decoder:
        expected = list(decoder)
    with open_video(tmp_path / "a.y4m") as video:
        decoded = list(video)
    assert len(decoded) == len(expected) == 5
    for ours, theirs in zip(decoded, expected, strict=True):
        np.testing.assert_array_equal(ours.y, theirs.y)
        np.testing.assert_array_equal(ours.v, theirs.v)


def test_a_second_score_is_the_same_and_says_what_it_depends_on(
    quaver: Quaver, files: tuple[Path, Path], tmp_path: Path
) -> None:
    command = ("score", files[0], "--plan", "W4A6", "--data", files[1], "--cache", tmp_path, "--json", *SCORE)
    first, second = (json.loads(quaver(*command).out) for _ in range(2))
    assert first == second and np.isfinite(first["zeta"])
    assert len(list((tmp_path / "scores").rglob("*.npz"))) == 3
    assert {"config", "model_hash", "clips", "environment", "hash"} <= first["manifest"].keys()


def plan_file(path: Path, **changes: object) -> Path:
    plan = json.loads(QuantPlan.uniform(["contextual.enter"], 4, 8).to_json())
    path.write_text(json.dumps(plan | changes))
    return path


@pytest.mark.parametrize("command", ["score", "quantize"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_hash": "f" * 64}, "was made for other weights"),
        ({"version": 99}, "plan version 99; this version reads 1"),
        ({"layers": 3}, "not a quantization plan"),
        ({}, "the codec has no layer 'contextual.enter'"),
    ],
)
def test_a_plan_of_something_else(
    quaver: Quaver, files: tuple[Path, Path], tmp_path: Path, command: str, changes: dict[str, object], words: str
) -> None:
    plan, out = plan_file(tmp_path / "p.json", **changes), tmp_path / "m.qvm"
    if command == "score":
        done = quaver("score", files[0], "--plan", plan, "--data", files[1], *SCORE)
    else:
        done = quaver("quantize", files[0], out, "--plan", plan, "--calibrate", files[1], "--sequences", 1)
    one_line(done, words)
    assert not list(tmp_path.glob("m*"))


def test_no_usable_video(quaver: Quaver, files: tuple[Path, Path], tmp_path: Path) -> None:
    weights, empty, photos = files[0], tmp_path / "empty", tmp_path / "photos"
    empty.mkdir()
    (empty / "a.mp4").write_text("no video")
    write_photo(photos / "a.png", 48, 64)
    for folder, words in ((empty, "no usable video"), (photos, "none of the 0 videos"), (tmp_path / "x", "no")):
        out = tmp_path / "out"
        for done in (
            quaver("score", weights, "--plan", "W4A8", "--data", folder, *SCORE),
            quaver("analyse", weights, "--data", folder, "--out", out, *ANALYSE),
        ):
            assert done.code == 2 and words in done.err.splitlines()[-1] and "Traceback" not in done.err
        assert not list(tmp_path.rglob("sensitivity*"))
    done = quaver("quantize", weights, tmp_path / "m.qvm", "--plan", "W4A8", "--calibrate", empty)
    assert done.code == 2 and "no usable video" in done.err and not (tmp_path / "m.qvm").exists()


def test_what_is_no_number(quaver: Quaver, files: tuple[Path, Path], broken: Path, tmp_path: Path) -> None:
    for done in (
        quaver("score", broken, "--plan", "W4A8", "--data", files[1], *SCORE),
        quaver("analyse", broken, "--data", files[1], "--out", tmp_path / "out", *ANALYSE),
        quaver("quantize", broken, tmp_path / "m.qvm", "--plan", "W4A8", "--calibrate", files[1], "--sequences", 1),
    ):
        one_line(done, "inter.decoder", "not a number")
    assert not list(tmp_path.rglob("sensitivity*")) and not (tmp_path / "m.qvm").exists()


def test_layers_and_budgets_that_are_not_there(quaver: Quaver, files: tuple[Path, Path], tmp_path: Path) -> None:
    weights, videos = files
    wrong = (*ANALYSE[:-1], "contextual.*")
    done = quaver("analyse", weights, "--data", videos, "--out", tmp_path / "out", *wrong)
    assert done.code == 2 and "no call site is named 'contextual.*'" in done.err
    assert not list(tmp_path.rglob("sensitivity*"))
    done = quaver(
        "allocate", tmp_path / "out", "--model", weights, "--budget", "bytes=60%", "--out", tmp_path / "p.json"
    )
    one_line(done, "cannot read the table")
    assert not (tmp_path / "p.json").exists()
