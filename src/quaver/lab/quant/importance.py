"""What an error in a channel costs: the curvature of the task's loss, from a few backward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from quaver.lab.quant.sites import input_axis, site_module


def channel_importance(
    model: nn.Module, sites: Iterable[str], losses: Iterable[Callable[[], Tensor]]
) -> dict[str, Tensor]:
    """Half the summed squared gradient of every input channel, (C,) by call site, as the mean over `losses`, each of
    which runs the model once: times a channel's mean squared error it is the expected rise of the loss, to second
    order and where errors are independent (Fisher's diagonal, as in Dong et al., HAWQ-V2, NeurIPS 2020, with the
    gradient's square for the Hessian). Sites without a gradient are left out."""
    sums: dict[str, Tensor] = {}
    handles: list[RemovableHandle] = []

    def watch(name: str, module: nn.Module) -> None:
        axis = input_axis(module)

        def seen(gradient: Tensor) -> None:
            rows = gradient.detach().movedim(axis, 0).flatten(1).double()
            sums[name] = sums.get(name, torch.zeros(())) + rows.square().sum(1) / 2

        def before(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = arguments[0]
            # What is fed from outside has no gradient of its own.
            x = x if x.requires_grad else x.detach().requires_grad_()
            x = x.view_as(x)
            x.register_hook(seen)
            return (x, *arguments[1:])

        handles.append(module.register_forward_pre_hook(before))

    for name in sites:
        watch(name, site_module(model, name))
    count = 0
    try:
        for loss in losses:
            loss().backward()
            count += 1
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad(set_to_none=True)
    return {name: (total / max(count, 1)).float() for name, total in sums.items()}
