"""`quaver allocate` with groups, splits and pruned channels, and what is refused of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lab.allocate.samples import PRESET, table_of
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import save_weights
from quaver.lab.quant.plan import QuantPlan

from .conftest import Quaver
from .samples import clip, one_line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """w.safetensors, an analysis of one network, and a moving video."""
    torch.set_num_threads(1)
    where = tmp_path_factory.mktemp("options")
    codec = random_codec(PRESET, seed=0, spread=0.3)
    save_weights(codec, where / "w.safetensors")
    table_of(codec, only="inter.decoder").save(where / "analysis")
    (where / "videos").mkdir()
    clip(where / "videos", 48, 48, 6)
    return where


def test_one_programme_over_all_and_a_model_that_runs(quaver: Quaver, folder: Path, tmp_path: Path) -> None:
    out, weights, videos = tmp_path / "p.json", folder / "w.safetensors", folder / "videos"
    done = quaver("allocate", folder / "analysis", "--model", weights, "--out", out, "--profile", "bit-serial",
                  "--budget", "bops=97.5%", "--groups", "2", "--split", "0.2", "--prune", "1/2", "--data", videos,
                  "--clips", 1, "--frames", 2, "--crop", 32, "--cache", tmp_path / "cache")  # fmt: skip
    assert done.code == 0, done.err
    assert any((tmp_path / "cache").iterdir())
    for option in ("--groups", "--split", "--prune"):
        assert f"{option}: " in done.err and "measurements, about" in done.err
    plan = QuantPlan.load(out)
    assert plan.predicted["bops"] <= plan.budget["bops"] and {"zeta", "dR", "dD"} <= plan.measured.keys()
    assert any(layer.groups or layer.split or 0 in (layer.channel_bits or ()) for layer in plan.layers.values())
    note = json.loads((tmp_path / "p.manifest.json").read_text())
    assert note["config"]["split"] == [0.2] and note["config"]["prune"] == [0.5] and note["config"]["prune_clips"]
    done = quaver("quantize", weights, tmp_path / "m.qvm", "--plan", out, "--calibrate", videos, "--sequences", 1)
    assert done.code == 0 and (tmp_path / "m.qvm").is_file(), done.err


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--prune", "1/3"), "--prune needs --data"),
        (("--split", "0.05"), "--split needs --data"),
        (("--groups", "2"), "--groups needs --data"),
        (("--prune", "0,1/2", "--data", "videos"), "--prune 0,1/2: legal are shares between 0 and 1"),
        (("--prune", "half", "--data", "videos"), "--prune half: legal are shares"),
        (("--prune", "1/0", "--data", "videos"), "--prune 1/0: legal are shares"),
        (("--split", "5", "--data", "videos"), "--split 5: legal are shares"),
        (("--groups", "1", "--data", "videos"), "--groups 1: legal are numbers from 2 on"),
        (("--split", "0.05", "--data", "videos"), "profile 'onnx-cpu' knows no times of split channels"),
        (("--prune", "1/3", "--per", "module", "--data", "videos"), "not per module"),
    ],
)
def test_what_is_refused(quaver: Quaver, folder: Path, tmp_path: Path, wrong: tuple[str, ...], words: str) -> None:
    options = [folder / "videos" if word == "videos" else word for word in wrong]
    done = quaver("allocate", folder / "analysis", "--model", folder / "w.safetensors", "--out", tmp_path / "p.json",
                  "--budget", "bops=97%", "--clips", 1, "--frames", 2, "--crop", 32, *options)  # fmt: skip
    one_line(done, words)
    assert not list(tmp_path.iterdir())
