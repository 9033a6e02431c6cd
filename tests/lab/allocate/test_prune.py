"""What is believed of pruned channels."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.lab.allocate.prune import believed


def test_a_standard_error_is_added_and_noise_is_no_gain() -> None:
    assert believed(np.array([0.01, 0.03])) == pytest.approx(0.02 + 0.01)
    assert believed(np.array([-0.02, -0.04])) == pytest.approx(0.01)
    assert believed(np.array([0.02])) == 0.02
