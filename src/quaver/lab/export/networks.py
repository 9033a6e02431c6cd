"""Float networks as ONNX files, the encoder's and the decoder's apart, each compared with torch in ONNX Runtime.

What lies between them (transform, motion, quantization, entropy coding) is integer code: docs/format/arithmetic.md.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from quaver.errors import ModelError, UsageError
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.workload import Workload
from quaver.lab.manifest import sealed, write_manifest
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.motion import AVERAGES, DETAILS
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.runtime.executors.onnx_runtime import library
from quaver.runtime.model import ENCODER_GRAPHS, GRAPHS, load_model
from quaver.runtime.network_inputs import PAST_MOTION_CHANNELS
from quaver.runtime.transform import CHANNELS

OPSET = 17
TOLERANCE = 1e-4  # of an output's absolute difference; outputs lie on a grid of 1/64 within -2..2
_TRACED, _OTHER = (24, 40), (17, 9)  # positions: of the map that is traced, and of another that must do too

# Arguments of a network's forward pass with their channels; None: what the first layer takes beyond the others.
_PICTURES = {"picture": CHANNELS, "prediction": CHANNELS, "quality": 1}
_ARGUMENTS: dict[str, dict[str, int | None]] = {
    "entropy": {"known": None},
    "decoder": {"latents": CHANNELS, "features": None},
    "encoder": {**_PICTURES},
    "loop": {"samples": None},
    "motion.average": {"past": PAST_MOTION_CHANNELS},
    "motion.detail": {"averages": 2 * AVERAGES, "past": PAST_MOTION_CHANNELS},
    "motion.encoder": {"latents": AVERAGES + DETAILS, "past": PAST_MOTION_CHANNELS},
    "motion.estimator": {"picture": CHANNELS, "reference": CHANNELS, "last": 2, "quality": 1},
}


@dataclass(frozen=True, slots=True)
class Exported:
    """file: relative to the folder. macs: per position of the map. difference: the largest between ONNX Runtime and
    torch, over two sizes of map."""

    network: str
    side: str
    file: str
    inputs: dict[str, int]
    outputs: tuple[str, ...]
    macs: int
    difference: float


def export_checkpoint(
    checkpoint: Path, folder: Path, skeleton: str = "skeleton", show: Callable[[str], None] = lambda name: None
) -> list[Exported]:
    """Write encoder/NETWORK.onnx, decoder/NETWORK.onnx, networks.json and manifest.json. ModelError where ONNX Runtime
    computes something else; nothing is kept then."""
    codec = read_codec(checkpoint, load_model(skeleton)).eval()
    if codec.plan is not None:
        raise UsageError(f"{checkpoint}: these weights are quantized; `quaver lower` makes the model that runs them")
    done: list[Exported] = []
    written: list[Path] = []
    for side in ("encoder", "decoder"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    try:
        for name in GRAPHS:
            show(name)
            side = "encoder" if name in ENCODER_GRAPHS else "decoder"
            path = folder / side / f"{name}.onnx"
            written.append(path.with_name(path.name + ".part"))
            done.append(_export(codec, name, side, written[-1], f"{side}/{path.name}"))
        for part in written:
            part.replace(part.with_suffix(""))
    finally:
        for part in written:
            part.unlink(missing_ok=True)
    notes = {"weights": weights_hash(codec), "opset": OPSET, "tolerance": TOLERANCE}
    listing = folder / "networks.json"
    listing.write_text(json.dumps(notes | {"networks": [asdict(each) for each in done]}, indent=1) + "\n")
    own = {"model_hash": weights_hash(codec), "skeleton_hash": codec.skeleton.hash.hex()}
    note = sealed({"command": "export", "config": {"opset": OPSET, "tolerance": TOLERANCE}} | own)
    write_manifest(folder / "manifest.json", note, {"files": [each.file for each in done]})
    return done


def _export(codec: Codec, name: str, side: str, path: Path, file: str) -> Exported:
    network = codec.get_submodule(name)
    inputs, outputs = arguments(name, network), GRAPHS[name][1]
    example = tuple(torch.zeros(1, channels, *_TRACED) for channels in inputs.values())
    free = {port: {0: "batch", 2: "h", 3: "w"} for port in (*inputs, *outputs)}
    with warnings.catch_warnings(), torch.no_grad():
        # The older exporter, which needs no further package; scales are constants of the file, as it warns.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example,
            str(path),
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=free,
            opset_version=OPSET,
        )
    difference = max(_difference(network, path, list(inputs.values()), size) for size in (_TRACED, _OTHER))
    if not difference <= TOLERANCE:
        raise ModelError(f"{name}: ONNX Runtime and torch differ by {difference:.2g}, more than {TOLERANCE:g}")
    rows = [layer for layer in codec_layers(codec, Workload()) if layer.call_site.startswith(f"{name}.")]
    macs = sum(layer.operations // layer.positions for layer in rows if layer.op != "add")
    return Exported(name, side, file, inputs, outputs, macs, difference)


def arguments(name: str, network: nn.Module) -> dict[str, int]:
    """Channels of a network's arguments, in their order."""
    named = _ARGUMENTS.get(name) or _ARGUMENTS[name.rpartition(".")[2]]
    first = next(module for module in network.modules() if isinstance(module, Conv))
    left = first.weight.shape[1] - sum(channels or 0 for channels in named.values())
    return {argument: left if channels is None else channels for argument, channels in named.items()}


def _difference(network: nn.Module, path: Path, channels: list[int], size: tuple[int, int]) -> float:
    """Over noise that reaches beyond the ports' range."""
    onnxruntime = library()

    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, count, *size, generator=generator) for count in channels]
    with torch.no_grad():
        expected = network(*inputs)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    got = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    tensors = (expected,) if isinstance(expected, Tensor) else expected
    return max(float(np.abs(a.numpy() - b).max()) for a, b in zip(tensors, got, strict=True))
