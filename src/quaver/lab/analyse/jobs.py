"""What is measured, as data: a job is one run of the clips, and its key names its result for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from quaver.lab.manifest import digest

Kind = Literal["w", "a", "wa", "state"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A layer's weights (w), a call site's input (a), or a recirculated part (state), at some bits; where `channel`
    is given that output channel of the weights, or that channel of the input, and nothing else."""

    site: str
    kind: Literal["w", "a", "state"]
    bits: int
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Settings on clips in closed loop; all else in floating point.

    points: operating points. only: the one frame in which the settings hold, for impulses. noise: the seed of a
    perturbation of all weights by 1e-4, for the noise floor. open: every frame from the state that the float model
    left, so that nothing is handed on.
    """

    settings: tuple[Setting, ...]
    frames: int
    points: tuple[int, ...]
    only: int | None = None
    noise: int | None = None
    open: bool = False

    def describe(self) -> str:
        """For error messages."""
        if self.noise is not None:
            return f"perturbation {self.noise}"
        if not self.settings:
            return "the float model"
        first = self.settings[0]
        channel = f" channel {first.channel}" if first.channel is not None else ""
        rest = f" and {len(self.settings) - 1} more" if len(self.settings) > 1 else ""
        return f"{first.site}{channel} ({first.kind}, {first.bits} bits){rest}"


@dataclass(frozen=True, slots=True)
class Slopes:
    """First-order and Fisher scores of all channels from one backward pass per clip."""

    point: int
    bits: tuple[int, ...]
    frames: int

    def describe(self) -> str:
        return "gradients"


@dataclass(frozen=True, slots=True)
class Curvature:
    """Second-order scores of all layers' weights: `probes` Rademacher vectors for traces, and dw^T H dw."""

    point: int
    bits: tuple[int, ...]
    frames: int
    probes: int

    def describe(self) -> str:
        return "second derivatives"


Work = Job | Slopes | Curvature


def key_of(work: Work, base: str) -> str:
    """Name of a result; `base` stands for codec, clips and environment."""
    plain: dict[str, Any] = {"base": base, "type": type(work).__name__, **asdict(work)}
    return digest(plain)


@dataclass(frozen=True, slots=True)
class Part:
    """What can be quantized by itself: a module, a call site, a channel, a recirculated part.

    layers: whose weights, inputs: whose inputs it has.
    """

    name: str
    module: str
    level: Literal["module", "layer", "channel"]
    kind: Kind
    layers: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    channel: int | None = None

    def settings(self, bits: int) -> tuple[Setting, ...]:
        if self.kind == "state":
            return (Setting(self.name, "state", bits),)
        weights = (Setting(name, "w", bits, self.channel) for name in self.layers if "w" in self.kind)
        inputs = (Setting(name, "a", bits, self.channel) for name in self.inputs if "a" in self.kind)
        return (*weights, *inputs)


def without(settings: Sequence[Setting], part: Part) -> tuple[Setting, ...]:
    """The settings without those of a part."""
    gone = {(each.site, each.kind) for each in part.settings(8)}
    return tuple(each for each in settings if (each.site, each.kind) not in gone)
