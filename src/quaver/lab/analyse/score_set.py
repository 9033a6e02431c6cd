"""What scores of many plans have in common, kept between runs: crops, and what floating point costs on them.

Looking for them means decoding a folder of videos, and coding them in floating point takes as long as one plan does; a
second score begins where the first one ended. Names of kept files are hashes of all that decides their content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence as Series
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.analyse.cache import ResultCache
from quaver.lab.analyse.clips import ClipSet, choose_clips
from quaver.lab.analyse.closed_loop import Curves
from quaver.lab.analyse.score import QUALITIES, float_curves
from quaver.lab.data.batches import largest_size
from quaver.lab.data.cache import decoded, files_of
from quaver.lab.lower.model import layer_inputs
from quaver.lab.manifest import code_hash, digest, environment
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import weights_hash
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.objective import Sequence
from quaver.lab.train.recipes import Stage

CALIBRATION = Stage("calibration", 6, 3, encoder=True)
_LARGEST = 192  # side of crops to calibrate with

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ScoreSet:
    """clips: to measure on. calibration: sequences that scales are fitted to."""

    clips: ClipSet
    calibration: tuple[Sequence, ...]


class Shelf:
    """Files that spare work; where they cannot be kept the work is done again."""

    def __init__(self, folder: Path | None) -> None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        try:
            self._cache: ResultCache | None = ResultCache((folder or home / "quaver") / "scores")
        except UsageError:
            self._cache = None

    def get(self, key: str) -> Any:
        return self._cache.get(key) if self._cache else None

    def put(self, key: str, value: Curves | Arrays) -> None:
        if self._cache:
            self._cache.put(key, value)


def score_set(
    data: Path, clips: int, frames: int, size: int, exclude: Series[str], cache: Path | None, shelf: Shelf
) -> ScoreSet:
    """Crops from the videos in `data`. Known by names, sizes and times of the files, so that nothing is read twice."""
    files = [(path.relative_to(data).as_posix(), path.stat()) for path in files_of(data, exclude)]
    listing = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in files]
    code = code_hash("lab/analyse", "lab/data", "media")  # that decodes and chooses
    shape = {"clips": clips, "frames": frames, "size": size}
    key = digest({"code": code, "files": listing} | shape)
    kept = shelf.get(key)
    if isinstance(kept, dict):
        return _unpacked(kept)
    with decoded(data, cache, exclude) as found:
        chosen = choose_clips(found, clips, frames, size)
        side = largest_size(found, CALIBRATION.frames, _LARGEST)
        stage = Stage("calibration", CALIBRATION.steps, CALIBRATION.frames, size=side)
        sequences = tuple(sequence_at(found, 0, stage, step) for step in range(stage.steps))
    made = ScoreSet(chosen, sequences)
    shelf.put(key, _packed(made))
    return made


def baseline(codec: Codec, clips: ClipSet, shelf: Shelf) -> Curves:
    """What a codec costs in floating point."""
    key = digest(_identity(codec) | {"clips": clips.hash, "qualities": list(QUALITIES)})
    kept = shelf.get(key)
    if isinstance(kept, Curves):
        return kept
    curves = float_curves(codec, clips)
    shelf.put(key, curves)
    return curves


def calibration_inputs(codec: Codec, scored: ScoreSet, shelf: Shelf) -> dict[str, Tensor]:
    """What the layers of a codec in floating point read: `layer_inputs` of the set's sequences."""
    key = digest(_identity(codec) | {"calibration": _hash(_packed(scored))})
    kept = shelf.get(key)
    if isinstance(kept, dict):
        return {name: torch.from_numpy(values) for name, values in kept.items()}
    inputs = layer_inputs(codec, scored.calibration, CALIBRATION)
    shelf.put(key, {name: values.numpy() for name, values in inputs.items()})
    return inputs


def _identity(codec: Codec) -> dict[str, Any]:
    """What floating point depends on, beside what it computes on."""
    note = environment()
    return {
        "weights": weights_hash(codec),
        "skeleton": codec.skeleton.hash.hex(),
        "versions": note["versions"],
        "code": note["code"],
        "cpu": note["cpu_capability"],
    }


def _hash(arrays: Arrays) -> str:
    result = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        result.update(f"{name} {values.shape}\n".encode())
        result.update(np.ascontiguousarray(values).tobytes())
    return result.hexdigest()


def _packed(made: ScoreSet) -> Arrays:
    arrays: Arrays = {"names": np.array(made.clips.names), "y": made.clips.y, "u": made.clips.u, "v": made.clips.v}
    for number, sequence in enumerate(made.calibration):
        for name in ("y", "u", "v", "quality"):
            arrays[f"{number}.{name}"] = getattr(sequence, name).numpy()
    return arrays


def _unpacked(arrays: Arrays) -> ScoreSet:
    clips = ClipSet(tuple(map(str, arrays["names"])), arrays["y"], arrays["u"], arrays["v"])
    sequences = tuple(
        Sequence(*(torch.from_numpy(arrays[f"{number}.{name}"]) for name in ("y", "u", "v", "quality")))
        for number in range(CALIBRATION.steps)
    )
    return ScoreSet(clips, sequences)
