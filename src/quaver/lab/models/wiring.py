"""Which site each convolution of a codec reads from and writes to, seen by running it once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.sites import Site
from quaver.lab.train.objective import Sequence, code_sequence


@dataclass(frozen=True, slots=True)
class Wire:
    """A convolution between two sites."""

    conv: Conv
    source: Site
    target: Site

    @property
    def grid(self) -> Site:
        """What the convolution itself reads: its entry, where it has one."""
        return self.conv.entry or self.source


@torch.no_grad()
def wiring(codec: Codec) -> dict[str, Wire]:
    """Every convolution that a frame's path calls, by name, in the order of calls."""
    names = {module: name for name, module in codec.named_modules() if isinstance(module, Conv)}
    found: dict[str, Wire] = {}

    def note(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(module, Conv)
        found[names[module]] = Wire(module, arguments[1], arguments[2])

    hooks = [module.register_forward_pre_hook(note) for module in names]
    switches = codec.use_encoder, codec.count_motion, codec.estimator
    codec.use_encoder, codec.count_motion, codec.estimator = True, True, "network"
    try:
        for _ in code_sequence(codec, _grey_sequence()):
            pass
    finally:
        codec.use_encoder, codec.count_motion, codec.estimator = switches
        for hook in hooks:
            hook.remove()
    return found


def _grey_sequence() -> Sequence:
    """Two frames of 32x32, an intra and an inter frame."""
    luma, chroma = (
        torch.full((1, 2, 32, 32), 128, dtype=torch.uint8),
        torch.full((1, 2, 16, 16), 128, dtype=torch.uint8),
    )
    return Sequence(luma, chroma, chroma, torch.tensor([32]))
