"""Scores from files: weights, plans and clips in, one row for each plan out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from quaver.errors import UsageError
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.score import Score, float_curves, score
from quaver.lab.data.batches import largest_size
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.command import read_plan
from quaver.lab.lower.model import calibrate
from quaver.lab.models.weights import read_codec
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import load_model

_CALIBRATION = Stage("calibration", 6, 3, encoder=True)


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
    """Plans calibrated without training, then weights that were trained for one; each a row as it is measured."""
    if not plans and not trained:
        raise UsageError("nothing to score: give --plan or --trained")
    if threads:
        torch.set_num_threads(threads)
    base = load_model(skeleton)
    if read_codec(checkpoint, base).plan is not None:
        raise UsageError(f"{checkpoint}: these weights compute in integers; scores are against floating point")
    holder = tempfile.TemporaryDirectory() if cache is None else nullcontext(str(cache))
    with holder as folder:
        found = build_cache(data, Path(folder), exclude)
        chosen = choose_clips(found, clips, frames, size)
        stage = Stage("calibration", _CALIBRATION.steps, 3, encoder=True, size=largest_size(found, 3, 192))
        baseline = float_curves(read_codec(checkpoint, base), chosen)
        for text in plans:
            codec = read_codec(checkpoint, base)
            plan = read_plan(text, checkpoint, skeleton)
            calibrate(codec, [sequence_at(found, 0, stage, step) for step in range(stage.steps)], stage, plan)
            yield _row(plan, "ptq", score(codec, chosen, baseline))
        for path in trained:
            codec = read_codec(path, base)
            if codec.plan is None:
                raise UsageError(f"{path}: these weights have no plan; give them with --plan")
            yield _row(codec.plan, "qat", score(codec, chosen, baseline))


def _row(plan: QuantPlan, method: str, result: Score) -> dict[str, Any]:
    figures = {"zeta": result.zeta, "stderr": result.stderr, "d_rate": result.d_rate}
    return {"name": f"{plan.name} {method}", "hash": plan.hash} | figures
