"""A codec's weights in files, and the arithmetic it computes in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quaver.errors import MediaError, ModelError
from quaver.evaluate.output import replacing
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.layers import Conv
from quaver.lab.models.precision import shape_for
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import IntegerModel
from quaver.runtime.patches import PatchTable

# What files of earlier versions do not have; it then starts as it does in a new codec.
_LATER = ("motion.", ".log_gain", ".log_clip", ".stream.")


def set_integer(codec: Codec, integer: bool) -> None:
    """Compute convolutions as the runtime will, or in floating point."""
    for module in codec.modules():
        if isinstance(module, Conv):
            module.integer = integer


def weights_hash(codec: Codec) -> str:
    """SHA-256 over every parameter and buffer by name: the identity that plans and tables name."""
    digest = hashlib.sha256()
    for name, value in sorted(codec.state_dict().items()):
        digest.update(f"{name} {list(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def save_weights(codec: Codec, path: Path) -> None:
    """Weights and scales as safetensors, with the preset and the plan of a quantized codec; no pickle."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    metadata = {"preset": json.dumps(codec.preset.__dict__, sort_keys=True), "skeleton": codec.skeleton.hash.hex()}
    if codec.plan is not None:
        metadata["plan"] = codec.plan.to_json()
    if codec.patches is not None:
        metadata["patches"] = codec.patches.to_json()
    state: dict[str, Tensor] = {key: value.contiguous() for key, value in codec.state_dict().items()}
    try:
        with replacing(path) as part:
            save_file(state, part, metadata=metadata)
    except SafetensorError as error:
        raise MediaError(f"{path}: cannot write: {error}") from error


def read_codec(path: Path, skeleton: IntegerModel) -> Codec:
    """The codec that `save_weights` wrote; ModelError where the file is none."""
    metadata = _metadata(path)
    preset = _preset(path, metadata)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what the file lacks starts alike each time, so that the codec's hash is always the same
        codec = Codec(preset, skeleton)
    if "plan" in metadata:
        shape_for(codec, QuantPlan.from_json(metadata["plan"], str(path)))
    if "patches" in metadata:
        codec.patches = PatchTable.from_json(metadata["patches"], str(path))
    load_weights(codec, path)
    return codec


def load_weights(codec: Codec, path: Path) -> None:
    """Weights into a codec of the same shape. Raises ModelError where the file does not fit it, or holds what is no
    number."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = codec.load_state_dict(load_file(path), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: weights do not fit: {str(error).splitlines()[0]}") from error
    missing = [key for key in found.missing_keys if not any(part in f"{key}" for part in _LATER)]
    if missing or found.unexpected_keys:
        raise ModelError(f"{path}: weights do not fit: {(missing + found.unexpected_keys)[0]} has no counterpart")
    broken = next((name for name, value in codec.state_dict().items() if not bool(value.isfinite().all())), None)
    if broken is not None:
        raise ModelError(f"{path}: {broken} holds what is not a number: training went wrong before this was saved")


def _preset(path: Path, metadata: dict[str, Any]) -> Preset:
    try:
        return Preset(**json.loads(metadata["preset"]))
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: not weights of a Quaver codec") from error


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; legal are weights that `quaver train` wrote") from error
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not weights of a Quaver codec") from error
