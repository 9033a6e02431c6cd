"""How wide and deep the networks are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Widths and depths. ``motion``, ``motion_blocks``: of the motion coder at 1/16 resolution; ``estimator``: blocks
    of the motion estimator, whose width is `channels`. Weights from before these were written begin with the defaults.
    """

    channels: int
    context: int
    entropy: int
    decoder: int
    encoder: int
    loop: int
    activation: str = "relu"
    motion: int = 32
    motion_blocks: int = 2
    estimator: int = 4


def nano(activation: str = "relu") -> Preset:
    return Preset(48, 1, 1, 2, 1, 12, activation)


def small(activation: str = "relu") -> Preset:
    return Preset(96, 2, 2, 4, 2, 24, activation)


def large(activation: str = "relu") -> Preset:
    return Preset(160, 3, 3, 6, 3, 40, activation, motion=48)


PRESETS = {"nano": nano, "small": small, "large": large}
