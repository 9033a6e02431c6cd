"""From a table and a checkpoint to a plan that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quaver.errors import UsageError
from quaver.lab.allocate.command import allocate, prepare, with_axis
from quaver.lab.allocate.front import sweep
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.precision import shape_for
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import read_codec, save_weights, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model, save_model

from .samples import PRESET, table_of


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(table, checkpoint)"""
    folder = tmp_path_factory.mktemp("allocate")
    codec = random_codec(PRESET, seed=0)
    save_weights(codec, folder / "weights.safetensors")
    table_of(codec).save(folder / "analysis")
    return folder / "analysis", folder / "weights.safetensors"


@pytest.mark.parametrize("method", ["ilp", "greedy", "random", "uniform"])
def test_a_plan_keeps_its_budgets_and_runs(method: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    """Its predicted bytes are the file's, within 1 %; lowering takes it as it is."""
    allocation = prepare(*files, ["bops=85%", "avg_bits=6"])
    plan = allocate(allocation, method, "mine")
    assert plan.predicted["bops"] <= plan.budget["bops"] and plan.predicted["avg_bits"] <= 6
    codec = read_codec(files[1], load_model("skeleton"))
    assert plan.model_hash == weights_hash(codec) and plan.name == "mine" and plan.method.startswith(method)
    plan.save(tmp_path / "plan.json")
    assert QuantPlan.load(tmp_path / "plan.json") == plan
    shape_for(codec, plan)
    save_model(lower(codec, "x"), tmp_path / "x.qvm")
    assert abs(plan.predicted["bytes"] / (tmp_path / "x.qvm").stat().st_size - 1) < 0.02


def test_milliseconds_are_the_profiles(files: tuple[Path, Path]) -> None:
    """On this machine narrow codes only take time: a budget of 100 % leaves no room for entries."""
    everything = allocate(prepare(*files, ["bops=85%"]))
    quick = allocate(prepare(*files, ["bops=85%", "ms=105%"]))
    assert (
        quick.predicted["ms"] < everything.predicted["ms"] and quick.predicted["zeta"] >= everything.predicted["zeta"]
    )
    ideal = allocate(prepare(*files, ["ms=85%"], profile="bit-serial"))
    assert ideal.predicted["ms"] <= ideal.budget["ms"]


@pytest.mark.parametrize("profile", ["onnx-cpu", "avx2", "bit-serial"])
def test_all_of_the_time_is_enough(profile: str, files: tuple[Path, Path]) -> None:
    """For W7A8 itself, to a float's last bit."""
    allocation = prepare(*files, ["avg_bits=6", "ms=100%"], profile)
    plan = allocate(allocation)
    assert plan.predicted["ms"] <= float(allocation.budgets["ms"]) * (1 + 1e-12)


def test_other_weights_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = Codec(PRESET, load_model("skeleton"))
    save_weights(other, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=r"is of model [0-9a-f]{16}, .* is [0-9a-f]{16}"):
        prepare(files[0], tmp_path / "other.safetensors", ["bops=50%"])
    shape_for(other, QuantPlan({}))
    save_weights(other, tmp_path / "quantized.safetensors")
    with pytest.raises(UsageError, match="quantized already"):
        prepare(files[0], tmp_path / "quantized.safetensors", ["bops=50%"])


def test_impossible_budgets_say_what_is_possible(files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"budget bytes=10 is impossible; the smallest is \d+"):
        allocate(prepare(*files, ["bytes=10"]))


def test_a_front(files: tuple[Path, Path]) -> None:
    front = sweep(with_axis(prepare(*files, []), "bytes").problem, "bytes", count=3, seeds=1)
    assert {point.method for point in front.points} == {"ilp", "greedy", "random", "uniform"}
    assert {point.label for point in front.of("uniform")} >= {"W4A8", "W6A6"}
