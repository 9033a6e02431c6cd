"""Rate and quality of a model by real files: what BD-rates of plans are made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quaver.evaluate import metrics
from quaver.evaluate.run import Setting, code_quaver, read_clip
from quaver.runtime.model import IntegerModel

GROUP = 32  # frames from one intra frame to the next
Curves = dict[str, list[tuple[float, float]]]  # of every clip: bits per pixel, PSNR 6:1:1 in dB


def curves_of(model: IntegerModel, paths: Sequence[Path], qualities: Sequence[int], frames: int) -> Curves:
    """Curves of the clips' first `frames` frames."""
    result: Curves = {}
    for path in paths:
        pictures = read_clip(path, frames)
        area = pictures[0].format.width * pictures[0].format.height
        result[path.stem] = []
        for quality in qualities:
            coded = code_quaver(pictures, quality, model, Setting(frames, GROUP))
            found = (metrics.compare(a, b) for a, b in zip(pictures, coded.frames, strict=True))
            bpp = 8 * coded.bytes / len(pictures) / area
            result[path.stem].append((bpp, metrics.mean_quality(found)[1]))
    return result
