"""Scores from files: weights, plans and clips in, one row for each plan out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from quaver.errors import UsageError
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.score import QUALITIES, Score, score
from quaver.lab.analyse.score_set import CALIBRATION, Shelf, baseline, calibration_inputs, score_set
from quaver.lab.lower.command import read_plan
from quaver.lab.lower.model import bring_to
from quaver.lab.manifest import manifest
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model


def score_checkpoint(
    checkpoint: Path,
    plans: Sequence[str],
    trained: Sequence[Path],
    data: Path,
    clips: int,
    frames: int,
    size: int,
    exclude: Sequence[str],
    cache: Path | None,
    skeleton: str,
    threads: int,
) -> Iterator[dict[str, Any]]:
    """Plans calibrated without training, then weights that were trained for one; each a row as it is measured, with the
    manifest of what it depends on. Crops and the float baseline are kept for the next time."""
    if not plans and not trained:
        raise UsageError("nothing to score: give --plan or --trained")
    if threads:
        torch.set_num_threads(threads)
    base = load_model(skeleton)
    codec = read_codec(checkpoint, base)
    if codec.plan is not None:
        raise UsageError(f"{checkpoint}: these weights compute in integers; scores are against floating point")
    chosen = [read_plan(text, checkpoint, skeleton) for text in plans]
    own = weights_hash(codec)
    for plan in chosen:
        if plan.model_hash not in ("", own):
            made, here = plan.model_hash[:16], own[:16]
            raise UsageError(f"plan {plan.name!r} was made for other weights ({made}) than {checkpoint} ({here})")
    shelf = Shelf(cache)
    scored = score_set(data, clips, frames, size, exclude, cache, shelf)
    expected = baseline(codec, scored.clips, shelf)
    config = {"calibration": [CALIBRATION.steps, CALIBRATION.frames], "seed": 0}
    adapter = QuaverAdapter(codec, QUALITIES)

    def note(plan: QuantPlan, trained: str = "") -> dict[str, Any]:
        return manifest(adapter, scored.clips, config | {"plan": plan.hash, "trained": trained})

    inputs = calibration_inputs(codec, scored, shelf) if chosen else {}
    for plan in chosen:
        codec = read_codec(checkpoint, base)
        bring_to(codec, plan, inputs)
        yield _row(plan, "ptq", score(codec, scored.clips, expected), note(plan))
    for path in trained:
        codec = read_codec(path, base)
        if codec.plan is None:
            raise UsageError(f"{path}: these weights have no plan; give them with --plan")
        own_note = note(codec.plan, weights_hash(codec))
        yield _row(codec.plan, "qat", score(codec, scored.clips, expected), own_note)


def _row(plan: QuantPlan, method: str, result: Score, note: dict[str, Any]) -> dict[str, Any]:
    figures = {"zeta": result.zeta, "stderr": result.stderr, "d_rate": result.d_rate}
    return {"name": f"{plan.name} {method}", "hash": plan.hash} | figures | {"manifest": note}
