"""Sizes of maps and how often networks run."""

from __future__ import annotations

from fractions import Fraction

import pytest

from quaver.errors import UsageError
from quaver.lab.costs.workload import Workload
from quaver.runtime.model import GRAPHS


def test_maps_of_padded_pictures() -> None:
    workload = Workload(100, 50)
    assert workload.padded == (64, 112)
    assert workload.map("inter.decoder") == (8, 14) and workload.map("intra.loop") == (32, 56)
    assert workload.map("motion.detail") == (4, 7) and workload.map("motion.estimator") == (8, 14)


def test_shares_of_a_group() -> None:
    decode, encode = Workload(gop=4), Workload(gop=4, side="encode")
    assert decode.share("intra.loop") == Fraction(1, 4) and decode.share("motion.average") == Fraction(3, 4)
    assert decode.share("inter.encoder") == 0 and encode.share("inter.encoder") == Fraction(3, 4)
    assert all(encode.share(name) > 0 for name in GRAPHS)


def test_nonsense_is_refused() -> None:
    for wrong in ({"width": 0}, {"gop": 0}, {"side": "both"}):
        with pytest.raises(UsageError):
            Workload(**wrong)  # type: ignore[arg-type]
