"""`with quantized(codec, plan)`: Quaver's codec in the integers that ship, any other module in simulation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.allocate.measured import calibration
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves, check_finite, run
from quaver.lab.api.clips import clips_of
from quaver.lab.api.codecs import AnyCodec, adapter_of, check_plan, own_codec
from quaver.lab.api.recipes import simulated
from quaver.lab.lower.model import bring_to, layer_inputs
from quaver.lab.lower.refine import CALIBRATED, Refinement, refine
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import set_integer
from quaver.lab.quant.attach import Attachment, Scales
from quaver.lab.quant.attach import quantized as attached
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.ptq import calibrate


@contextmanager
def quantized(
    codec: AnyCodec | nn.Module,
    plan: QuantPlan,
    data: ClipSet | Callable[[], object] | Scales | None = None,
    **recipe: Any,
) -> Iterator[Codec | Attachment]:
    """The codec at the plan's precision for the length of a with statement; afterwards it is as it was.

    Quaver's own computes the integers that lowering copies (layers that the plan does not name at 7 weight and 8
    activation bits); an adapter's module, or any other, is quantized in simulation (unnamed layers stay float).
    data: clips that scales are fitted to, by default the demo clip's; for a module without adapter a function that runs
    it, or scales; a plan of weights alone needs neither.
    recipe: fields of `Recipe` for an adapter's module, such as observer="loss", equalize=True, rounding="loss"; of
    `Refinement` for Quaver's own integers, whose scales have the least squared error: docs/laboratory/quantizers.md.
    Yields the codec, or the attachment (`quaver.lab.quant`). UsageError where plan and codec do not belong together.
    """
    if isinstance(codec, nn.Module) and not isinstance(codec, Codec):
        if recipe:
            raise UsageError(f"{next(iter(recipe))} needs a codec's J: give the module behind a CodecAdapter")
        with attached(codec, plan, _scales(codec, plan, data), weight_method="mse") as attachment:
            yield attachment
        return
    if data is not None and not isinstance(data, ClipSet):
        raise UsageError("scales of a codec are fitted to clips: give a ClipSet, such as clips_of() makes")
    check_plan(codec, plan)
    clips = data or clips_of()
    own = own_codec(codec)
    if own is not None:
        with _in_place(own, brought(own, plan, clips, Refinement.of(recipe))):
            yield own
        return
    with simulated(adapter_of(codec), plan, clips, **recipe) as attachment:
        yield attachment


def code(codec: AnyCodec, clips: ClipSet | None = None) -> Curves:
    """Code clips in closed loop, in the precision that the codec is in: R in bits per luma sample and D of every frame,
    (operating points, clips, frames)."""
    clips, adapter = clips or clips_of(), adapter_of(codec)
    curves = run(adapter, clips, clips.frames)
    check_finite(curves, clips, adapter.lambdas, adapter.name)
    return curves


def inputs_of(codec: Codec, clips: ClipSet) -> dict[str, Tensor]:
    """What the layers of Quaver's codec read in the first frames of clips, at three qualities."""
    if codec.plan is not None:
        raise UsageError(f"these weights compute in integers already, as plan {codec.plan.name!r} says")
    return layer_inputs(codec, *calibration(clips))


def brought(codec: Codec, plan: QuantPlan, clips: ClipSet, refinement: Refinement = CALIBRATED) -> Codec:
    """A quantized copy of Quaver's codec, with scales fitted to the first frames of clips, refined on them."""
    whole = copy.deepcopy(codec)
    bring_to(whole, plan, inputs_of(codec, clips))
    if refinement.asked:
        refine(whole, codec, calibration(clips)[0], refinement)
    return whole


@contextmanager
def in_integers(codec: Codec, plan: QuantPlan, inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """A codec with `plan`, its scales fitted to what its layers read."""
    whole = copy.deepcopy(codec)
    bring_to(whole, plan, inputs)
    with _in_place(codec, whole):
        yield


@contextmanager
def _in_place(codec: Codec, whole: Codec) -> Iterator[None]:
    """The parts of a quantized copy in place of the codec's own, whose weights nobody touches."""
    set_integer(whole, True)
    floating = dict(codec._modules)
    codec._modules.update(whole._modules)
    codec.plan = whole.plan
    try:
        yield
    finally:
        codec._modules.update(floating)
        codec.plan = None


def _scales(module: nn.Module, plan: QuantPlan, data: ClipSet | Callable[[], object] | Scales | None) -> Scales:
    if isinstance(data, ClipSet):
        raise UsageError("a module without adapter cannot code clips: give a function that runs it on examples")
    if isinstance(data, Calibration | Mapping):
        return data
    if data is not None:
        return calibrate(module, plan, data)
    inputs = [site for site, layer in plan.layers.items() if layer.activation_bits is not None]
    if inputs:
        raise UsageError(f"{inputs[0]}: inputs are quantized too; give a function that runs the module on examples")
    return {}
