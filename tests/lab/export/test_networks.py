"""Exported networks compute what torch does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from quaver.errors import ModelError, UsageError
from quaver.lab.export import networks
from quaver.lab.export.networks import TOLERANCE, export_checkpoint
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.precision import shape_for
from quaver.lab.models.weights import save_weights
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import ENCODER_GRAPHS, GRAPHS, load_model


def checkpoint(path: Path, activation: str = "relu") -> Codec:
    torch.manual_seed(2)
    preset = Preset(8, 1, 1, 1, 1, 4, activation, motion=8, motion_blocks=1, estimator=1)
    codec = Codec(preset, load_model("skeleton"))
    for parameter in codec.parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=0.2)
    save_weights(codec, path)
    return codec


@pytest.mark.parametrize("activation", ["relu", "gdn"])
def test_files_of_both_sides(activation: str, tmp_path: Path) -> None:
    codec = checkpoint(tmp_path / "w.safetensors", activation)
    done = export_checkpoint(tmp_path / "w.safetensors", tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    files = {f"{'encoder' if name in ENCODER_GRAPHS else 'decoder'}/{name}.onnx" for name in GRAPHS}
    assert found == files | {"networks.json", "manifest.json"}
    listing = json.loads((tmp_path / "out" / "networks.json").read_text())
    assert [each["network"] for each in listing["networks"]] == [each.network for each in done] == list(GRAPHS)
    assert all(each.macs > 0 and each.difference <= TOLERANCE for each in done)
    # Loaded from the outside, on a map of a third size.
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "decoder" / "inter.decoder.onnx"))
    latents, features = torch.randn(1, 96, 5, 7), torch.randn(1, 8, 5, 7)
    (got,) = session.run(["correction"], {"latents": latents.numpy(), "features": features.numpy()})
    with torch.no_grad():
        expected = codec.eval().inter.decoder(latents, features)
    np.testing.assert_allclose(got, expected.numpy(), atol=TOLERANCE)


def test_a_difference_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path / "w.safetensors")
    monkeypatch.setattr(networks, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match=r"intra\.entropy: .* differ"):
        export_checkpoint(tmp_path / "w.safetensors", tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    codec = checkpoint(tmp_path / "w.safetensors")
    shape_for(codec, QuantPlan({}))
    save_weights(codec, tmp_path / "q.safetensors")
    with pytest.raises(UsageError, match="quaver lower"):
        export_checkpoint(tmp_path / "q.safetensors", tmp_path / "out")
