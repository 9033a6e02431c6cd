"""`quaver quantize` and `quaver score`: from weights and a plan to a model that codes, and to a figure."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quaver.cli.quantize import quantize
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.errors import UsageError
from quaver.lab.analyse.score_command import score_checkpoint
from quaver.lab.data.cache import ClipCache
from quaver.lab.models.weights import read_codec, save_weights
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.recipes import Recipe, Stage
from quaver.runtime.model import load_model, read_model

from .random_plans import random_codec
from .test_integer_path import FORMAT, moving
from .test_training import clips

__all__ = ["clips"]

QAT = Recipe("q", "nano", (Stage("integer-aware", 2, 2, size=32, batch=1, encoder=True, integer=True),), warmup=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(random_codec(0), path)
    return path


def codes(path: Path) -> int:
    """Bytes of a short clip through a model file, decoded by another executor than encoded."""
    model, stream = read_model(path), io.BytesIO()
    with Encoder(stream, FORMAT, 30, model=model, executor="onnx") as encoder:
        for frame in moving(3):
            encoder.encode(frame)
        last = encoder.reconstruction
    decoded = list(Decoder(io.BytesIO(stream.getvalue()), model, "onnx-f32"))
    np.testing.assert_array_equal(decoded[-1].y, last.y)
    return len(stream.getvalue())


def test_a_plan_from_a_file(weights: Path, clips: tuple[Path, ClipCache], tmp_path: Path) -> None:
    names = list(wiring(read_codec(weights, load_model("skeleton"))))
    plan = QuantPlan.uniform(names, 7, 8).with_bits("inter.decoder.*", w=3)
    plan.save(tmp_path / "plan.json")
    quantize(weights, tmp_path / "m.qvm", str(tmp_path / "plan.json"), clips[0], cache=clips[0] / "cache", sequences=1)
    assert codes(tmp_path / "m.qvm") > 0
    largest = {
        key: max(int(np.abs(conv.weight).max()) for conv in graph.convolutions())
        for key, graph in read_model(tmp_path / "m.qvm").graphs.items()
    }
    assert largest["inter.decoder"] == 3 and largest["intra.decoder"] > 3


def test_steps_after_calibration(weights: Path, clips: tuple[Path, ClipCache], tmp_path: Path) -> None:
    """The same weights' codes with biases alone, their neighbours with rounding; both run, and the manifest says it."""
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "biases": {"bias_correction": True},
        "rounded": {"rounding": "loss", "steps": 2, "bias_correction": True},
    }
    found = {}
    for name, options in ways.items():
        out = tmp_path / f"{name}.qvm"
        quantize(weights, out, "W3A6", clips[0], cache=clips[0] / "cache", sequences=1, **options)
        graphs = read_model(out).graphs
        found[name] = np.concatenate([c.weight.ravel() for graph in graphs.values() for c in graph.convolutions()])
        note = json.loads(out.with_name(f"{name}.qvm.manifest.json").read_text())
        assert ("refinement" in note["config"]) == ("refined" in note["result"]) == bool(options)
        if options:
            done = note["result"]["refined"]["corrected"]
            assert codes(out) > 0 and done["after"] <= done["before"]
            assert note["config"]["refinement"]["bias_correction"] is True
    np.testing.assert_array_equal(found["plain"], found["biases"])
    assert np.abs(found["plain"].astype(int) - found["rounded"]).max() <= 1
    with pytest.raises(UsageError, match="not trained in integers"):
        quantize(weights, tmp_path / "m.qvm", "W4A8", clips[0], qat="qat", bias_correction=True)


def test_training_in_integers(weights: Path, clips: tuple[Path, ClipCache], tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(QAT.to_json())
    out = tmp_path / "m.qvm"
    quantize(weights, out, "W4A8", clips[0], qat=str(tmp_path / "q.json"), cache=clips[0] / "cache", threads=1)
    assert codes(out) > 0
    trained = read_codec(tmp_path / "m.qat/ema.safetensors", load_model("skeleton"))
    assert trained.plan is not None and trained.plan.name == "W4A8"
    rows = list(
        score_checkpoint(
            weights, ["W7A8"], [tmp_path / "m.qat/ema.safetensors"], clips[0], 2, 3, 48, (), None, "skeleton", 1
        )
    )
    assert [row["name"] for row in rows] == ["W7A8 ptq", "W4A8 qat"]
    assert all(np.isfinite(row["zeta"]) for row in rows) and json.dumps(rows)


def test_what_cannot_be(weights: Path, clips: tuple[Path, ClipCache], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"legal are a \.json"):
        quantize(weights, tmp_path / "m.qvm", "4 bits", clips[0])
    with pytest.raises(UsageError, match="profile 1 runs 2 to 7"):
        quantize(weights, tmp_path / "m.qvm", "W9A8", clips[0], cache=clips[0] / "cache", sequences=1)
    other = QuantPlan.uniform(["intra.encoder.correction"], 4, 8)
    QuantPlan(other.layers, model_hash="f" * 64).save(tmp_path / "other.json")
    with pytest.raises(UsageError, match="other weights"):
        quantize(weights, tmp_path / "m.qvm", str(tmp_path / "other.json"), clips[0], cache=clips[0] / "cache")
    assert not (tmp_path / "m.qvm").exists()
