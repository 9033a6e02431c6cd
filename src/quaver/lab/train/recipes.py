"""What to train, in which order: recipes as data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from quaver.errors import UsageError

VERSION = 1


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one setting.

    frames: per example, the first one intra. trains: module names ("intra", "inter", "inter.entropy", ...).
    "motion" adds the bits of vectors to the rate, and what the MotionEstimator learns from to the loss.
    encoder: use the corrections of the encoder's networks. through_time: let gradients pass from frame to frame.
    integer: compute the networks as the runtime will, in integers.
    """

    name: str
    steps: int
    frames: int
    trains: tuple[str, ...] = ("intra", "inter")
    size: int = 192
    batch: int = 4
    rate: float = 1.0  # of the recipe's learning rate
    encoder: bool = False
    through_time: bool = False
    integer: bool = False

    @property
    def trains_motion(self) -> bool:
        return any(name.partition(".")[0] == "motion" for name in self.trains)


@dataclass(frozen=True)
class Recipe:
    """Stages over one preset. The learning rate warms up, holds, and falls to zero over the last `decay` share."""

    name: str
    preset: str
    stages: tuple[Stage, ...]
    learning_rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.2
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 1
    version: int = VERSION

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that step (0, 1, ...) belongs to; the last one beyond the end."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        scale = min(1.0, (step + 1) / max(1, self.warmup), max(0.0, left))
        return self.learning_rate * scale * self.stage_at(step).rate

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


_ALL = "intra", "inter", "motion"


def _stages(steps: int) -> tuple[Stage, ...]:
    """The usual order, `steps` in all."""
    tenth, fifth, quarter = steps // 10, steps // 5, steps // 4
    return (
        Stage("intra", tenth, 1, ("intra",), batch=8),
        Stage("contextual", fifth, 3, ("inter",)),
        Stage("motion", tenth, 3, ("motion",), encoder=True),
        Stage("joint", fifth, 4, encoder=True),
        Stage("long unrolls", quarter, 7, encoder=True, through_time=True),
        Stage("integer-aware", steps - 2 * (tenth + fifth) - quarter, 5, _ALL, encoder=True, integer=True, rate=0.3),
    )


_INTEGERS = (Stage("integer-aware", 300, 4, encoder=True, integer=True),)

RECIPES = {
    "tiny": Recipe("tiny", "nano", _stages(20), warmup=2),
    "nano": Recipe("nano", "nano", _stages(3000)),
    "small": Recipe("small", "small", _stages(6000)),
    "large": Recipe("large", "large", _stages(40000)),
    # From trained weights, whatever their preset: the motion stage alone, such as for weights from before it.
    "motion": Recipe("motion", "small", (Stage("motion", 1500, 3, ("motion",), encoder=True),), warmup=50),
    # As well; `quaver quantize --qat`.
    "qat": Recipe("qat", "small", _INTEGERS, learning_rate=1e-4, warmup=20, decay=0.5, ema=0.98),
}


def load_recipe(name: str) -> Recipe:
    """A recipe by name, or by path to its JSON."""
    if name in RECIPES:
        return RECIPES[name]
    if not name.endswith(".json"):
        raise UsageError(f"no recipe named {name!r}; known: {', '.join(RECIPES)}; or give a path to a .json")
    try:
        values = json.loads(Path(name).read_text())
        stages = tuple(Stage(**stage | {"trains": tuple(stage["trains"])}) for stage in values.pop("stages"))
        recipe = Recipe(stages=stages, **values)
    except OSError as error:
        raise UsageError(f"{name}: cannot read the recipe: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{name}: not a recipe: {error}") from error
    if recipe.version != VERSION:
        raise UsageError(f"{name}: recipe version {recipe.version}; this version reads {VERSION}")
    return recipe
