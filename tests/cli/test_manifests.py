"""The same manifest gives the same plan and the same model, and a manifest names no folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.allocate.samples import PRESET, table_of
from quaver.codec import conformance
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import read_codec, save_weights, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model, read_model

from .conftest import Quaver
from .samples import clip


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with w.safetensors, its sensitivity table in analysis, and a video in videos."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("manifests")
    codec = random_codec(PRESET, seed=0)
    save_weights(codec, folder / "w.safetensors")
    table_of(codec).save(folder / "analysis")
    (folder / "videos").mkdir()
    clip(folder / "videos", 48, 48, 5)
    return folder


def note(path: Path, *folders: Path) -> dict[str, Any]:
    """A manifest, whole."""
    text = path.read_text()
    assert not any(str(folder) in text for folder in folders)
    found = json.loads(text)
    assert {"command", "config", "model_hash", "environment", "threads", "hash", "result"} <= found.keys()
    return dict(found)


def allocated(quaver: Quaver, where: Path, out: Path, *more: object) -> tuple[dict[str, Any], QuantPlan]:
    done = quaver("allocate", where / "analysis", "--model", where / "w.safetensors", "--out", out, *more)
    assert done.code == 0, done.err
    return note(out.with_name(f"{out.stem}.manifest.json"), where, out.parent), QuantPlan.load(out)


def test_plans_of_the_programme(quaver: Quaver, where: Path, tmp_path: Path) -> None:
    first, second = (allocated(quaver, where, tmp_path / f"{n}.json", "--budget", "bops=85%") for n in "ab")
    assert first[0] == second[0] and first[1].layers == second[1].layers
    assert first[0]["result"] == {"plan_hash": first[1].hash}
    assert first[0]["model_hash"] == first[1].model_hash
    other, _ = allocated(quaver, where, tmp_path / "c.json", "--budget", "bops=84%")
    assert other["hash"] != first[0]["hash"]


def test_a_front(quaver: Quaver, where: Path, tmp_path: Path) -> None:
    done = quaver("allocate", where / "analysis", "--model", where / "w.safetensors", "--out", tmp_path / "f.json",
                  "--front", "avg_bits", "--points", 2)  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "f.manifest.json").read_text())
    assert found["config"]["front"] == "avg_bits" and found["table_hash"]


def test_plans_of_the_search(quaver: Quaver, where: Path, tmp_path: Path) -> None:
    notes, plans = [], []
    for out in (tmp_path / "a.json", tmp_path / "b.json"):
        done = quaver("search", where / "w.safetensors", "--data", where / "videos", "--out", out, "--steps", 2,
                      "--clips", 1, "--crop", 32, "--price", "0.3")  # fmt: skip
        assert done.code == 0, done.err
        notes.append(note(out.with_name(f"{out.stem}.manifest.json"), where, tmp_path))
        plans.append(QuantPlan.load(out))
    assert notes[0] == notes[1] and plans[0].layers == plans[1].layers
    assert notes[0]["config"]["cost_price"] == 0.3 and notes[0]["result"] == {"plan_hash": plans[0].hash}


def test_training(quaver: Quaver, where: Path, tmp_path: Path) -> None:
    """The same manifest, the same weights; a run that another code or machine began says so."""
    stage = {"name": "joint", "steps": 1, "frames": 2, "size": 32, "batch": 1, "trains": ["intra", "inter"]}
    recipe = {"name": "one", "preset": "nano", "stages": [stage]}
    (tmp_path / "one.json").write_text(json.dumps(recipe))
    notes = []
    for out in (tmp_path / "a", tmp_path / "b"):
        given = (
            "train",
            tmp_path / "one.json",
            "--data",
            where / "videos",
            "--from",
            where / "w.safetensors",
            "--out",
            out,
        )
        done = quaver(*given)
        assert done.code == 0, done.err
        notes.append(note(out / "manifest.json", where, tmp_path))
    assert notes[0] == notes[1]
    trained = weights_hash(read_codec(tmp_path / "a/ema.safetensors", load_model("skeleton")))
    assert notes[0]["result"] == {"earlier": [], "model_hash": trained}
    (tmp_path / "a/manifest.json").write_text(json.dumps({"hash": "another"}))
    assert quaver(*given[:-1], tmp_path / "a", "--resume").code == 0
    assert note(tmp_path / "a/manifest.json")["result"]["earlier"] == ["another"]
    recipe["name"] = "two"
    (tmp_path / "one.json").write_text(json.dumps(recipe))
    assert quaver(*given, "--resume").code != 0
    assert note(tmp_path / "b/manifest.json") == notes[1]  # what cannot go on leaves it alone


def test_models(quaver: Quaver, where: Path, tmp_path: Path) -> None:
    notes, hashes = [], []
    for folder, plan in ((tmp_path / "a", "W4A8"), (tmp_path / "b", "W4A8"), (tmp_path / "c", "W5A8")):
        folder.mkdir()
        done = quaver("quantize", where / "w.safetensors", folder / "m.qvm", "--plan", plan, "--calibrate",
                      where / "videos", "--sequences", 1)  # fmt: skip
        assert done.code == 0, done.err
        notes.append(note(folder / "m.qvm.manifest.json", where, tmp_path))
        hashes.append(read_model(folder / "m.qvm").hash.hex())
    assert notes[0] == notes[1] and hashes[0] == hashes[1] and notes[0]["result"] == {"model_hash": hashes[0]}
    assert notes[0]["model_hash"] == weights_hash(random_codec(PRESET, seed=0))
    assert notes[2]["hash"] != notes[0]["hash"] and hashes[2] != hashes[0]


def test_models_with_patches(quaver: Quaver, where: Path, tmp_path: Path) -> None:
    model, notes, hashes = conformance.folder() / "model.qvm", [], []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        done = quaver("patches", model, folder / "p.qvm", "--data", where / "videos", "--budget", "avg_bits=6",
                      "--clips", 2, "--frames", 2, "--size", 32, "--split", "levels=1",
                      "--lambdas", "32")  # fmt: skip
        assert done.code == 0, done.err
        notes.append(note(folder / "p.qvm.manifest.json", where, tmp_path))
        hashes.append(read_model(folder / "p.qvm").hash.hex())
    assert notes[0] == notes[1] and hashes[0] == hashes[1] and notes[0]["result"] == {"model_hash": hashes[0]}
