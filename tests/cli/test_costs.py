"""`quaver profile`, `costs`, `allocate`, `export`: from a checkpoint to a plan, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lab.allocate.samples import PRESET, table_of
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import save_weights
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model, save_model

from .conftest import Quaver
from .samples import one_line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights.safetensors, tiny.qvm, and an analysis."""
    where = tmp_path_factory.mktemp("costs")
    torch.manual_seed(0)
    codec = Codec(PRESET, load_model("skeleton"))
    save_weights(codec, where / "weights.safetensors")
    table_of(codec).save(where / "analysis")
    save_model(lower(codec, "tiny"), where / "tiny.qvm")
    return where


def test_profile_then_costs(quaver: Quaver, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "here.json"
    done = quaver("profile", "--out", out, "--model", folder / "tiny.qvm", "--size", "64x48", "--repeats", 1)
    assert done.code == 0 and out.is_file(), done.err
    for model in ("tiny.qvm", "weights.safetensors"):
        shown = quaver("costs", folder / model, "--profile", out, "--size", "64x48", "--json")
        assert shown.code == 0, shown.err
        found = json.loads(shown.out)
        assert found["totals"]["ms"] == pytest.approx(sum(row["ms"] for row in found["layers"]))
        assert found["totals"]["macs"] == pytest.approx(sum(row["macs"] for row in found["layers"]))
    assert "inter.decoder" in quaver("costs", folder / "tiny.qvm", "--size", "64x48").out
    assert "inter.loop.enter" in quaver("costs", folder / "tiny.qvm", "--layers").out


def test_allocate(quaver: Quaver, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    where = (folder / "analysis", "--model", folder / "weights.safetensors", "--out", out)
    done = quaver("allocate", *where, "--budget", "bops=85%", "--budget", "bytes=95%")
    assert done.code == 0, done.err
    plan = QuantPlan.load(out)
    assert plan.predicted["bops"] <= plan.budget["bops"] and plan.predicted["bytes"] <= plan.budget["bytes"]
    shown = quaver("costs", folder / "weights.safetensors", "--plan", out, "--json")
    assert json.loads(shown.out)["totals"]["bops"] == pytest.approx(plan.predicted["bops"])


def test_a_front(quaver: Quaver, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "front.json"
    where = (folder / "analysis", "--model", folder / "weights.safetensors", "--out", out)
    done = quaver("allocate", *where, "--front", "bytes", "--points", 2)
    assert done.code == 0 and (tmp_path / "front.png").is_file(), done.err
    assert {point["method"] for point in json.loads(out.read_text())["points"]} == {
        "ilp",
        "greedy",
        "random",
        "uniform",
    }


def test_what_is_refused(quaver: Quaver, folder: Path, tmp_path: Path) -> None:
    where = (folder / "analysis", "--model", folder / "weights.safetensors", "--out", tmp_path / "x.json")
    one_line(quaver("allocate", *where), "no budget")
    one_line(quaver("allocate", *where, "--budget", "bytes=1"), "bytes=1 is impossible; the smallest is")
    one_line(quaver("allocate", *where, "--budget", "bytes=90%", "--method", "magic"), "--method magic")
    one_line(quaver("allocate", *where, "--budget", "bytes=90%", "--size", "big"), "WIDTHxHEIGHT")
    one_line(quaver("costs", "nano", "--profile", "abacus"), "no hardware profile")
    QuantPlan({"inter.decoder.correction": QuantPlan.uniform(["x"], 8, 8).layers["x"]}).save(tmp_path / "wide.json")
    one_line(
        quaver("costs", folder / "weights.safetensors", "--plan", tmp_path / "wide.json"),
        "'onnx-cpu' cannot run inter.decoder.correction: 8 weight bits",
    )
    QuantPlan.uniform(["inter.unknown"]).save(tmp_path / "other.json")
    one_line(quaver("costs", "nano", "--plan", tmp_path / "other.json"), "of another model")
    QuantPlan({}, model_hash="0" * 64).save(tmp_path / "stale.json")
    one_line(quaver("costs", folder / "weights.safetensors", "--plan", tmp_path / "stale.json"), "0000000000000000")
    assert not (tmp_path / "x.json").exists()


def test_export(quaver: Quaver, folder: Path, tmp_path: Path) -> None:
    done = quaver("export", folder / "weights.safetensors", tmp_path / "onnx")
    assert done.code == 0 and (tmp_path / "onnx" / "encoder" / "motion.estimator.onnx").is_file(), done.err
