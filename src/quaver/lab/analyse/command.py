"""An analysis from files: a checkpoint and a folder of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from quaver.lab.analyse.analysis import Announce, Show, analyse
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.data.cache import decoded


def analyse_checkpoint(
    checkpoint: Path,
    data: Path,
    out: Path | None,
    config: AnalyseConfig,
    qualities: Sequence[int],
    clips: int = 4,
    size: int = 128,
    exclude: Sequence[str] = (),
    cache: Path | None = None,
    skeleton: str = "skeleton",
    processes: int = 0,
    dask: str | None = None,
    announce: Announce = lambda estimate: None,
    show: Show = lambda progress: None,
) -> SensitivityTable:
    """As `analyse`, for weights that `quaver train` wrote and `clips` crops of size x size from videos in `data`."""
    adapter = QuaverAdapter.load(checkpoint, skeleton, tuple(qualities))
    with decoded(data, out / "clips" if cache is None and out is not None else cache, exclude) as found:
        chosen = choose_clips(found, clips, config.longest, size, config.seed)
    # One thread: more are slower where other processes work beside, and sums keep their order.
    torch.set_num_threads(1)
    return analyse(adapter, chosen, config, out, processes, dask, announce, show)
