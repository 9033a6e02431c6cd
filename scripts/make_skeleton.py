"""Make src/quaver/models/skeleton.qvm: the codec without networks.

Step sizes follow the high-rate optimum (step**2 = 11.5 / lambda for luma, 17.3 / lambda for chroma); level tables
start from a Laplacian that narrows with frequency and are then fitted to what training clips really hold.

usage: make_skeleton.py OUT [TRAINING_CLIP ...]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from quaver.bitstream.tables import TableSet, frequencies_from_probabilities, laplace_tables
from quaver.codec.decisions import lagrangian
from quaver.runtime.model import QUALITIES, IntegerModel, save_model
from quaver.runtime.transform import CHANNELS

LEVELS = 16
SCALES = np.geomspace(0.06, 60, 48)


def initial_model() -> IntegerModel:
    """Level tables from a formula."""
    tables = laplace_tables(list(SCALES))
    uniform = frequencies_from_probabilities(np.append(np.ones(2 * 24 + 1), 0.0))
    tables = TableSet((*tables.frequencies, uniform))
    steps = np.array([_steps(quality) for quality in range(QUALITIES)], np.int32)
    amplitude = np.geomspace(0.12, 25, LEVELS - 1)[:, None]
    scale = amplitude * np.exp(-0.3 * _frequency())[None]
    nearest = 1 + np.abs(np.log(scale)[..., None] - np.log(SCALES)).argmin(-1)
    levels = np.concatenate([np.zeros((1, CHANNELS)), np.where(scale < 0.05, 1, nearest)]).astype(np.uint8)
    return IntegerModel("skeleton", steps, levels, levels.copy(), tables)


def _steps(quality: int) -> list[int]:
    lmbda = lagrangian(quality)
    return [round(16 * math.sqrt(11.5 / lmbda)), round(16 * math.sqrt(17.3 / lmbda))]


def _frequency() -> np.ndarray:
    def of(size: int) -> np.ndarray:
        v, u = np.mgrid[0:size, 0:size]
        return np.hypot(u, v).ravel()

    return np.concatenate([of(8), of(4), of(4)])


def main() -> None:
    out, clips = Path(sys.argv[1]), sys.argv[2:]
    model = initial_model()
    if clips:
        from fit_levels import fit

        model = fit(model, [Path(clip) for clip in clips])
    save_model(model, out)
    print(f"{out}: {model.hash.hex()[:16]}, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
