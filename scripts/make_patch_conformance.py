"""Make the conformance vectors of profile 2: the frozen model of profile 1 with a patch table, and golden streams.

Run once; needs the lab. usage: make_patch_conformance.py OUT
"""

from __future__ import annotations

import dataclasses

import numpy as np
from golden_set import Golden, write_set

from quaver.codec import conformance
from quaver.runtime.model import IntegerModel, read_model
from quaver.runtime.patches import PatchTable

# Every bit-width for every network, in classes on both sides of thresholds that the pictures cross.
THRESHOLDS = {"levels": (1, 430), "motion": (1, 1000), "gradient": (100000,), "change": (95000,)}
STREAMS = (
    Golden("patches-odd", 87, 51, 20, 6, "slide"),
    Golden("patches-fast", 64, 80, 24, 6, "fast"),
    Golden("patches-still", 48, 96, 20, 6, "still"),
)


def patch_model() -> IntegerModel:
    rng = np.random.default_rng(13)
    bits = np.stack([rng.permutation(np.arange(36) % 9) for _ in range(3)], 1).astype(np.uint8)
    frozen = read_model(conformance.folder() / "model.qvm")
    return dataclasses.replace(frozen, name="conformance-patches", patches=PatchTable(THRESHOLDS, bits))


if __name__ == "__main__":
    write_set(patch_model(), STREAMS, "patch_", tensors=False)
