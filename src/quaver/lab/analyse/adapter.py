"""How the laboratory sees a codec: docs/laboratory/adapter.md.

A codec is a step that codes one frame of a batch from a state. The laboratory owns the loop over frames, so that it
can quantize in some frames only, quantize the state between them, and begin in the middle of a clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.scale import Scale

Planes = tuple[Tensor, Tensor, Tensor]
State = Any  # whatever a codec hands from frame to frame


class Step(NamedTuple):
    """One coded frame of a batch.

    rate: (B,) bits per luma sample, all that a decoder needs of the frame. distortion: (B,), on samples 0..255;
    Quaver's is (6 MSE_Y + MSE_U + MSE_V) / 8. Both differentiable where gradients are enabled.
    """

    state: State
    rate: Tensor
    distortion: Tensor


class CodecAdapter(Protocol):
    """A codec in torch, in closed loop, at a few operating points.

    Instances are pickled to worker processes. Everything random comes from torch's global generator, which the
    laboratory seeds before every run.
    """

    @property
    def name(self) -> str:
        """For people; what decides identity is the weights' hash and `settings`."""

    @property
    def module(self) -> nn.Module:
        """All weights, in floating point."""

    @property
    def lambdas(self) -> tuple[float, ...]:
        """lambda of each operating point: bits per luma sample that one unit of distortion is worth."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else decides the results, as JSON: operating points, presets, paths of computation."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Dotted prefixes that divide the layers into modules, such as "inter.decoder"."""

    @property
    def encoder_only(self) -> tuple[str, ...]:
        """The modules that a decoder does not run."""

    @property
    def surrogate(self) -> str:
        """What `step` is while gradients are enabled, in words: its value may stay hard, its slope must be useful."""

    def step(self, frame: Planes, state: State | None, points: Tensor) -> Step:
        """Code 8-bit samples Y (B, H, W), U and V (B, H/2, W/2), uint8, at operating points (B,). Without a state
        the frame is the first of its clip. H and W are multiples of 16."""

    def role(self) -> str:
        """In which role layers are being called, where one layer has several ("intra", "inter"); else ""."""

    def state_parts(self, state: State) -> Mapping[str, Tensor]:
        """What a state recirculates, by name, as real numbers (B, ...)."""

    def with_state_parts(self, state: State, parts: Mapping[str, Tensor]) -> State:
        """The state with other values, brought to whatever grid the codec keeps them on."""


@dataclass(frozen=True)
class Grids:
    """inputs: by call site. weights: by layer, as real values on their grid. What is not named has the laboratory's
    own: the least squared error, inputs affine, weights symmetric per output channel."""

    inputs: Mapping[str, Scale] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class OwnGrids(Protocol):
    """An adapter whose codec has integers of its own: parts are then scored on these."""

    def grids(self, stats: Mapping[str, SiteStats], bits: int) -> Grids:
        """From what arrived at all call sites."""


def module_of(adapter: CodecAdapter, layer: str) -> str:
    """The module that a layer or call site belongs to; "" for none."""
    name = layer.partition("@")[0]
    owners = [prefix for prefix in adapter.modules if name == prefix or name.startswith(prefix + ".")]
    return max(owners, key=len, default="")


def to_rgb(frame: Planes) -> Tensor:
    """(B, 3, H, W) in 0..1 from limited-range BT.709 planes, chroma repeated, for codecs of RGB pictures."""
    y, u, v = (plane.float() for plane in frame)
    y = (y - 16) / 219
    u, v = ((plane - 128).repeat_interleave(2, 1).repeat_interleave(2, 2) / 224 for plane in (u, v))
    return torch.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], 1).clamp(0, 1)


def rgb_distortion(picture: Tensor, frame: Planes) -> Tensor:
    """Mean squared error (B,) on 0..255 between RGB pictures (B, 3, H, W) in 0..1 and the frame's."""
    return ((255 * (picture - to_rgb(frame))) ** 2).mean((1, 2, 3))
