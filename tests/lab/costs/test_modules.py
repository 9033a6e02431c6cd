"""Costs of any module, from one forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab.costs.modules import module_layers
from quaver.lab.costs.table import totals
from quaver.lab.quant.plan import QuantPlan


class GDN(nn.Module):
    """As CompressAI's is seen from outside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.norm = GDN(8)
        self.up = nn.ConvTranspose2d(8, 3, (3, 1), stride=2)
        self.never = nn.Conv2d(3, 3, 1)
        self.shared = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for size in (4, 4):
            self.shared(torch.zeros(size, 4))
        return self.up(self.norm(self.down(x)))


def test_layers_that_are_called() -> None:
    net = Net()
    rows = {row.call_site: row for row in module_layers(net, lambda: net(torch.zeros(1, 3, 16, 12)))}
    assert set(rows) == {"down", "norm", "up", "shared"}
    assert rows["down"].operations == 8 * 3 * 25 * 8 * 6
    assert rows["up"].operations == 8 * 3 * 3 * 8 * 6  # once per weight and position of the input
    assert rows["norm"].operations == (64 + 24) * 48
    assert rows["shared"].macs == 2 * 4 * 4 * 2
    assert not any(module._forward_hooks for module in net.modules())


def test_sizes_are_rows_of_their_own() -> None:
    conv = nn.Conv2d(1, 1, 1)
    rows = module_layers(nn.Sequential(conv), lambda: [conv(torch.zeros(1, 1, s, s)) for s in (4, 8, 4)])
    assert [(row.call_site, row.operations, row.share) for row in rows] == [("0@0", 16, 2), ("0@1", 64, 1)]


def test_a_row_for_every_call_site() -> None:
    """Sizes count as so many calls of the first; only one role's weights are in the file."""
    conv, now = nn.Conv2d(1, 2, 1), "intra"

    def forward() -> None:
        nonlocal now
        for now in ("intra", "inter"):
            for side in (4, 8) if now == "inter" else (4,):
                conv(torch.zeros(1, 1, side, side))

    intra, inter = module_layers(nn.Sequential(conv), forward, lambda: now)
    assert (intra.call_site, intra.share, inter.call_site, inter.share) == ("0@intra", 1, "0@inter", 5)
    plan = QuantPlan.uniform(["0"], 4, 8)
    whole, first = totals([intra, inter], plan), totals([intra], plan)
    assert whole["bops"] == 6 * first["bops"]
    assert (whole["bytes"], whole["avg_bits"]) == (first["bytes"], first["avg_bits"]) == (first["bytes"], 4)


def test_nothing_called() -> None:
    with pytest.raises(UsageError, match="ReLU"):
        module_layers(nn.ReLU(), lambda: None)
