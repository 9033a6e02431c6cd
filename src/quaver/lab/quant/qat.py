"""Training with learned quantizers: steps, offsets and clips as parameters beside the model's own."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from quaver.lab.quant.attach import Attachment
from quaver.lab.quant.quantizers import ActivationQuantizer, Learn, WeightQuantizer
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.sites import site_module, weight_of


class Learned(nn.Module):
    """The learned quantizers of an attachment: `parameters()` for an optimizer, `state_dict()` for checkpoints.

    inputs, weights: by call site, and by layer where its roles have the same bits; with / in the place of each dot.
    """

    def __init__(self, inputs: dict[str, ActivationQuantizer], weights: dict[str, WeightQuantizer]) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({_key(site): quantizer for site, quantizer in inputs.items()})
        self.weights = nn.ModuleDict({_key(name): quantizer for name, quantizer in weights.items()})

    def freeze(self, frozen: bool = True) -> None:
        """Stop learning grids (or go on), as for the last part of training, when weights settle on them."""
        for parameter in self.parameters():
            parameter.requires_grad_(not frozen)

    def scales(self) -> dict[str, Scale]:
        """The present activation grids by call site: `scales` of another `attach`."""
        return {_name(key): _current(quantizer) for key, quantizer in self.inputs.items()}

    def weight_scales(self) -> dict[str, Scale]:
        """The present weight grids: `weight_scales` of another `attach`."""
        return {_name(key): _current(quantizer) for key, quantizer in self.weights.items()}


def learn(
    attachment: Attachment,
    inputs: Learn = "lsq",
    weights: Learn = "lsq",
    power_of_two: bool = False,
    sites: Iterable[str] | None = None,
) -> Learned:
    """Replace the fixed quantizers of `sites` (all of the plan) by learned ones that start from the same grids.

    inputs: lsq, lsq+, pact (where values may be negative, lsq+ instead; split channels have lsq), or fixed.
    weights: lsq, or fixed. Gradients reach the model's weights straight through. A layer that the plan names without
    a role has one learned grid in all roles.
    """
    learned_inputs: dict[str, ActivationQuantizer] = {}
    learned_weights: dict[str, WeightQuantizer] = {}
    for site in attachment.sites if sites is None else sites:
        name = site.partition("@")[0]
        weight = weight_of(site_module(attachment.model, name))
        if inputs != "fixed" and attachment.input_quantizer(site) is not None:
            scale = attachment.input_scale(site)
            quantizer = ActivationQuantizer(scale, _suitable(inputs, scale), power_of_two)
            learned_inputs[site] = quantizer.to(weight.device)
            attachment.set_input_quantizer(site, learned_inputs[site])
        present = attachment.weight_quantizer(site)
        if weights != "fixed" and present is not None and not isinstance(present, WeightQuantizer):
            _, scale = attachment.weight_codes(site)
            # Under the layer's name; a role with other bits has a grid of its own.
            key = site if name in learned_weights else name
            learned_weights[key] = WeightQuantizer(scale, weights, power_of_two).to(weight.device)
            attachment.set_weight_quantizer(site, learned_weights[key])
    return Learned(learned_inputs, learned_weights)


def _suitable(wanted: Learn, scale: Scale) -> Learn:
    if scale.split is not None:
        return "lsq"
    return "lsq+" if wanted == "pact" and bool(scale.zero.any()) else wanted


def _current(quantizer: nn.Module) -> Scale:
    assert isinstance(quantizer, ActivationQuantizer | WeightQuantizer)
    return quantizer.current


def _key(name: str) -> str:
    return name.replace(".", "/")  # a ModuleDict takes no dots


def _name(key: str) -> str:
    return key.replace("/", ".")
