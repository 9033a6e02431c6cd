"""Training from a folder: the clip cache, then the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from quaver.lab.data.cache import build_cache
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import Progress, train
from quaver.lab.train.recipes import Recipe
from quaver.runtime.model import load_model
from quaver.runtime.patches import PatchTable


def train_folder(
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool,
    start: Path | None,
    exclude: Sequence[str],
    cache: Path | None,
    skeleton: str,
    threads: int,
    show: Callable[[Progress], None],
) -> None:
    """Decode `data` once into a cache, then train."""
    if threads:
        torch.set_num_threads(threads)
    clips = build_cache(data, cache or out / "cache", exclude)
    train(recipe, clips, load_model(skeleton), out, resume, start, show=show)


def train_plan(
    recipe: Recipe,
    plan: QuantPlan,
    checkpoint: Path,
    data: Path,
    out: Path,
    resume: bool,
    exclude: Sequence[str],
    cache: Path | None,
    skeleton: str,
    threads: int,
    show: Callable[[Progress], None],
    patches: PatchTable | None = None,
) -> None:
    """Quantization-aware training: `checkpoint` quantized as `plan` and `patches` say, then trained in integers."""
    if threads:
        torch.set_num_threads(threads)
    clips = build_cache(data, cache or out / "cache", exclude)
    train(recipe, clips, load_model(skeleton), out, resume, checkpoint, show=show, plan=plan, patches=patches)
