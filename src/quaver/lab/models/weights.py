"""A codec's weights in files, and the arithmetic it computes in."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from quaver.errors import ModelError
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.layers import Conv


def set_integer(codec: Codec, integer: bool) -> None:
    """Compute convolutions as the runtime will, or in floating point."""
    for module in codec.modules():
        if isinstance(module, Conv):
            module.integer = integer


def save_weights(codec: Codec, path: Path) -> None:
    """Weights and scales as safetensors, with the preset's name; no pickle."""
    from safetensors.torch import save_file

    preset = json.dumps(codec.preset.__dict__, sort_keys=True)
    part = path.with_name(path.name + ".part")
    state: dict[str, Tensor] = {key: value.contiguous() for key, value in codec.state_dict().items()}
    save_file(state, part, metadata={"preset": preset, "skeleton": codec.skeleton.hash.hex()})
    part.replace(path)


def read_preset(path: Path) -> Preset:
    """The widths and depths that a weights file was trained with."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return Preset(**json.loads((file.metadata() or {})["preset"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: not weights of a Quaver codec") from error


def load_weights(codec: Codec, path: Path) -> None:
    """Raises ModelError where the file does not fit the codec."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        codec.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: weights do not fit: {str(error).splitlines()[0]}") from error
