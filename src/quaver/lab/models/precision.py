"""A QuantPlan in Quaver's own codec: bits of weights and sites, and the scales that suit them.

What profile 1 can run: 2 to 7 weight bits (0 for a pruned output channel), 2 to 8 activation bits, scales and bits
per group of input channels, split input channels of layers that are not depthwise; 9 to 16 activation bits of 1x1
layers whose input is stored for them alone (docs/decisions/0015); fitted zero-points of inputs that have a grid of
their own (docs/decisions/0016). A layer whose input is stored for it alone changes that site; one that reads a port or
a residual stream, which have 8 bits and scales of their own, gets an entry: its input brought to the layer's own grid.
Sites that share a scale (`QuantPlan.shared`) follow the first of them, also in training.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.models.codec import Codec
from quaver.lab.models.grids import RATIOS, scale, scales, scales_and_zero_points
from quaver.lab.models.layers import WEIGHT_BITS, Conv
from quaver.lab.models.sites import ACTIVATION_BITS, WIDE_BITS, Site
from quaver.lab.models.wiring import Wire, wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan


def shape_for(codec: Codec, plan: QuantPlan) -> dict[str, Wire]:
    """Give `codec` the sites and bits of `plan`, scales as they were; layers it does not name have 7 weight bits and 8
    activation bits. UsageError names the layer and rule where profile 1 cannot run it."""
    if codec.plan is not None:
        raise UsageError("the codec has a plan already; read its float weights again")
    wires = wiring(codec)
    unknown = [name for name in plan.layers if name not in wires]
    if unknown:
        raise UsageError(f"plan {plan.name!r}: the codec has no layer {unknown[0]!r}")
    for name, wire in wires.items():
        layer = plan.layers.get(name, LayerPlan(WEIGHT_BITS, ACTIVATION_BITS))
        _check(name, layer, wire.conv)
        _check_wide(name, layer, wire)
        wire.conv.set_bits(layer.channel_bits or layer.weight_bits or WEIGHT_BITS)
        bits = layer.activation_bits or ACTIVATION_BITS
        site = wire.source
        if site.shared and (bits < ACTIVATION_BITS or layer.groups or layer.split):
            site = wire.conv.entry = Site(float(site.steps().detach().mean()), site.zero, False)
        if not site.shared:
            site.set_bits(bits)
            if layer.groups:
                site.scale = site.scale.expand(len(layer.groups)).clone()
            own = None if layer.group_bits is None else [layer.group_bits[g] for g in layer.groups or ()]
            site.set_channels(wire.conv.weight.shape[1] * wire.conv.groups, own, layer.split)
        if layer.affine:
            _give_zero_points(name, layer, wire.conv, site)
    _tie(wires, plan)
    codec.plan = plan
    return wires


def widest(pointwise: bool, shared: bool) -> tuple[int, int]:
    """The most weight and activation bits that a layer may have. pointwise: a 1x1 layer, not depthwise. shared: its
    input is stored for other layers too."""
    return WEIGHT_BITS, WIDE_BITS if pointwise and not shared else ACTIVATION_BITS


def zero_points(wires: Mapping[str, Wire]) -> dict[str, int]:
    """Of the inputs that have a scale of their own after `shape_for`; those alike may share it. Those left out are read
    as they are stored for several layers: at 1/64 a step (ports) or with a scale per channel (streams)."""
    grids = {name: wire.grid for name, wire in wires.items()}
    return {name: site.zero for name, site in grids.items() if not site.shared}


def _tie(wires: Mapping[str, Wire], plan: QuantPlan) -> None:
    zeros = zero_points(wires)
    for first, *others in plan.shared:
        for name in (first, *others):
            if name not in zeros:
                raise UsageError(
                    f"{name}: its input is stored for several layers with scales that stay, so it can share one with"
                    f" other inputs only at less than {ACTIVATION_BITS} activation bits"
                )
            if zeros[name] != zeros[first]:
                raise UsageError(
                    f"{name}: zero-point {zeros[name]}; {first}, whose scale it shares, has {zeros[first]}"
                )
        for name in others:
            wires[name].grid.follow(wires[first].grid)


def _check(name: str, layer: LayerPlan, conv: Conv) -> None:
    if layer.weight_bits is None or layer.weight_bits > WEIGHT_BITS:
        raise UsageError(f"{name}: {layer.weight_bits or 'float'} weight bits; profile 1 runs 2 to {WEIGHT_BITS}")
    if layer.activation_bits is None:
        raise UsageError(f"{name}: float activation bits; profile 1 runs 2 to {ACTIVATION_BITS}")
    outputs, inputs = conv.weight.shape[0], conv.weight.shape[1] * conv.groups
    if layer.channel_bits is not None and len(layer.channel_bits) != outputs:
        raise UsageError(f"{name}: bits for {len(layer.channel_bits)} output channels; the layer has {outputs}")
    if layer.groups is not None and len(layer.groups) != inputs:
        raise UsageError(f"{name}: groups for {len(layer.groups)} input channels; the layer has {inputs}")
    if layer.split and conv.groups > 1:
        raise UsageError(f"{name}: a depthwise layer adds no channels up, so none can be split; it may have groups")
    if len(set(layer.split)) < len(layer.split) or any(not 0 <= channel < inputs for channel in layer.split):
        raise UsageError(f"{name}: split channels {layer.split}: different ones of 0 to {inputs - 1} are legal")


def _check_wide(name: str, layer: LayerPlan, wire: Wire) -> None:
    bits, conv, shared = layer.activation_bits, wire.conv, wire.source.shared
    if bits is None or bits <= ACTIVATION_BITS:
        return
    pointwise = conv.kernel == conv.groups == 1
    said = f"{name}: {bits} activation bits; profile 1 runs {ACTIVATION_BITS + 1} to {WIDE_BITS}"
    if bits > widest(pointwise, shared)[1]:
        if not pointwise:
            raise UsageError(f"{said} in 1x1 layers alone, 2 to {ACTIVATION_BITS} in this one")
        raise UsageError(f"{said} where the input is this layer's own; this one reads a port or stream of 8 bits")
    if layer.split or layer.group_bits is not None:
        raise UsageError(f"{said} for all input channels alike, none split and none with bits of its own")


def _give_zero_points(name: str, layer: LayerPlan, conv: Conv, site: Site) -> None:
    """After a ReLU there is none to fit. Padding is one code for all channels, so larger kernels have one zero-point
    for all groups."""
    said, alone = f"{name}: a fitted zero-point", conv.kernel == conv.groups == 1
    if site.wide:
        raise UsageError(f"{said} of {site.bits} activation bits; 2 to {ACTIVATION_BITS} may have one")
    if site.shared:
        raise UsageError(f"{said}; its input is stored for several layers in 8 bits, with fewer it may have one")
    if site.signed and layer.group_bits is not None and not alone:
        raise UsageError(f"{said} for groups with bits of their own; 1x1 layers may have both")
    if site.signed:
        site.set_zero_points(each=layer.groups is not None and alone)


@torch.no_grad()
def fit(
    codec: Codec,
    wires: Mapping[str, Wire],
    samples: Mapping[str, Tensor],
    ratios: Mapping[str, Tensor] | None = None,
) -> None:
    """Scales of sites, fitted zero-points and clips of weights with the least squared error; `samples`: inputs
    (channels, values) of every layer, as floating point had them. ratios: (channels,) by layer, the proportion of its
    channels' scales where they are not each group's best, such as `equalization`; the plan must give these layers a
    group per channel."""
    plan = codec.plan
    assert plan is not None
    streams: dict[Site, list[Tensor]] = {}
    tied = {name for sites in plan.shared for name in sites}
    for name, wire in wires.items():
        layer = plan.layers.get(name)
        if wire.source.shared and not wire.source.fixed and name in samples:
            streams.setdefault(wire.source, []).append(samples[name])
        site = wire.grid
        if not site.shared and name in samples and name not in tied:
            if ratios and name in ratios:
                low, high = (limit.expand(len(samples[name])) for limit in site.reach())
                site.scale.copy_(ratios[name] * scale(samples[name] / ratios[name][:, None], low, high))
            elif site.zero_point is not None:
                found, zeros = scales_and_zero_points(site, samples[name], layer.groups if layer else None)
                site.scale.copy_(found)
                site.zero_point.copy_(zeros)
            else:
                site.scale.copy_(scales(site, samples[name], layer.groups if layer else None))
        wire.conv.log_clip.copy_(torch.log(_clips(wire.conv)))
    for site, parts in streams.items():
        seen = torch.cat(parts, 1)
        site.scale.copy_(scales(site, seen, tuple(range(len(seen)))))
    for sites in plan.shared:
        parts = [samples[name] for name in sites if name in samples]
        grid = wires[sites[0]].grid
        low, high = (limit.expand(1) for limit in grid.reach())
        if parts:
            common = scale(torch.cat([part.flatten() for part in parts])[None], low, high)
            for name in sites:
                wires[name].grid.scale.copy_(common)


def _clips(conv: Conv) -> Tensor:
    """(O,) shares of each output channel's largest weight."""
    weight, limit = conv.weight.flatten(1), conv.weight_limit.clamp(min=1)[:, None]
    largest = weight.abs().amax(1, keepdim=True).clamp(min=1e-5)
    best, lowest = torch.ones(len(weight)), torch.full((len(weight),), float("inf"))
    for ratio in RATIOS.flip(0).tolist():
        step = largest * ratio / limit
        error = ((weight / step).round().clamp(-limit, limit) * step - weight).square().sum(1)
        better = error < lowest
        lowest, best = torch.where(better, error, lowest), torch.where(better, torch.tensor(ratio), best)
    return best


class InputSamples:
    """Collects inputs of layers while the codec runs; a context manager around a module tree."""

    def __init__(self, wires: Mapping[str, Wire], per_call: int = 64, seed: int = 0) -> None:
        self._wires, self._per_call = wires, per_call
        self._generator = torch.Generator().manual_seed(seed)
        self._parts: dict[str, list[Tensor]] = {name: [] for name in wires}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> InputSamples:
        for name, wire in self._wires.items():

            def note(module: nn.Module, arguments: tuple[Tensor, ...], name: str = name) -> None:
                x = arguments[0].detach().float()
                flat = x.permute(1, 0, 2, 3).flatten(1)
                chosen = torch.randint(
                    0, flat.shape[1], (min(self._per_call, flat.shape[1]),), generator=self._generator
                )
                self._parts[name].append(flat[:, chosen].clone())

            self._hooks.append(wire.conv.register_forward_pre_hook(note))
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def values(self) -> dict[str, Tensor]:
        """(channels, values) of every layer that was called."""
        return {name: torch.cat(parts, 1) for name, parts in self._parts.items() if parts}
