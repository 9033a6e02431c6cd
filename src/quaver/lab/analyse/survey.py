"""What a codec has to quantize: its call sites, when they are called, what arrives at them, and scales for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.analyse.adapter import CodecAdapter, Grids, OwnGrids, State, module_of
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import run
from quaver.lab.analyse.jobs import Kind, Part
from quaver.lab.quant.observers import SiteStats, accumulate
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose
from quaver.lab.quant.sites import call_sites, observe, output_axis, site_module, weight_of

STATE = "state"  # the module that recirculated parts are listed under
BARS = 64  # of a histogram


@dataclass(frozen=True)
class Survey:
    """layers: names with weights, in the model's order. inputs: call sites (`layer` or `layer@role`). first, last: per
    call site the first frame that calls it and, where that is not the end of what was seen, the last.
    state: recirculated parts. scales: of inputs and state parts by bits. idle: layers that were never called.
    widths: channels by (call site, kind). weights: by layer and bits, real values on the codec's own grids, where it
    has any.
    """

    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    modules: dict[str, str]
    first: dict[str, int]
    last: dict[str, int]
    state: tuple[str, ...]
    idle: tuple[str, ...]
    scales: dict[tuple[str, int], Scale]
    widths: dict[tuple[str, str], int]
    histograms: dict[str, Any] = field(default_factory=dict)
    weights: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def sites_of(self, layer: str) -> list[str]:
        """The call sites of a layer."""
        return [site for site in self.inputs if site.partition("@")[0] == layer]

    def first_frame(self, part: Part) -> int:
        """The first frame that a part can change; what it does to the state shows in the frame after."""
        if part.kind == "state":
            return 1
        sites = [site for layer in part.layers for site in self.sites_of(layer)]
        return min(self.first[site] for site in (*sites, *part.inputs))

    def parts(self, level: str, kinds: Sequence[Kind]) -> list[Part]:
        """All parts of a level; recirculated ones belong to the modules' level."""
        result = []
        for kind in kinds:
            if kind == "state":
                result += [Part(name, STATE, "module", "state") for name in self.state if level == "module"]
            elif level == "module":
                result += self._modules(kind)
            else:
                result += self._layers(kind)
        return result

    def _modules(self, kind: Kind) -> list[Part]:
        groups: dict[str, tuple[list[str], list[str]]] = {}
        for names, index in ((self.layers, 0), (self.inputs, 1)):
            for name in names:
                groups.setdefault(self.modules[name], ([], []))[index].append(name)
        return [
            Part(module, module, "module", kind, *_parts_of(kind, layers, inputs))
            for module, (layers, inputs) in groups.items()
        ]

    def _layers(self, kind: Kind) -> list[Part]:
        if kind == "a":
            return [Part(site, self.modules[site], "layer", "a", (), (site,)) for site in self.inputs]
        return [
            Part(name, self.modules[name], "layer", kind, *_parts_of(kind, [name], self.sites_of(name)))
            for name in self.layers
        ]


def _parts_of(kind: Kind, layers: list[str], inputs: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(layers) if "w" in kind else (), tuple(inputs) if "a" in kind else ()


def survey(adapter: CodecAdapter, clips: ClipSet, frames: int, bits: Sequence[int], only: Sequence[str] = ()) -> Survey:
    """Run the float model once and look. only: shell patterns of layer names; UsageError where one matches nothing."""
    names = call_sites(adapter.module, *only)
    watch = _Watch(adapter, names)
    states: dict[str, SiteStats] = {}

    def after(t: int, state: State) -> State:
        for name, part in adapter.state_parts(state).items():
            try:
                states[name] = accumulate(states.get(name), part.reshape(1, -1), 0)
            except UsageError as error:
                raise UsageError(f"state {name}: {error}") from None
        return state

    with watch:
        stats = observe(adapter.module, names, lambda: run(adapter, clips, frames, 0, watch.begin, after), adapter.role)
    order = {name: place for place, name in enumerate(names)}
    inputs = tuple(sorted(stats, key=lambda site: (order[site.partition("@")[0]], site)))
    called = {site.partition("@")[0] for site in inputs}
    layers = tuple(name for name in names if name in called)
    homeless = [name for name in layers if not module_of(adapter, name)]
    if homeless:
        raise UsageError(f"{homeless[0]}: belongs to none of the modules {', '.join(adapter.modules)}")
    scales: dict[tuple[str, int], Scale] = {}
    weights: dict[tuple[str, int], Tensor] = {}
    for width in bits:
        own = adapter.grids(stats, width) if isinstance(adapter, OwnGrids) else Grids()
        scales |= {(site, width): own.inputs.get(site) or choose(stats[site], width, "mse") for site in inputs}
        weights |= {(name, width): each for name, each in own.weights.items()}
        scales |= {(name, width): choose(each, width, "mse") for name, each in states.items()}
    modules = {name: site_module(adapter.module, name) for name in layers}
    widths = {(name, "w"): weight_of(module).shape[output_axis(module)] for name, module in modules.items()}
    widths |= {(site, "a"): stats[site].channels for site in inputs}
    return Survey(
        layers,
        inputs,
        {name: module_of(adapter, name) for name in (*layers, *inputs)},
        watch.first,
        {site: t for site, t in watch.last.items() if t < frames - 1},
        tuple(states),
        tuple(name for name in names if name not in called),
        scales,
        widths,
        _histograms(adapter.module, layers, stats | states),
        weights,
    )


class _Watch:
    """Notes in which frames each call site is called first and last."""

    def __init__(self, adapter: CodecAdapter, names: Sequence[str]) -> None:
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self._adapter, self._names, self._t = adapter, names, 0

    def begin(self, t: int) -> None:
        self._t = t

    def __enter__(self) -> None:
        def hook(name: str) -> Any:
            def before(module: nn.Module, arguments: Any) -> None:
                role = self._adapter.role()
                site = f"{name}@{role}" if role else name
                self.first.setdefault(site, self._t)
                self.last[site] = self._t

            return before

        self._handles = [
            site_module(self._adapter.module, name).register_forward_pre_hook(hook(name)) for name in self._names
        ]

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()


def _histograms(model: nn.Module, layers: Sequence[str], stats: dict[str, SiteStats]) -> dict[str, Any]:
    """Per call site counts of weights ("w") and of what arrives ("a"), in BARS equal bars from low to high."""
    result: dict[str, Any] = {name: {"a": _bars(each)} for name, each in stats.items()}
    for name in layers:
        weight = weight_of(site_module(model, name)).detach().float().flatten()
        low, high = float(weight.min()), float(weight.max())
        counts = torch.histc(weight, BARS, low, high) if high > low else torch.ones(1)
        result.setdefault(name, {})["w"] = {"low": low, "high": high, "counts": counts.long().tolist()}
    return result


def _bars(stats: SiteStats) -> dict[str, Any]:
    """All channels together."""
    whole = stats.grouped(None)
    counts, bins = whole.counts[0], whole.counts.shape[1]
    width = 2.0 ** (int(whole.exponent[0]) + 1) / bins
    filled = counts.nonzero().flatten()
    first, last = int(filled.min()), int(filled.max()) + 1
    merge = -(-(last - first) // BARS)
    counts = counts[first:last]
    counts = torch.nn.functional.pad(counts, (0, -len(counts) % merge)).reshape(-1, merge).sum(1)
    low = (first - bins // 2) * width
    return {"low": low, "high": low + merge * len(counts) * width, "counts": counts.long().tolist()}
