"""Float networks as ONNX files, the encoder's and the decoder's apart, each compared with torch in ONNX Runtime.

What lies between them (transform, motion, quantization, entropy coding) is integer code: docs/format/arithmetic.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.workload import Workload
from quaver.lab.export.modules import TOLERANCE, Network, write_listing, write_networks
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.motion import AVERAGES, DETAILS
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.runtime.model import ENCODER_GRAPHS, GRAPHS, load_model
from quaver.runtime.network_inputs import PAST_MOTION_CHANNELS
from quaver.runtime.transform import CHANNELS

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
    torch over two sizes of map, of noise; over the largest output or 1."""

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
    networks = [_network(codec, name) for name in GRAPHS]
    differences = write_networks(networks, folder, TOLERANCE, show)
    layers = [layer for layer in codec_layers(codec, Workload()) if layer.op != "add"]
    done = []
    for network, difference in zip(networks, differences, strict=True):
        own = [layer for layer in layers if layer.call_site.startswith(f"{network.name}.")]
        macs = sum(layer.operations // layer.positions for layer in own)
        inputs, side = arguments(network.name, network.module), network.file.partition("/")[0]
        done.append(Exported(network.name, side, network.file, inputs, network.outputs, macs, difference))
    weights = weights_hash(codec)
    depends = {"command": "export", "model_hash": weights, "skeleton_hash": codec.skeleton.hash.hex()}
    write_listing(folder, done, depends, TOLERANCE, {"weights": weights})
    return done


def _network(codec: Codec, name: str) -> Network:
    module = codec.get_submodule(name)
    inputs = arguments(name, module)
    side = "encoder" if name in ENCODER_GRAPHS else "decoder"
    traced = tuple(torch.zeros(1, channels, *_TRACED) for channels in inputs.values())
    compared = tuple(_noise(list(inputs.values()), size) for size in (_TRACED, _OTHER))
    return Network(name, f"{side}/{name}.onnx", module, tuple(inputs), GRAPHS[name][1], traced, compared)


def arguments(name: str, network: nn.Module) -> dict[str, int]:
    """Channels of a network's arguments, in their order."""
    named = _ARGUMENTS.get(name) or _ARGUMENTS[name.rpartition(".")[2]]
    first = next(module for module in network.modules() if isinstance(module, Conv))
    left = first.weight.shape[1] - sum(channels or 0 for channels in named.values())
    return {argument: left if channels is None else channels for argument, channels in named.items()}


def _noise(channels: list[int], size: tuple[int, int]) -> tuple[Tensor, ...]:
    """It reaches beyond the ports' range."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, count, *size, generator=generator) for count in channels)
