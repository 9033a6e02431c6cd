"""Training from a folder: the clip cache, then the loop; beside the weights the manifest of what they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from quaver.lab.data.cache import build_cache
from quaver.lab.manifest import digest, files_note, sealed, write_manifest
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import Progress, supports_bfloat16, train
from quaver.lab.train.recipes import Recipe
from quaver.runtime.model import IntegerModel, load_model
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
    plan: QuantPlan | None = None,
    patches: PatchTable | None = None,
) -> None:
    """Decode `data` once into a cache, then train.

    plan, patches: quantization-aware training of `start`, quantized as they say and then trained in integers.
    """
    if threads:
        torch.set_num_threads(threads)
    clips, steps = build_cache(data, cache or out / "cache", exclude), load_model(skeleton)
    note = _note(recipe, data, exclude, start, steps, plan, patches)
    path = out / "manifest.json"
    earlier = _earlier(path, note["hash"]) if resume else []
    begun = False

    def noted(figures: Progress) -> None:
        """From the first step on, when what cannot be trained has been refused."""
        nonlocal begun
        if not begun:
            write_manifest(path, note, {"earlier": earlier})
            begun = True
        show(figures)

    average = train(recipe, clips, steps, out, resume, start, show=noted, plan=plan, patches=patches)
    write_manifest(path, note, {"earlier": earlier, "model_hash": weights_hash(average)})


def _note(
    recipe: Recipe,
    data: Path,
    exclude: Sequence[str],
    start: Path | None,
    skeleton: IntegerModel,
    plan: QuantPlan | None,
    patches: PatchTable | None,
) -> dict[str, Any]:
    return sealed(
        {
            "command": "train",
            "config": {"recipe": asdict(recipe), "bfloat16": supports_bfloat16()},
            "model_hash": None if start is None else weights_hash(read_codec(start, skeleton)),
            "skeleton_hash": skeleton.hash.hex(),
            "plan_hash": None if plan is None else plan.hash,
            "patches_hash": None if patches is None else digest(patches.to_json()),
            "data": files_note(data, exclude),
        }
    )


def _earlier(path: Path, own: str) -> list[str]:
    """Manifests under which a run went before it was interrupted, where they differ: another machine, other code."""
    try:
        found = json.loads(path.read_text())
        return [each for each in (*found.get("result", {}).get("earlier", ()), found["hash"]) if each != own]
    except (OSError, ValueError, KeyError):
        return []
