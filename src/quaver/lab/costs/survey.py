"""A hardware profile of this machine: which layers to measure, and the rules of ONNX Runtime's executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from quaver.lab.costs import fixed
from quaver.lab.costs.codec import model_layers, model_plan
from quaver.lab.costs.layers import CONVOLUTIONS, Layer
from quaver.lab.costs.measure import FORMATS, ROUNDS, Timing, distinct, graph_ms, layer_entry, machine, skeleton_entry
from quaver.lab.costs.profile import Entry, Format, GraphTime, HardwareProfile, Rules
from quaver.lab.costs.pruning import chain, left
from quaver.lab.costs.workload import Workload
from quaver.runtime.model import IntegerModel

# docs/format/arithmetic.md: what profile 1 of the arithmetic runs.
PROFILE_1 = Rules(tuple(range(2, 8)), tuple(range(2, 9)), ("layer", "channel", "group"), ())
_OPS = ("pointwise", "dense", "depthwise", "entry", "add", "clip", "warp", "transform", "entropy")

Show = Callable[[int, int, str], None]  # done, of, what comes


def survey(
    models: Mapping[str, IntegerModel],
    sizes: Sequence[Workload],
    name: str,
    timing: Timing | None = None,
    show: Show = lambda done, of, what: None,
) -> HardwareProfile:
    """Measure every layer shape of `models` in u8 and in floating point, in u8 also with a third and two thirds of the
    channels that can be pruned, the skeleton's steps at every size, and the whole networks at the first."""
    timing = timing or Timing()
    each = [model_layers(model, size) for size in sizes for model in models.values()]
    rows = [layer for layers in each for layer in layers]
    whole = distinct(_shared(rows))
    narrow = distinct(_shared([*rows, *(layer for layers in each for layer in _narrower(layers))]))[len(whole) :]
    steps = distinct(layer for size in sizes for layer in fixed.skeleton(size))
    jobs = [
        (layer, format)
        for layers, formats in ((whole, FORMATS), (narrow, FORMATS[:1]))
        for layer in layers
        if layer.planned or layer.op in ("add", "clip")
        for format in (formats if layer.op in CONVOLUTIONS else ("fixed",))
        if (layer.op, format) != ("entry", "f32")  # entries exist in integers alone
    ]
    graphs = [(model, key) for model in models.values() for key in sorted(model.graphs)]
    total = len(jobs) + len(steps) + len(graphs)
    table: list[Entry] = []
    for layer, format in jobs:
        show(len(table), total, f"{layer.op} {layer.inputs}-{layer.outputs} {format}")
        table.append(layer_entry(layer, format, timing))
    for layer in steps:
        show(len(table), total, layer.op)
        table.append(skeleton_entry(layer, timing))
    profile = HardwareProfile(
        name,
        _description(timing),
        replace(PROFILE_1, ops=_OPS),
        (Format("u8s8", PROFILE_1.weight_bits, PROFILE_1.activation_bits), Format("f32", (None,), (None,))),
        table=tuple(table),
    )
    times: list[GraphTime] = []
    for model, key in graphs:
        show(len(table) + len(times), total, f"{model.name} {key}")
        times.append(_graph_time(profile, model, key, sizes[0], timing))
    return replace(profile, graphs=tuple(times))


def _shared(layers: Iterable[Layer]) -> Iterable[Layer]:
    """As if every layer but depthwise ones read a port: entries are measured too."""
    return (replace(layer, shared_input=layer.op in ("pointwise", "dense")) for layer in layers)


def _narrower(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Layers of a model that lost output channels, and those who follow them."""
    by_name = {layer.call_site: layer for layer in layers if layer.planned}
    for name in by_name:
        for changed in _chains(by_name, name):
            yield from changed.values()
            for follower in changed:
                if follower != name:
                    for further in _chains(by_name | changed, follower):
                        yield from further.values()


def _chains(by_name: Mapping[str, Layer], name: str) -> Iterator[dict[str, Layer]]:
    """With about a third and two thirds of a layer's output channels, as many as stay in a graph."""
    outputs = by_name[name].outputs
    for share in (1, 2):
        count = left(name, outputs, round(outputs * share / 3))
        if count is not None:
            yield chain(by_name, name, count)


def _graph_time(
    profile: HardwareProfile, model: IntegerModel, key: str, workload: Workload, timing: Timing
) -> GraphTime:
    graph, map = model.graphs[key], workload.map(key)
    prefix = f"{key}."
    layers = [row for row in model_layers(model, replace(workload, side="encode")) if row.call_site.startswith(prefix)]
    once = [replace(row, share=row.share / row.share) for row in layers]
    predicted = profile.predict(model_plan(model), once)
    ms = graph_ms(graph, map, timing)
    macs = graph.macs() * map[0] * map[1]
    return GraphTime(f"{model.name}/{key}", "u8s8", *map, macs, float(f"{ms:.4g}"), float(f"{predicted:.4g}"))


def _description(timing: Timing) -> dict[str, str]:
    runs = f"{ROUNDS} x {timing.repeats} runs"
    how = f"one thread; {runs}; networks: median of CPU time; layers: quartile of ONNX Runtime's kernel times"
    return machine() | {"measured": how, "date": date.today().isoformat(), "executor": "onnx"}
