"""Lowering from files: weights and calibration clips in, an integer model out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.data.batches import largest_size
from quaver.lab.data.cache import decoded
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.lower.refine import CALIBRATED, Refined, Refinement
from quaver.lab.manifest import beside, digest, files_note, sealed, write_manifest
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.recipes import Recipe, Stage
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
    trained: Mapping[str, Any] | None = None,
    refinement: Refinement = CALIBRATED,
    show: Callable[[Refined], None] = lambda _: None,
) -> IntegerModel:
    """Read weights, bring them to `plan` on `clips` unless they have one already, write `out` and its manifest.
    `patches`: instead of those that the weights have. `trained`: where quantized weights come from. `refinement`: of
    weights in floating point; `show` is told what that did."""
    codec = read_codec(checkpoint, load_model(skeleton))
    codec.patches = patches or codec.patches
    start, calibrated = weights_hash(codec), codec.plan is None
    if refinement.asked and not calibrated:
        raise UsageError(f"{checkpoint}: these weights compute in integers; only floating point is refined")
    did: dict[str, Any] = {}
    if codec.plan is None:
        if plan is not None and plan.model_hash not in ("", start):
            raise UsageError(f"plan {plan.name!r} was made for other weights than {checkpoint}")
        with decoded(clips, cache, exclude) as found:
            size = largest_size(found, _FRAMES, _SIZE)
            stage = Stage("calibration", sequences, _FRAMES, size=size, encoder=True)
            examples = [sequence_at(found, 0, stage, step) for step in range(sequences)]
            refined = calibrate(codec, examples, stage, plan, refinement)
        if refined is not None:
            did = {"refined": asdict(refined)}
            show(refined)
    elif plan is not None and (plan.layers, plan.shared) != (codec.plan.layers, codec.plan.shared):
        raise UsageError(f"{checkpoint}: these weights were trained for plan {codec.plan.name!r} and have no other")
    model = lower(codec, name)
    save_model(model, out)
    note = sealed(
        {
            "command": "quantize",
            "config": {"name": name, "sequences": sequences, "frames": _FRAMES, "size": _SIZE}
            | ({"refinement": asdict(refinement)} if refinement.asked else {}),
            "model_hash": start,
            "skeleton_hash": codec.skeleton.hash.hex(),
            "plan_hash": None if codec.plan is None else codec.plan.hash,
            "patches_hash": None if codec.patches is None else digest(codec.patches.to_json()),
            "data": files_note(clips, exclude) if calibrated or trained is not None else None,
            "trained": trained,
        }
    )
    write_manifest(beside(out), note, {"model_hash": model.hash.hex()} | did)
    return model


def training_note(recipe: Recipe, checkpoint: Path, skeleton: str) -> dict[str, Any]:
    """Of weights trained in integers: how, and from which weights."""
    return {"recipe": asdict(recipe), "model_hash": weights_hash(read_codec(checkpoint, load_model(skeleton)))}


def read_plan(text: str, checkpoint: Path, skeleton: str) -> QuantPlan:
    """A plan from a .json, or WxAy: x weight and y activation bits everywhere."""
    if text.endswith(".json"):
        return QuantPlan.load(Path(text))
    uniform = re.fullmatch(r"W(\d+)A(\d+)", text)
    if uniform is None:
        raise UsageError(f"--plan {text}: legal are a .json and uniform precisions such as W7A8 or W4A8")
    codec = read_codec(checkpoint, load_model(skeleton))
    return QuantPlan.uniform(list(wiring(codec)), int(uniform[1]), int(uniform[2]))
