"""Cross-layer equalization of any codec: which layers, whether anything else reads between them, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves, run
from quaver.lab.quant.ptq import equalize, input_channels, rescale
from quaver.lab.quant.sites import call_sites, site_module, weight_of

Pairs = Sequence[tuple[str, str]]

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)
_BETWEEN = (nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Dropout)  # f(s x) = s f(x) for s > 0, in eval mode
_TRIED = 2  # frames that show whether a codec computes what it did


def pairs_of(module: nn.Module) -> list[tuple[str, str]]:
    """(first, second) of layers that follow each other in an `nn.Sequential` with at most a ReLU or leaky ReLU between
    them. Whether a codec runs the sequence as a whole is not known before `equalized` has tried."""
    names = {id(module.get_submodule(name)): name for name in call_sites(module)}
    found: list[tuple[str, str]] = []
    for sequence in module.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        layers = [layer for layer in sequence if not isinstance(layer, _BETWEEN)]
        found += [
            (names[id(first)], names[id(second)])
            for first, second in pairwise(layers)
            if id(first) in names and id(second) in names and _fit(first, second)
        ]
    return found


@contextmanager
def equalized(
    adapter: CodecAdapter, clips: ClipSet, pairs: Pairs | None = None
) -> Iterator[dict[tuple[str, str], Tensor]]:
    """Weights equalized for the length of a with statement; yields the factors of each pair (`quant.equalize`).

    pairs: None takes `pairs_of`. First they are tried with the factors 2 and 4 in turns, which change no bit of what
    the codec computes unless something else reads, or is, between two layers: that is a UsageError.
    """
    module = adapter.module
    chosen = pairs_of(module) if pairs is None else list(pairs)
    if not chosen:
        raise UsageError(f"{adapter.name}: no two layers follow each other in a Sequential; name pairs of layers")
    first, seen = clips.one(0), _coded(adapter, clips.one(0))
    with unchanged(module):
        for pair in chosen:
            rescale(module, pair, 2.0 + 2 * (torch.arange(input_channels(site_module(module, pair[1]))) % 2))
        same = _coded(adapter, first)
    if not (np.array_equal(seen.rate, same.rate) and np.array_equal(seen.distortion, same.distortion)):
        some = ", ".join(f"{a} and {b}" for a, b in chosen[:3]) + (", ..." if len(chosen) > 3 else "")
        raise UsageError(
            f"{adapter.name}: something else reads or is between two of {some}; name the pairs that are free"
        )
    with unchanged(module):
        yield equalize(module, chosen)


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Parameters, buffers, gradients and training mode are afterwards what they are now, the same objects with the same
    bits, whatever is done to them in between."""
    tensors = [
        (store, name, value, value.detach().clone(), value.grad)
        for part in module.modules()
        for store in _stores(part)
        for name, value in store.items()
        if value is not None
    ]
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for store, name, value, bits, gradient in tensors:
                value.copy_(bits)
                value.grad = gradient
                store[name] = value
        for part, mode in modes:
            part.training = mode


def _stores(part: nn.Module) -> list[dict[str, Any]]:
    return [part._parameters, part._buffers]


def _fit(first: nn.Module, second: nn.Module) -> bool:
    if not (isinstance(first, _LAYERS) and isinstance(second, _LAYERS)):
        return False
    grouped = isinstance(first, nn.ConvTranspose1d | nn.ConvTranspose2d) and first.groups > 1
    return weight_of(first).ndim == weight_of(second).ndim and not grouped


def _coded(adapter: CodecAdapter, clips: ClipSet) -> Curves:
    return run(adapter, clips, min(_TRIED, clips.frames))
