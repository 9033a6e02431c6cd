"""A small codec and a sensitivity table of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.workload import Workload
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.weights import weights_hash

PRESET = Preset(8, 1, 1, 1, 1, 4, motion=8, motion_blocks=1, estimator=1)


def table_of(codec: Codec, seed: int = 0, only: str = "") -> SensitivityTable:
    """zeta as it falls with bits, at 4, 6 and 8; of all layers, or of those of one network."""
    rng, own = np.random.default_rng(seed), weights_hash(codec)
    rows: list[dict[str, Any]] = []
    for layer in codec_layers(codec, Workload()):
        for kind in "wa" if layer.planned and only in ("", layer.network) else "":
            weight = rng.lognormal(0, 1)
            for bits in (4, 6, 8):
                rows.append(
                    {
                        "model_hash": own,
                        "call_site": layer.call_site,
                        "module": layer.network,
                        "kind": kind,
                        "level": "layer",
                        "bits": bits,
                        "mode": "add",
                        "lambda": 0.1,
                        "clip": "mean",
                        "frames": 8,
                        "zeta": float(weight * 4.0**-bits),
                        "source": "measured",
                    }
                )
    return SensitivityTable.of(rows)
