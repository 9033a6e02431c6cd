"""Networks to integer graphs: copies of the integers that training computed with."""

from __future__ import annotations

from quaver.lab.lower import channels
from quaver.lab.models.blocks import Block, Trunk
from quaver.lab.models.layers import Conv
from quaver.lab.models.motion import AverageModel, DetailModel, MotionEncoder, MotionEstimator
from quaver.lab.models.networks import ContextualDecoder, ContextualEncoder, EntropyModel, LoopFilter
from quaver.lab.models.sites import Site
from quaver.runtime import graph


class Emitter:
    """Collects the nodes of one graph in order; tensors are named by what makes them."""

    def __init__(self) -> None:
        self.nodes: list[graph.Node] = []

    def conv(
        self,
        name: str,
        conv: Conv,
        source: Site,
        target: Site,
        x: str,
        y: str | None = None,
        copies: tuple[int, ...] = (),
    ) -> str:
        """`copies`: as for `channels.convolution`."""
        if conv.entry is not None:
            x = self.entry(f"{name}.entry", conv, source, x)
            source = conv.entry
        arrays = channels.convolution(conv, source, target, copies)
        return self.store(name, arrays, (source, target), x, y or name, copies)

    def entry(self, name: str, conv: Conv, source: Site, x: str) -> str:
        """The source's codes brought to the layer's own grid."""
        assert conv.entry is not None
        first, second = channels.entry(conv, source)
        sites = source, conv.entry
        if second is None:
            return self.store(name, first, sites, x, name)
        parts = f"{name}.first", f"{name}.second"
        for part, arrays in zip(parts, (first, second), strict=True):
            self.nodes.append(_node(part, arrays, sites, x, part))
        both = self.concat(f"{name}.halves", parts)
        limits = channels.limited(name, conv.entry, (), both, name)
        self.nodes += limits
        return name if limits else both

    def store(
        self,
        name: str,
        arrays: channels.Arrays,
        sites: tuple[Site, Site],
        x: str,
        y: str,
        copies: tuple[int, ...] = (),
    ) -> str:
        """A convolution into tensor y, with every channel's own limits."""
        wide = f"{name}.wide"
        limits = channels.limited(name, sites[1], copies, wide, y)
        self.nodes += [_node(name, arrays, sites, x, wide if limits else y), *limits]
        return y

    def add(self, name: str, a: str, b: str) -> str:
        self.nodes.append(graph.Add(a, b, name))
        return name

    def concat(self, name: str, inputs: tuple[str, ...]) -> str:
        self.nodes.append(graph.Concat(inputs, name))
        return name

    def block(self, name: str, block: Block, stream: Site, x: str, y: str | None = None) -> str:
        h = self.conv(f"{name}.enter", block.enter, stream, block.entered, x, copies=block.mixed.split)
        h = self.conv(f"{name}.mix", block.mix, block.entered, block.mixed, h)
        h = self.conv(f"{name}.leave", block.leave, block.mixed, stream, h)
        x = self.add(f"{name}.middle", x, h)
        h = self.conv(f"{name}.widen", block.widen, stream, block.widened, x)
        h = self.conv(f"{name}.narrow", block.narrow, block.widened, stream, h)
        return self.add(y or f"{name}.out", x, h)

    def trunk(self, name: str, trunk: Trunk, source: Site, x: str, y: str | None = None) -> str:
        x = self.conv(f"{name}.enter", trunk.enter, source, trunk.stream, x)
        last = len(trunk.blocks) - 1
        for number, block in enumerate(trunk.blocks):
            assert isinstance(block, Block)
            x = self.block(f"{name}.{number}", block, trunk.stream, x, y if number == last else None)
        return x

    def graph(self, name: str, inputs: dict[str, int], outputs: dict[str, int]) -> graph.IntegerGraph:
        return graph.IntegerGraph(
            name=name,
            inputs=tuple(graph.Port(port, channels, 128) for port, channels in inputs.items()),
            outputs=tuple(graph.Port(port, channels, 128) for port, channels in outputs.items()),
            nodes=tuple(self.nodes),
        )


def entropy_graph(name: str, net: EntropyModel) -> graph.IntegerGraph:
    e = Emitter()
    e.trunk("context", net.context, net.port, "known", "features")
    x = e.trunk("trunk", net.trunk, net.context.stream, "features")
    e.conv("index", net.index, net.trunk.stream, net.port, x)
    e.conv("mean", net.mean, net.trunk.stream, net.port, x)
    outputs = {"features": _width(net.trunk), "index": _outputs(net.index), "mean": _outputs(net.mean)}
    return e.graph(name, {"known": net.context.enter.weight.shape[1]}, outputs)


def decoder_graph(name: str, net: ContextualDecoder, features: Site) -> graph.IntegerGraph:
    """`features`: where the context's are stored."""
    e = Emitter()
    both = e.concat("both", ("latents", "features"))
    x = e.trunk("trunk", net.trunk, net.source(features), both)
    e.conv("correction", net.correction, net.trunk.stream, net.port, x)
    latents = _outputs(net.correction)
    inputs = {"latents": latents, "features": net.trunk.enter.weight.shape[1] - latents}
    return e.graph(name, inputs, {"correction": latents})


def encoder_graph(name: str, net: ContextualEncoder | MotionEncoder) -> graph.IntegerGraph:
    e = Emitter()
    x = e.trunk("trunk", net.trunk, net.port, "known")
    e.conv("correction", net.correction, net.trunk.stream, net.port, x)
    return e.graph(name, {"known": net.trunk.enter.weight.shape[1]}, {"correction": _outputs(net.correction)})


def average_graph(name: str, net: AverageModel) -> graph.IntegerGraph:
    e = Emitter()
    x = e.trunk("trunk", net.trunk, net.port, "known")
    e.conv("index", net.index, net.trunk.stream, net.port, x)
    return e.graph(name, {"known": net.trunk.enter.weight.shape[1]}, {"index": _outputs(net.index)})


def detail_graph(name: str, net: DetailModel) -> graph.IntegerGraph:
    e = Emitter()
    x = e.trunk("trunk", net.trunk, net.port, "known")
    e.conv("index", net.index, net.trunk.stream, net.port, x)
    e.conv("mean", net.mean, net.trunk.stream, net.port, x)
    outputs = {"index": _outputs(net.index), "mean": _outputs(net.mean)}
    return e.graph(name, {"known": net.trunk.enter.weight.shape[1]}, outputs)


def estimator_graph(name: str, net: MotionEstimator) -> graph.IntegerGraph:
    e = Emitter()
    x = e.trunk("trunk", net.trunk, net.port, "known")
    e.conv("vectors", net.vectors, net.trunk.stream, net.port, x)
    return e.graph(name, {"known": net.trunk.enter.weight.shape[1]}, {"vectors": _outputs(net.vectors)})


def loop_graph(name: str, net: LoopFilter) -> graph.IntegerGraph:
    e = Emitter()
    x = e.conv("enter", net.enter, net.port, net.entered, "samples")
    x = e.conv("middle", net.middle, net.entered, net.middled, x)
    e.conv("correction", net.correction, net.middled, net.port, x)
    return e.graph(name, {"samples": net.enter.weight.shape[1]}, {"correction": _outputs(net.correction)})


def _width(trunk: Trunk) -> int:
    return trunk.enter.weight.shape[0]


def _outputs(conv: Conv) -> int:
    return conv.weight.shape[0]


def _node(name: str, arrays: channels.Arrays, sites: tuple[Site, Site], x: str, y: str) -> graph.Conv:
    source, target = sites
    return graph.Conv(
        name=name,
        input=x,
        output=y,
        weight=arrays.weight,
        bias=arrays.bias,
        multiplier=arrays.multiplier,
        x_zero=source.zero,
        y_zero=target.zero,
        groups=arrays.groups,
        low=target.low,
        high=target.high,
        x_bytes=2 if source.wide else 1,
        y_bytes=2 if target.wide else 1,
    )
