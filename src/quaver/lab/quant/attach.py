"""Quantizers on any module, by layer name: nothing is traced, and detaching leaves nothing behind.

A call site is a layer that has a weight and whose first argument is its input. While a quantized plan is attached, a
hook before the layer's call quantizes that argument and lets the layer find a quantized weight in place of its own;
a hook after the call takes it away again. Parameters, their names, optimizers and state_dict stay as they are, and
control flow, loops over frames and repeated calls need no care.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from quaver.errors import UsageError
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.quantizers import ActivationQuantizer, Quantizer
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.sites import (
    Arguments,
    Role,
    first_input,
    output_axis,
    site_module,
    site_name,
    weight_of,
    with_input,
)
from quaver.lab.quant.weights import WeightGrids, WeightMethod, WeightOnGrid

Scales = Mapping[str, Scale] | Calibration


def attach(
    model: nn.Module,
    plan: QuantPlan,
    scales: Scales,
    *,
    role: Role | None = None,
    weight_method: WeightMethod = "minmax",
    weight_grids: WeightGrids | None = None,
    weight_scales: Mapping[str, Scale] | None = None,
) -> Attachment:
    """Quantize the plan's call sites until `detach`.

    scales: of activations, by call site: a `Calibration` for any bits, or a mapping for the plan's own.
    role: as for `observe`. weight_method: minmax or mse, symmetric per output channel, chosen again when a weight
    changes; weight_grids: chosen so instead, such as per tensor or affine. weight_scales: fixed ones by call site or
    layer, taken where their bits are the plan's.
    """
    return Attachment(model, plan, scales, role, weight_grids or WeightGrids(weight_method), weight_scales or {})


@contextmanager
def quantized(model: nn.Module, plan: QuantPlan, scales: Scales, **options: Any) -> Iterator[Attachment]:
    """`attach` for the length of a with statement."""
    attachment = attach(model, plan, scales, **options)
    try:
        yield attachment
    finally:
        attachment.detach()


class Attachment:
    """Quantizers on a model. Quantized weights are kept for every width asked for, so changing one site is cheap.

    weights, activations: whether these are quantized at all; may be set at any time.
    biases: by call site, or by layer for all its roles: used with quantized weights instead of the layer's own
    (`ptq.correct_biases`).
    """

    def __init__(
        self,
        model: nn.Module,
        plan: QuantPlan,
        scales: Scales,
        role: Role | None,
        weight_grids: WeightGrids,
        weight_scales: Mapping[str, Scale],
    ) -> None:
        self.model, self.weights, self.activations = model, True, True
        self.biases: dict[str, Tensor] = {}
        self._plan, self._layers, self._scales, self.role = plan, dict(plan.layers), scales, role
        self._weight_grids, self._weight_scales = weight_grids, weight_scales
        self._given: dict[tuple[str, LayerPlan], Scale] = {}
        self._weight_quantizers: dict[tuple[str, LayerPlan], Quantizer] = {}
        self._set_quantizers: dict[tuple[str, LayerPlan], Quantizer] = {}
        self._input_quantizers: dict[tuple[str, LayerPlan], Quantizer] = {}
        self._hooked: dict[str, nn.Module] = {}
        self._handles: list[RemovableHandle] = []
        if role is None and any("@" in site for site in self._layers):
            raise UsageError("the plan's call sites have roles (@): attach needs role=")
        try:
            for name in weight_grids.named:
                site_module(model, name)
            for site in self._layers:
                self._hook(site)
        except UsageError:
            self.detach()
            raise

    @property
    def plan(self) -> QuantPlan:
        """The plan with what `replace` has changed."""
        return self._plan if self._layers == self._plan.layers else self._plan.with_layers(dict(self._layers))

    @property
    def sites(self) -> list[str]:
        return list(self._layers)

    def detach(self) -> None:
        """Take everything off. The model is then as it was before `attach`; a second call does nothing."""
        for handle in self._handles:
            handle.remove()
        for module in self._hooked.values():
            _uncover(module)
        self._handles.clear()
        self._hooked.clear()

    def replace(self, site: str, layer: LayerPlan, scale: Scale | None = None) -> LayerPlan:
        """Give one call site another plan, and an activation scale of its own where `scale` is given. Returns the plan
        it had."""
        old = self._layer(site)
        self._hook(site)
        self._layers[site] = layer
        if scale is not None:
            self._give(site, layer, scale)
        return old

    @contextmanager
    def changed(self, site: str, layer: LayerPlan, scale: Scale | None = None) -> Iterator[None]:
        """`replace` for the length of a with statement."""
        present, given = site in self._layers, self._given.get((site, _input_part(layer)))
        old = self.replace(site, layer, scale)
        try:
            yield
        finally:
            if present:
                self._layers[site] = old
            else:
                del self._layers[site]
            if scale is not None:
                self._give(site, layer, given)

    def weight_quantizer(self, site: str) -> Quantizer | None:
        """What quantizes the weight at a call site; None: nothing."""
        layer = _weight_part(self._layer(site))
        if layer.weight_bits is None:
            return None
        name = site.partition("@")[0]
        if (name, layer) not in self._weight_quantizers:
            fixed = self._weight_scales.get(site) or self._weight_scales.get(name)
            axis = output_axis(site_module(self.model, name))
            self._weight_quantizers[name, layer] = WeightOnGrid(name, layer, axis, self._weight_grids, fixed)
        return self._weight_quantizers[name, layer]

    def input_quantizer(self, site: str) -> Quantizer | None:
        """What quantizes the input at a call site; None: nothing."""
        layer, name = _input_part(self._layer(site)), site.partition("@")[0]
        if layer.activation_bits is None:
            return None
        given = self._set_quantizers.get((site, layer)) or self._set_quantizers.get((name, layer))
        if given is not None:
            return given
        if (site, layer) not in self._input_quantizers:
            scale = self._given.get((site, layer)) or self._given.get((name, layer))
            scale = scale or _scale_for(self._scales, site, layer, self._sharing(site, layer))
            device = weight_of(site_module(self.model, name)).device
            self._input_quantizers[site, layer] = ActivationQuantizer(scale).to(device)
        return self._input_quantizers[site, layer]

    def set_weight_quantizer(self, site: str, quantizer: Quantizer) -> None:
        """Another quantizer for the site's present weight bits, such as a learned one."""
        self._weight_quantizers[site.partition("@")[0], _weight_part(self._layer(site))] = quantizer

    def set_input_quantizer(self, site: str, quantizer: Quantizer) -> None:
        """Another quantizer for the site's present activation bits, such as a learned one. Sites that share a scale
        keep one: what is learned of it is the same parameters."""
        part = _input_part(self._layer(site))
        for other in self._sharing(site, part):
            found = self._set_quantizers.get((other, part))
            if isinstance(found, ActivationQuantizer) and isinstance(quantizer, ActivationQuantizer):
                for name, parameter in found.named_parameters():
                    setattr(quantizer, name, parameter)
        self._set_quantizers[site, part] = quantizer

    def weight_codes(self, site: str) -> tuple[Tensor, Scale]:
        """(integer-valued float32 codes, grid) of the weight at a call site, which lowering copies."""
        quantizer = self.weight_quantizer(site)
        if quantizer is None:
            raise UsageError(f"{site}: the plan leaves its weight in floating point")
        on_grid = quantizer(weight_of(site_module(self.model, site.partition("@")[0]))).detach()
        return quantizer.current.quantize(on_grid), quantizer.current

    def input_scale(self, site: str) -> Scale:
        """The grid of the input at a call site."""
        quantizer = self.input_quantizer(site)
        if quantizer is None:
            raise UsageError(f"{site}: the plan leaves its input in floating point")
        return quantizer.current

    def _give(self, site: str, layer: LayerPlan, scale: Scale | None) -> None:
        """A scale for the site under that plan, and for those that share it, or none; what was built from another is
        forgotten, in every role."""
        part = _input_part(layer)
        for each in self._sharing(site, part) or (site,):
            self._given.pop((each, part), None)
            if scale is not None:
                self._given[each, part] = scale
            built = [key for key in self._input_quantizers if key[1] == part and (key[0] + "@").startswith(each + "@")]
            for key in built:
                del self._input_quantizers[key]

    def _sharing(self, site: str, part: LayerPlan) -> tuple[str, ...]:
        """Who shares the site's scale; nobody while the site has other bits than in the plan that was attached."""
        return self._plan.sharing(site) if part == _input_part(self._plan.layer(site)) else ()

    def _layer(self, site: str) -> LayerPlan:
        return self._layers.get(site) or self._layers.get(site.partition("@")[0]) or LayerPlan()

    def _hook(self, site: str) -> None:
        name = site.partition("@")[0]
        if name in self._hooked:
            return
        module = site_module(self.model, name)
        if any(isinstance(getattr(hook, "__self__", None), _Hook) for hook in module._forward_pre_hooks.values()):
            raise UsageError(f"{name} is quantized already: detach first, or use replace")
        hook = _Hook(self, name)
        self._hooked[name] = module
        self._handles.append(module.register_forward_pre_hook(hook.before, with_kwargs=True))
        self._handles.append(module.register_forward_hook(hook.after, always_call=True))


class _Hook:
    """Around the calls of one layer."""

    def __init__(self, attachment: Attachment, name: str) -> None:
        self.attachment, self.name = attachment, name

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        attachment, weight = self.attachment, weight_of(layer)
        site = site_name(self.name, attachment.role)
        quantizer = attachment.input_quantizer(site) if attachment.activations else None
        if quantizer is not None:
            args, kwargs = with_input(args, kwargs, quantizer(first_input(args, kwargs)).to(weight.dtype))
        on_grid = attachment.weight_quantizer(site) if attachment.weights else None
        if on_grid is not None:
            # An instance attribute hides the parameter of the same name, which stays registered.
            layer.__dict__["weight"] = on_grid(weight).to(weight.dtype)
            bias = attachment.biases.get(site, attachment.biases.get(self.name))
            if bias is not None:
                layer.__dict__["bias"] = bias
        return None if quantizer is None else (args, kwargs)

    def after(self, layer: nn.Module, *_: Any) -> None:
        _uncover(layer)


def _uncover(module: nn.Module) -> None:
    module.__dict__.pop("weight", None)
    module.__dict__.pop("bias", None)


@lru_cache(4096)
def _weight_part(layer: LayerPlan) -> LayerPlan:
    return LayerPlan(layer.weight_bits, None, layer.channel_bits)


@lru_cache(4096)
def _input_part(layer: LayerPlan) -> LayerPlan:
    return replace(layer, weight_bits=None, channel_bits=None)


def _scale_for(scales: Scales, site: str, layer: LayerPlan, sharing: tuple[str, ...]) -> Scale:
    if isinstance(scales, Calibration):
        return scales.scale(site, layer, sharing)
    scale = scales.get(site) or scales.get(site.partition("@")[0])
    if scale is None:
        raise UsageError(f"{site}: there is no activation scale for it")
    if scale.bits != layer.activation_bits:
        raise UsageError(f"{site}: its scale has {scale.bits} bits, the plan wants {layer.activation_bits}")
    return scale
