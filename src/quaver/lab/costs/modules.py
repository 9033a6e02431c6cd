"""Cost rows of any torch module, by hooks on one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.costs import fixed
from quaver.lab.costs.layers import Layer, convolution
from quaver.lab.quant.sites import Role, site_name

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def module_layers(module: nn.Module, forward: Callable[[], Any], role: Role | None = None) -> list[Layer]:
    """Layers that `forward()` calls on `module` or its parts: Conv2d, ConvTranspose2d, Linear, and classes named GDN
    with a `beta` per channel (CompressAI's). A layer that is called several times on maps of one size is one row with
    `share` calls; on maps of several sizes it is a row per size, with @0, @1, ... after its name.

    role: as for `observe`. There is then one row per call site, as plans name them: calls on maps of other sizes count
    as so many of the first, and of a layer that has several roles the first row alone is `stored`.

    UsageError where nothing is called.
    """
    calls: dict[tuple[str, int, int], list[Layer]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(layer: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
            row = _row(site_name(name, role), layer, arguments[0], result)
            calls.setdefault((row.call_site, row.rows, row.columns), []).append(row)

        return hook

    hooks = [child.register_forward_hook(note(name)) for name, child in module.named_modules() if _counted(child)]
    try:
        forward()
    finally:
        for handle in hooks:
            handle.remove()
    if not calls:
        raise UsageError(f"{type(module).__name__}: the forward pass calls no convolution, linear layer or GDN")
    return _merged(calls) if role is None else _by_call_site(row for rows in calls.values() for row in rows)


def _counted(module: nn.Module) -> bool:
    return isinstance(module, (*_CONVOLUTIONS, nn.Linear)) or (
        type(module).__name__ == "GDN" and isinstance(getattr(module, "beta", None), Tensor)
    )


def _row(name: str, layer: nn.Module, x: Tensor, y: Tensor) -> Layer:
    if isinstance(layer, nn.Linear):
        rows = y.numel() // layer.out_features
        return convolution(name, (layer.in_features, layer.out_features, 1, 1), (rows, 1), shared_input=True)
    if isinstance(layer, _CONVOLUTIONS):
        # A transposed convolution multiplies once per weight and position of its input.
        seen = x if isinstance(layer, nn.ConvTranspose2d) else y
        map = int(seen.shape[-2]) * (int(seen.shape[0]) if seen.ndim == 4 else 1), int(seen.shape[-1])
        taps = layer.kernel_size[0] * layer.kernel_size[1]
        return convolution(name, (layer.in_channels, layer.out_channels, taps, layer.groups), map, shared_input=True)
    beta = layer.beta
    assert isinstance(beta, Tensor)
    return fixed.gdn(name, len(beta), (int(x.shape[-2]) * int(x.shape[0]), int(x.shape[-1])))


def _merged(calls: dict[tuple[str, int, int], list[Layer]]) -> list[Layer]:
    sizes: dict[str, int] = {}
    for name, _, _ in calls:
        sizes[name] = sizes.get(name, 0) + 1
    seen: dict[str, int] = {}
    result = []
    for (name, _, _), rows in calls.items():
        number = seen[name] = seen.get(name, -1) + 1
        label = f"{name}@{number}" if sizes[name] > 1 else name
        result.append(replace(rows[0], call_site=label, share=Fraction(len(rows))))
    return result


def _by_call_site(calls: Iterable[Layer]) -> list[Layer]:
    rows: dict[str, Layer] = {}
    stored: set[str] = set()
    for call in calls:
        first = rows.get(call.call_site)
        if first is None:
            name = call.call_site.partition("@")[0]
            rows[call.call_site] = replace(call, stored=name not in stored)
            stored.add(name)
        else:
            rows[call.call_site] = replace(first, share=first.share + Fraction(call.operations, first.operations))
    return list(rows.values())
