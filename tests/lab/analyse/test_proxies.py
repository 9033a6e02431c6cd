"""Cheap scores against a truth that is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quaver.lab.analyse.gradients import SCORES
from quaver.lab.analyse.proxies import audit
from quaver.lab.analyse.table import PROXY_SCHEMA, SensitivityTable


@pytest.mark.parametrize("sign", [1, -1])
def test_kinds_of_modules_are_compared_by_themselves(sign: int) -> None:
    """Scores order decoders right (or all wrong) and loops the other way round; two layers are no order."""
    rows, slopes = [], {}
    for module, count, order in (("inter.decoder", 4, sign), ("intra.loop", 3, -sign), ("motion.detail", 2, 1)):
        for place in range(count):
            site = f"{module}.{place}"
            row = {"call_site": site, "module": module, "kind": "w", "level": "layer", "bits": 4, "mode": "open",
                   "lambda": 0.1, "clip": "mean", "zeta": float(place)}  # fmt: skip
            rows.append(row)
            slopes[f"{site}|w|4"] = np.full((len(SCORES), 2), 10.0 + order * place)
    slopes["seconds"] = np.array([1.0, 2.0])
    found = pl.DataFrame(list(audit(SensitivityTable.of(rows).rows, {0.1: slopes}, {}, "s", 1.0)), schema=PROXY_SCHEMA)
    fisher = dict(found.filter(proxy="Fisher").select("modules", "rank_correlation").iter_rows())
    assert fisher.keys() == {"all", "decoder", "loop"}
    assert fisher["decoder"] == pytest.approx(sign) and fisher["loop"] == pytest.approx(-sign)
    assert found.filter(modules="all")["count"].unique().to_list() == [9]
    assert found["lambda"].null_count() == len(found)
