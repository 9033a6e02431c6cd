"""Other people's modules as ONNX: compared with torch, named where they cannot be, nothing left after an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.errors import MediaError, ModelError, QuaverError, UsageError
from quaver.lab.export.modules import called_with, export_modules


class Bound(torch.autograd.Function):
    """As CompressAI bounds parameters: a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x, bound)
        return torch.max(x, bound)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, bound = ctx.saved_tensors
        return ((x >= bound) | (gradient < 0)) * gradient, None


class Gdn(nn.Module):
    """CompressAI's GDN: bounded, squared parameters, and a kernel whose shape comes from the input."""

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.register_buffer("bound", torch.tensor([0.1]))
        self.beta, self.gamma = nn.Parameter(torch.ones(channels)), nn.Parameter(0.3 * torch.randn(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        _, channels, _, _ = x.size()
        beta, gamma = (Bound.apply(value, self.bound) ** 2 - 1e-3 for value in (self.beta, self.gamma))
        norm = F.conv2d(x**2, gamma.reshape(channels, channels, 1, 1), beta)
        return x * (torch.sqrt(norm) if self.inverse else torch.rsqrt(norm))


class Codec(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g_a = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), Gdn(4), nn.Dropout(), nn.Conv2d(4, 6, 5, 2, 2))
        self.g_s = nn.Sequential(
            nn.ConvTranspose2d(6, 4, 5, 2, 2, 1), Gdn(4, True), nn.ConvTranspose2d(4, 3, 5, 2, 2, 1)
        )
        self.unused = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.g_s(self.g_a(x).round())


@pytest.fixture
def codec() -> Codec:
    torch.manual_seed(3)
    return Codec()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_encoder_and_decoder_apart(codec: Codec, tmp_path: Path) -> None:
    parts = called_with(codec, ("g_a", "g_s"), lambda: codec.eval()(torch.rand(1, 3, 16, 32)))
    codec.train()
    codec.g_s.eval()
    done = export_modules({"encoder/g_a": parts["g_a"], "decoder/g_s": parts["g_s"]}, tmp_path)
    assert codec.g_a.training and codec.g_a[1].training and not codec.g_s[1].training
    assert files(tmp_path) == {"encoder/g_a.onnx", "decoder/g_s.onnx", "networks.json", "manifest.json"}
    assert [each.inputs["input"] for each in done] == [(1, 3, 16, 32), (1, 6, 4, 8)]
    assert max(each.difference for each in done) < 1e-5
    listing = json.loads((tmp_path / "networks.json").read_text())
    assert [each["network"] for each in listing["networks"]] == ["encoder/g_a", "decoder/g_s"]
    assert set(json.loads((tmp_path / "manifest.json").read_text())["model_hashes"]) == {"encoder/g_a", "decoder/g_s"}
    # Of a third size, in eval mode.
    x = torch.rand(3, 3, 24, 8)
    (got,) = onnxruntime.InferenceSession(str(tmp_path / "encoder/g_a.onnx")).run(None, {"input": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, codec.g_a.eval()(x).numpy(), atol=1e-5)


class Mixed(nn.Module):
    """Several inputs and outputs, one of no use."""

    def forward(self, x: Tensor, features: Tensor, unused: Tensor) -> tuple[Tensor, Tensor]:
        return x + features.mean(1, keepdim=True), features.flatten(1).sum(1)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    inputs = torch.rand(1, 2, 4, 6), torch.rand(1, 3, 4, 6), torch.rand(1)
    (each,) = export_modules({"mixed": (Mixed(), inputs)}, tmp_path)
    assert list(each.inputs) == ["input0", "input1", "input2"]
    assert each.outputs == {"output0": (1, 2, 4, 6), "output1": (1,)}


class Chance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Eigenvalues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigh(x).eigenvalues


class Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(1, 1, 4, 4)


class Listed(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": x}


@pytest.mark.parametrize(
    ("module", "error", "words"),
    [
        (Chance(), ModelError, r"bad: ONNX Runtime and torch differ by 0\.\d+, more than 0.0001"),
        (Eigenvalues(), ModelError, "bad: torch cannot write it as ONNX: .*eigh"),
        (Fixed(), ModelError, "bad: torch cannot run it on .2, 1, 8, 8.; `free=False`"),
        (Listed(), UsageError, "bad: it returns dict"),
    ],
)
def test_a_module_that_cannot_be(
    module: nn.Module, error: type[QuaverError], words: str, codec: Codec, tmp_path: Path
) -> None:
    good = codec.g_a, torch.rand(1, 3, 8, 8)
    with pytest.raises(error, match=words) as raised:
        export_modules({"good": good, "bad": (module, torch.rand(1, 1, 4, 4))}, tmp_path)
    assert "\n" not in str(raised.value) and not files(tmp_path)


def test_fixed_sizes(tmp_path: Path) -> None:
    export_modules({"fixed": (Fixed(), torch.rand(1, 1, 4, 4))}, tmp_path, free=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "fixed.onnx"))
    assert session.get_inputs()[0].shape == [1, 1, 4, 4]


@pytest.mark.parametrize("name", ["", "../outside", "/outside"])
def test_names_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        export_modules({name: (nn.Identity(), torch.rand(1, 1, 4, 4))}, tmp_path)


def test_nothing_and_nowhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no module"):
        export_modules({}, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(MediaError, match="file: cannot write"):
        export_modules({"a": (nn.Identity(), torch.rand(1, 1, 4, 4))}, tmp_path / "file")


def test_modules_that_were_not_called(codec: Codec) -> None:
    with pytest.raises(UsageError, match="Codec has no module 'h_a'"):
        called_with(codec, ["h_a"], lambda: None)
    with pytest.raises(UsageError, match="unused: it was not called"):
        called_with(codec, ["unused"], lambda: codec(torch.rand(1, 3, 8, 8)))
    assert not codec.unused._forward_pre_hooks
