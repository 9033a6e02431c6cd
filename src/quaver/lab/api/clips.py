"""Clips to measure on: crops of a folder of videos, or of the demo clip that the package holds."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from quaver.lab.analyse.clips import ClipSet, choose_clips
from quaver.lab.data.cache import decoded

_DRAWS = 8  # of crops, where there are fewer videos than clips


def clips_of(
    folder: Path | str | None = None,
    count: int = 2,
    frames: int = 8,
    size: int = 64,
    *,
    exclude: Sequence[str] = (),
    cache: Path | str | None = None,
    seed: int = 0,
) -> ClipSet:
    """`count` crops of size x size and `frames` frames, from as many videos of `folder` as there are; without one from
    the package's demo clip. cache: where decoded videos are kept; else nowhere. UsageError where no video will do."""
    source = Path(folder) if folder is not None else demo_folder()
    with decoded(source, None if cache is None else Path(cache), exclude) as found:
        clips = choose_clips(found, count, frames, size, seed)
        for draw in range(1, _DRAWS):
            if len(clips) >= count:
                break
            clips = _joined(clips, choose_clips(found, count - len(clips), frames, size, seed + draw))
    return clips


def demo_folder() -> Path:
    """Where the demo clip lies in the package."""
    return Path(str(resources.files("quaver"))) / "demo"


def _joined(clips: ClipSet, more: ClipSet) -> ClipSet:
    """Both, crops that are there already left out."""
    new = [i for i, name in enumerate(more.names) if name not in clips.names]
    planes = (
        np.concatenate([old, extra[new]]) for old, extra in ((clips.y, more.y), (clips.u, more.u), (clips.v, more.v))
    )
    return ClipSet((*clips.names, *(more.names[i] for i in new)), *planes)
