"""Lowering from files: weights and calibration clips in, an integer model out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from quaver.errors import UsageError
from quaver.lab.data.batches import largest_size
from quaver.lab.data.cache import decoded
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import IntegerModel, load_model, save_model
from quaver.runtime.patches import PatchTable

_FRAMES, _SIZE = 4, 192  # of a calibration sequence; crops are smaller where the clips are


def lower_checkpoint(
    checkpoint: Path,
    out: Path,
    clips: Path,
    skeleton: str,
    name: str,
    sequences: int,
    cache: Path | None,
    plan: QuantPlan | None = None,
    exclude: Sequence[str] = (),
    patches: PatchTable | None = None,
) -> IntegerModel:
    """Read weights, bring them to `plan` on `clips` unless they have one already, write `out`. `patches`: instead of
    those that the weights have."""
    codec = read_codec(checkpoint, load_model(skeleton))
    codec.patches = patches or codec.patches
    if codec.plan is None:
        if plan is not None and plan.model_hash not in ("", weights_hash(codec)):
            raise UsageError(f"plan {plan.name!r} was made for other weights than {checkpoint}")
        with decoded(clips, cache, exclude) as found:
            size = largest_size(found, _FRAMES, _SIZE)
            stage = Stage("calibration", sequences, _FRAMES, size=size, encoder=True)
            calibrate(codec, [sequence_at(found, 0, stage, step) for step in range(sequences)], stage, plan)
    elif plan is not None and plan.layers != codec.plan.layers:
        raise UsageError(f"{checkpoint}: these weights were trained for plan {codec.plan.name!r} and have no other")
    model = lower(codec, name)
    save_model(model, out)
    return model


def read_plan(text: str, checkpoint: Path, skeleton: str) -> QuantPlan:
    """A plan from a .json, or WxAy: x weight and y activation bits everywhere."""
    if text.endswith(".json"):
        return QuantPlan.load(Path(text))
    uniform = re.fullmatch(r"W(\d+)A(\d+)", text)
    if uniform is None:
        raise UsageError(f"--plan {text}: legal are a .json and uniform precisions such as W7A8 or W4A8")
    codec = read_codec(checkpoint, load_model(skeleton))
    return QuantPlan.uniform(list(wiring(codec)), int(uniform[1]), int(uniform[2]))
