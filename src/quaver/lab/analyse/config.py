"""What an analysis measures, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quaver.errors import UsageError
from quaver.lab.analyse.jobs import Kind

VERSION = 1
LEVELS = ("module", "layer", "channel")
MODES = ("add", "open", "drop")
KINDS: tuple[Kind, ...] = ("w", "a", "wa", "state")
RANKING_FRAMES, DRIFT_FRAMES = 8, 32  # that results want; fewer are measured too, and said


@dataclass(frozen=True)
class AnalyseConfig:
    """level: the finest; coarser ones are measured too. kinds: "wa" and "state" exist for modules.

    target: the bits of everything in drop-one; 0 for the fewest of `bits`.
    frames: of the clips in rankings. drift_frames: of the drift curves, 0 for none; impulse_frames: of impulse
    responses, 0 for none; both at the fewest bits and for modules. noise: perturbations that the floor is measured
    with. pairs: interactions of modules.
    channel_sample, channel_top: how many channels are measured: a stratified sample, and the share with the highest
    scores; at the fewest bits and the middle lambda, in `channel_mode`.
    proxies: compare cheap scores with the truth. slope_frames, curvature_frames: that they differentiate through.
    only: shell patterns of layer names; empty for all.
    """

    level: str = "layer"
    bits: tuple[int, ...] = (4, 6, 8)
    modes: tuple[str, ...] = MODES
    kinds: tuple[Kind, ...] = KINDS
    target: int = 0
    frames: int = RANKING_FRAMES
    drift_frames: int = DRIFT_FRAMES
    impulse_frames: int = 16
    noise: int = 10
    pairs: bool = True
    channel_sample: int = 200
    channel_top: float = 0.05
    proxies: bool = True
    slope_frames: int = 4
    curvature_frames: int = 2
    probes: int = 8
    only: tuple[str, ...] = ()
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        def one_of(what: str, values: tuple[str, ...], legal: tuple[str, ...]) -> None:
            wrong = [value for value in values if value not in legal]
            if wrong or not values:
                raise UsageError(f"{what} {', '.join(map(repr, wrong)) or 'missing'}: legal are {', '.join(legal)}")

        one_of("level", (self.level,), LEVELS)
        one_of("mode", self.modes, MODES)
        one_of("kind", self.kinds, KINDS)
        if not self.bits or not all(2 <= bits <= 16 for bits in self.bits) or len(set(self.bits)) < len(self.bits):
            raise UsageError(f"bits {list(self.bits)}: one or more different numbers, 2 to 16, are legal")
        if self.target and self.target not in self.bits:
            raise UsageError(f"target of {self.target} bits: one of {', '.join(map(str, self.bits))} is legal")
        if self.frames < 2:
            raise UsageError(f"{self.frames} frames: at least 2 are needed for a closed loop, 8 for a ranking")
        for name in ("drift_frames", "impulse_frames"):
            if 0 < getattr(self, name) < 4:
                raise UsageError(f"{name} {getattr(self, name)}: 0 for none, or at least 4")
        if self.noise < 2:
            raise UsageError(f"{self.noise} perturbations: at least 2 are needed, 10 for a floor that holds")

    @property
    def longest(self) -> int:
        """Frames that clips must have."""
        return max(self.frames, self.drift_frames, self.impulse_frames)

    @property
    def channel_mode(self) -> str:
        """In which channels are measured: "open", since nearly all of them drown in the loop's noise; "add" where the
        closed loop is asked for and "open" is not."""
        return "add" if "add" in self.modes and "open" not in self.modes else "open"

    @property
    def open_frames(self) -> int:
        """Over which the floor without the loop is measured; 0 where nothing needs it. Impulses need the first two, in
        which they begin."""
        channels = self.level == "channel" and self.channel_mode == "open"
        if channels or "open" in self.modes:
            return self.frames
        return 2 if self.impulse_frames else 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its clips are too short for, a sentence each."""
        return tuple(filter(None, (short_for_ranking(self.frames), short_for_drift(self.drift_frames))))

    def reaches(self, level: str) -> bool:
        return LEVELS.index(level) <= LEVELS.index(self.level)

    def to_dict(self) -> Mapping[str, Any]:
        """As JSON has it."""
        plain: Mapping[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def short_for_ranking(frames: int) -> str:
    """A sentence where clips have too few frames to rank parts by; else nothing."""
    if frames >= RANKING_FRAMES:
        return ""
    return f"Rankings over {frames} frames: fewer than {RANKING_FRAMES} hide what losses become in the loop."


def short_for_drift(frames: int) -> str:
    """The same of drift; nothing where none is measured."""
    if frames == 0 or frames >= DRIFT_FRAMES:
        return ""
    return f"Drift over {frames} frames: fewer than {DRIFT_FRAMES} say little about drift."
