"""Codecs with random weights, where training does not matter: costs, times, tests, first steps in a notebook."""

from __future__ import annotations

import torch

from quaver.errors import UsageError
from quaver.lab.models.codec import Codec
from quaver.lab.models.presets import PRESETS
from quaver.runtime.model import load_model

_SPREAD = 0.05


def random_codec(preset: str = "nano", seed: int = 0, skeleton: str = "skeleton") -> Codec:
    """A preset's codec; last layers are random too, not zero: lowering would leave out what they do not read."""
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}: {', '.join(PRESETS)} are legal")
    codec = Codec(PRESETS[preset](), load_model(skeleton))
    generator = torch.Generator().manual_seed(seed)
    for parameter in codec.parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=_SPREAD, generator=generator)
    return codec
