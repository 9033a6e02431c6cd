"""Call sites: which layers can be quantized, and what arrives at them.

A call site is a layer that has a weight and whose first argument is its input. Nothing is traced: layers are found by
name, inputs by hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from quaver.errors import UsageError
from quaver.lab.quant.observers import SiteStats, accumulate

Role = Callable[[], str]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

# A weight, but not one that multiplies the first argument.
_OTHER_USE = (nn.Embedding, nn.EmbeddingBag, nn.Bilinear)


def call_sites(model: nn.Module, *patterns: str) -> list[str]:
    """Names of the layers that can be quantized, in the model's order; of those that match one of the shell patterns
    where there are any. Every module with a parameter `weight` of two or more dimensions is one."""
    names = [name for name, module in model.named_modules() if _is_site(module)]
    if not patterns:
        return names
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(f"no call site is named {pattern!r}; there are {_some(names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def observe(
    model: nn.Module, sites: Iterable[str], run: Callable[[], object], role: Role | None = None
) -> dict[str, SiteStats]:
    """Statistics of the inputs of `sites` while `run` runs the model, as often as it likes.

    role: says in which role the model runs now; call sites are then named `name@role` (where it says "", `name`).
    Sites that were not called are not in the result. UsageError names a site that the model lacks, or whose input is
    not finite.
    """
    stats: dict[str, SiteStats] = {}
    handles: list[RemovableHandle] = []
    names = sorted({site.partition("@")[0] for site in sites})

    def watch(name: str, module: nn.Module) -> None:
        axis = input_axis(module)

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            site = site_name(name, role)
            try:
                stats[site] = accumulate(stats.get(site), first_input(args, kwargs), axis)
            except UsageError as error:
                raise UsageError(f"{site}: {error}") from None

        # First of all hooks: what is seen is what arrives, also where quantizers are attached.
        handles.append(module.register_forward_pre_hook(before, prepend=True, with_kwargs=True))

    try:
        for name in names:
            watch(name, site_module(model, name))
        run()
    finally:
        for handle in handles:
            handle.remove()
    if not stats:
        raise UsageError(f"none was called while observed: {_some(names)}")
    return stats


def site_module(model: nn.Module, name: str) -> nn.Module:
    """The layer of a call site; UsageError where the model has none of that name."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        raise UsageError(f"no layer is named {name!r}; there are {_some(call_sites(model))}") from None
    if not _is_site(module):
        raise UsageError(f"{name} ({type(module).__name__}) has no weight that multiplies its first argument")
    return module


def weight_of(module: nn.Module) -> nn.Parameter:
    weight = module._parameters["weight"]
    assert weight is not None
    return weight


def input_axis(module: nn.Module) -> int:
    """Of the input's channels, from the end: (..., C) of linear layers, (..., C, H, W) of 2-D convolutions."""
    return 1 - weight_of(module).ndim


def output_axis(module: nn.Module) -> int:
    """Of the weight's output channels."""
    return 1 if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0


def site_name(name: str, role: Role | None) -> str:
    now = role() if role is not None else ""
    return f"{name}@{now}" if now else name


def first_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    x = args[0] if args else next(iter(kwargs.values()), None)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise UsageError("its first argument is not a floating-point tensor")
    return x


def with_input(args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Arguments:
    return ((x, *args[1:]), kwargs) if args else ((), {**kwargs, next(iter(kwargs)): x})


def _is_site(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    return weight is not None and weight.ndim >= 2 and not isinstance(module, _OTHER_USE)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
