"""Energy at high frequencies of channels whose spectrum is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quaver.lab.quant.frequency import high_frequency_share


def test_constant_white_and_checkerboard() -> None:
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    checkerboard = (1 - 2 * ((rows + columns) % 2)).float()
    x = torch.stack([torch.full((64, 64), 3.0), torch.randn(64, 64), checkerboard, torch.zeros(64, 64)])[None]
    model = nn.Sequential(nn.Conv2d(4, 2, 1), nn.Conv2d(2, 2, 1))
    found = high_frequency_share(model, ["0"], lambda: model(x))
    assert list(found) == ["0"] and found["0"].tolist() == pytest.approx([0, 0.5, 1, 0], abs=0.02)
    again = high_frequency_share(model, ["0"], lambda: (model(x), model(x)))["0"]
    torch.testing.assert_close(again, found["0"])
    assert not model[0]._forward_pre_hooks


def test_a_single_row_has_no_differences() -> None:
    layer = nn.Conv2d(1, 1, 1)
    model = nn.Sequential(layer)
    assert high_frequency_share(model, ["0"], lambda: model(torch.ones(1, 1, 1, 1)))["0"].tolist() == [0]
