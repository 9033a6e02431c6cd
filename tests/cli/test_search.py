"""`quaver search`: weights and a video in, plans out."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.allocate.samples import PRESET
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import save_weights
from quaver.lab.quant.plan import QuantPlan

from .conftest import Quaver
from .samples import clip, one_line


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(weights, a folder with one moving video of 8 frames)"""
    folder = tmp_path_factory.mktemp("search")
    codec = random_codec(PRESET, seed=0)
    save_weights(codec, folder / "weights.safetensors")
    (folder / "videos").mkdir()
    clip(folder / "videos", 48, 48, 8)
    return folder / "weights.safetensors", folder / "videos"


def test_one_plan_for_each_price(quaver: Quaver, where: tuple[Path, Path], tmp_path: Path) -> None:
    weights, videos = where
    options = ("--data", videos, "--steps", 2, "--clips", 1, "--crop", 32, "--out", tmp_path / "p.json")
    done = quaver("search", weights, *options, "--price", "0.1,1")
    assert done.code == 0, done.err
    plans = [QuantPlan.load(tmp_path / f"p-{price}.json") for price in ("0.1", "1")]
    assert [plan.budget["price"] for plan in plans] == [0.1, 1.0] and plans[0].model_hash
    again = quaver("search", weights, *options, "--price", "0.1,1")
    assert again.out == done.out and again.err.count("was searched before") == 2
    assert not list(tmp_path.glob("*.state"))
    done = quaver("search", weights, *options, "--budget", "avg_bits=6.5")
    assert done.code == 0, done.err
    assert QuantPlan.load(tmp_path / "p.json").predicted["avg_bits"] <= 6.5


def test_a_plan_with_groups_runs(quaver: Quaver, where: tuple[Path, Path], tmp_path: Path) -> None:
    weights, videos = where
    done = quaver("search", weights, "--data", videos, "--out", tmp_path / "p.json", "--steps", 1, "--clips", 1,
                  "--crop", 32, "--groups", "0.3")  # fmt: skip
    assert done.code == 0 and "a layer" in done.out, done.err
    plan = QuantPlan.load(tmp_path / "p.json")
    assert any(layer.groups for layer in plan.layers.values()) and plan.budget == {"price": 0.1, "group_price": 0.3}
    done = quaver("quantize", weights, tmp_path / "m.qvm", "--plan", tmp_path / "p.json", "--calibrate", videos,
                  "--sequences", 1)  # fmt: skip
    assert done.code == 0 and (tmp_path / "m.qvm").is_file(), done.err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--groups", "1", "--budget", "bytes=50%"),
        ("--price", "a"),
        ("--price", "-1"),
        ("--budget", "bits=4", "--crop", 32),
        ("--crop", 33),
    ],
)
def test_what_is_illegal(quaver: Quaver, where: tuple[Path, Path], tmp_path: Path, wrong: tuple[object, ...]) -> None:
    weights, videos = where
    done = quaver("search", weights, "--data", videos, "--out", tmp_path / "p.json", *wrong)
    one_line(done)
    assert not list(tmp_path.iterdir())
