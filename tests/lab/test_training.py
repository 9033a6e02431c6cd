"""`train` resumes exactly, logs what it did, and its weights lower to a model."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from quaver.errors import ModelError, UsageError
from quaver.lab.data.cache import ClipCache, build_cache
from quaver.lab.lower.command import lower_checkpoint
from quaver.lab.train.loop import train
from quaver.lab.train.recipes import Recipe, Stage, load_recipe
from quaver.media.writer import create_video
from quaver.runtime.model import load_model

from .test_integer_path import FORMAT, moving

RECIPE = Recipe(
    "test",
    "nano",
    (
        Stage("intra", 1, 1, ("intra",), size=32, batch=2),
        Stage("motion", 1, 2, ("motion",), size=32, batch=2, encoder=True),
        Stage("joint", 1, 2, size=32, batch=2, encoder=True, through_time=True),
        Stage("integer-aware", 2, 2, ("intra", "inter", "motion"), size=32, batch=1, encoder=True, integer=True),
    ),
    warmup=1,
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClipCache]:
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        with create_video(folder / f"clip_{seed}.mkv", FORMAT) as sink:
            for frame in moving(6, seed):
                sink.write(frame)
    return folder, build_cache(folder, folder / "cache")


@pytest.fixture(scope="module")
def finished(clips: tuple[Path, ClipCache], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    train(RECIPE, clips[1], load_model("skeleton"), out, save_every=100, validate_every=100)
    return out


def test_resuming_continues_exactly(clips: tuple[Path, ClipCache], finished: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)

    class Stop(Exception):
        pass

    def stop_after_three(progress: object) -> None:
        if getattr(progress, "step", 0) == 3:
            raise Stop

    with pytest.raises(Stop):
        train(RECIPE, clips[1], load_model("skeleton"), tmp_path, save_every=2, show=stop_after_three)
    train(RECIPE, clips[1], load_model("skeleton"), tmp_path, resume=True, save_every=100)
    for name in ("weights.safetensors", "ema.safetensors"):
        expected, got = load_file(finished / name), load_file(tmp_path / name)
        assert expected.keys() == got.keys()
        for key, value in expected.items():
            assert torch.equal(value, got[key]), key
    steps = [int(row["step"]) for row in csv.DictReader((tmp_path / "log.csv").open())]
    assert steps == list(range(RECIPE.steps))


def test_a_run_that_is_lost_ends(
    clips: tuple[Path, ClipCache], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step without a finite gradient is left out; where all have none the run ends, and its checkpoint stays."""
    stage = Stage("intra", 30, 1, ("intra",), size=32, batch=1)
    norms = iter([1.0, math.nan, 1.0, 1.0, *[math.nan] * 30])
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(next(norms)))
    with pytest.raises(ModelError, match=r"no finite gradient in 10 steps up to step 13 \(intra\)"):
        train(Recipe("lost", "nano", (stage,)), clips[1], load_model("skeleton"), tmp_path, save_every=4)
    assert all(bool(torch.isfinite(value).all()) for value in load_file(tmp_path / "ema.safetensors").values())


def test_another_recipe_cannot_resume(clips: tuple[Path, ClipCache], finished: Path) -> None:
    other = Recipe("other", "nano", RECIPE.stages)
    with pytest.raises(ModelError, match="another recipe"):
        train(other, clips[1], load_model("skeleton"), finished, resume=True)


def test_logs(finished: Path) -> None:
    rows = list(csv.DictReader((finished / "log.csv").open()))
    assert [row["stage"] for row in rows] == ["intra", "motion", "joint", "integer-aware", "integer-aware"]
    assert all(float(row["rate"]) > 0 for row in rows) and rows[-1]["validation"]
    assert list((finished / "events").iterdir())


def test_weights_lower(clips: tuple[Path, ClipCache], finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.qvm"
    model = lower_checkpoint(finished / "ema.safetensors", out, clips[0], "skeleton", "m", 1, clips[0] / "cache")
    assert out.exists() and len(model.graphs) == 12


def test_recipes() -> None:
    recipe = load_recipe("small")
    assert recipe.rate_at(0) < recipe.rate_at(1000) and recipe.rate_at(recipe.steps) == 0
    with pytest.raises(UsageError, match="known: tiny"):
        load_recipe("tremendous")


def test_a_checkpoint_that_is_damaged(clips: tuple[Path, ClipCache], finished: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes((finished / "last.pt").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"last\.pt: not a checkpoint"):
        train(RECIPE, clips[1], load_model("skeleton"), tmp_path, resume=True)


_ONE_STEP = """
import resource, sys
from pathlib import Path
import torch
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.weights import save_weights
from quaver.runtime.model import load_model
from quaver.lab.train.loop import _save
from quaver.lab.train.recipes import load_recipe
codec = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    if sys.argv[2] == "weights":
        save_weights(codec, Path(sys.argv[1]) / "weights.safetensors")
    else:
        _save(Path(sys.argv[1]), load_recipe("nano"), codec, codec, torch.optim.AdamW(codec.parameters()), 1)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("what", ["weights", "checkpoint"])
def test_a_full_disk(tmp_path: Path, what: str) -> None:
    """Stood for by a limit on the size of files: one line, and nothing unfinished left."""
    done = subprocess.run([sys.executable, "-c", _ONE_STEP, tmp_path, what], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MediaError") and "cannot write" in done.stdout and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())
