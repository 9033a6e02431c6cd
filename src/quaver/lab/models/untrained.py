"""Codecs with random weights, where training does not matter: costs, times, tests, first steps in a notebook."""

from __future__ import annotations

import torch

from quaver.errors import UsageError
from quaver.lab.models.codec import Codec
from quaver.lab.models.presets import PRESETS, Preset
from quaver.runtime.model import load_model


def random_codec(
    preset: Preset | str = "nano", seed: int = 0, skeleton: str = "skeleton", spread: float = 0.05
) -> Codec:
    """A preset's codec, or of the given shape; last layers are random too, not zero: lowering would leave out what they
    do not read. spread: standard deviation of all weights."""
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise UsageError(f"no preset {preset!r}: {', '.join(PRESETS)} are legal")
        preset = PRESETS[preset]()
    codec = Codec(preset, load_model(skeleton))
    generator = torch.Generator().manual_seed(seed)
    for parameter in codec.parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=spread, generator=generator)
    return codec
