"""How much of a channel's energy lies at high spatial frequencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from quaver.lab.quant.sites import first_input, site_module


def high_frequency_share(model: nn.Module, names: Iterable[str], run: Callable[[], object]) -> dict[str, Tensor]:
    """(C,) float32 in 0..1 by layer: energy of first differences over four times the energy, the mean of rows and
    columns, of all (N, C, H, W) inputs that arrive while `run` runs the model. At frequency w a difference has
    4 sin^2(w / 2) of the energy, so a constant channel has 0, a white one 1/2, a checkerboard 1. Layers that were not
    called are left out."""
    sums: dict[str, Tensor] = {}
    handles: list[RemovableHandle] = []

    def watch(name: str) -> None:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = first_input(args, kwargs).detach().float()
            parts = torch.stack([_mean_square(x), _mean_square(x.diff(dim=2)), _mean_square(x.diff(dim=3))])
            sums[name] = sums[name] + parts if name in sums else parts

        handles.append(site_module(model, name).register_forward_pre_hook(before, with_kwargs=True))

    try:
        for name in names:
            watch(name)
        run()
    finally:
        for handle in handles:
            handle.remove()
    return {name: (rows + columns) / (8 * energy).clamp(min=1e-30) for name, (energy, rows, columns) in sums.items()}


def _mean_square(x: Tensor) -> Tensor:
    """(C,) of (N, C, H, W); 0 where a map has one row or column alone, which has no differences."""
    return x.square().mean((0, 2, 3)) if x.numel() else torch.zeros(x.shape[1])
