"""Steps after calibration, in the integers that ship: rounding by loss, then bias correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from quaver.errors import UsageError
from quaver.lab.lower.biases import Corrected, correct_biases
from quaver.lab.lower.rounding import round_by_loss
from quaver.lab.lower.sequence_loss import SequenceLoss, apart
from quaver.lab.models.codec import Codec
from quaver.lab.quant.rounding import Rounded
from quaver.lab.train.objective import Sequence as Frames


@dataclass(frozen=True)
class Refinement:
    """rounding: of weights to the nearest code, or to the neighbour that J likes better, learned in `steps` steps.
    bias_correction: biases make up for the mean error of each layer. Either is fitted to three quarters of the examples
    that calibrate, and stays where J falls on the others. seed: of what the steps see."""

    rounding: Literal["nearest", "loss"] = "nearest"
    bias_correction: bool = False
    steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounding not in ("nearest", "loss"):
            raise UsageError(f"rounding {self.rounding!r}: nearest, loss are legal")
        if self.steps < 1:
            raise UsageError(f"{self.steps} steps of rounding by loss: at least 1")

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Self:
        """From options by name; UsageError names one that integers do not have."""
        other = next((name for name in recipe if name not in {field.name for field in fields(cls)}), None)
        if other is not None:
            raise UsageError(f"{other} is for simulation, these are integers: simulated() looks at it")
        return cls(**recipe)

    @property
    def asked(self) -> bool:
        """Whether there is anything to do."""
        return self.bias_correction or self.rounding == "loss"


CALIBRATED = Refinement()  # nothing beyond scales and clips


@dataclass(frozen=True)
class Refined:
    """What a refinement did on the examples that judge it. floating: J / R in floating point."""

    floating: float
    rounded: Rounded | None
    corrected: Corrected | None

    def __str__(self) -> str:
        """Each step, in percent of the float rate."""
        said = []
        for name, step, how in (
            ("rounding by loss", self.rounded, self.rounded and f"{self.rounded.changed:.1%} of codes are others"),
            ("biases", self.corrected, self.corrected and f"strength {self.corrected.strength:g}"),
        ):
            if step is not None:
                before, after = (100 * (value - self.floating) for value in (step.before, step.after))
                said.append(f"{name}: zeta {before:+.2f} to {after:+.2f} % where it is judged, {how}")
        return "\n".join(said)


def refine(codec: Codec, floating: Codec, sequences: Sequence[Frames], refinement: Refinement) -> Refined:
    """Refine a codec that has a plan, in place. floating: the same weights without one; sequences: of one size, with
    inter frames (UsageError)."""
    if any(each.y.shape[1] < 2 for each in sequences):
        raise UsageError("clips of one frame: steps after calibration need at least 2, an intra and an inter frame")
    learn, others = apart(sequences)
    judge = SequenceLoss(floating, others)
    rounded = corrected = None
    if refinement.rounding == "loss":
        rounded = round_by_loss(codec, SequenceLoss(floating, learn, refinement.seed), judge, refinement.steps)
    if refinement.bias_correction:
        corrected = correct_biases(codec, floating, learn, judge)
    return Refined(judge.floating, rounded, corrected)
