"""Recipes: how a codec in simulation gets its quantizers: observers, equalization, biases, rounding by loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import torch

from quaver.errors import UsageError
from quaver.lab.allocate.measured import observed
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.api.clips import clips_of
from quaver.lab.api.codecs import AnyCodec, adapter_of, check_plan, own_codec
from quaver.lab.api.equalized import Pairs, equalized
from quaver.lab.api.task_loss import TaskLoss
from quaver.lab.quant.attach import Attachment, Scales
from quaver.lab.quant.attach import quantized as attached
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import together
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.ptq import correct_biases
from quaver.lab.quant.rounding import round_by_loss
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import search_by_loss
from quaver.lab.quant.weights import Granularity, WeightGrids, WeightMethod

OBSERVERS = ("mse", "minmax", "percentile", "loss")


@dataclass(frozen=True)
class Recipe:
    """Steps after training, in this order.

    equalize: channels between layers that follow each other get the same range in both weights; True takes `pairs_of`
    the module, else pairs of layer names.
    observer: how scales of inputs are chosen; "loss" tries candidates at each call site with all others quantized and
    keeps the one of the least J. percent: of "percentile". power_of_two: all scales are powers of two.
    weights: scales of weights: of the least squared error, or of the largest ("minmax"). weights_per: what has one: an
    output "channel", the whole "tensor", so many neighbouring output channels, or groups by layer (`WeightGrids`).
    weights_affine: with zero-points of their own; else codes of weights are symmetric around 0.
    bias_correction: biases make up for the mean error of quantized weights; with rounding "loss" they are learned too.
    rounding: to the nearest code, or which of the two neighbours J likes better, in `steps` steps.
    frames: of each clip that J counts.
    """

    observer: Literal["mse", "minmax", "percentile", "loss"] = "mse"
    percent: float = 99.99
    weights: WeightMethod = "mse"
    weights_per: Granularity = "channel"
    weights_affine: bool = False
    equalize: bool | Pairs = False
    bias_correction: bool = False
    rounding: Literal["nearest", "loss"] = "nearest"
    steps: int = 100
    power_of_two: bool = False
    frames: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.observer not in OBSERVERS:
            raise UsageError(f"observer {self.observer!r}: {', '.join(OBSERVERS)} are legal")
        if self.rounding not in ("nearest", "loss"):
            raise UsageError(f"rounding {self.rounding!r}: nearest, loss are legal")
        if self.steps < 1 or self.frames < 1:
            raise UsageError(f"{self.steps} steps on {self.frames} frames: both are at least 1")
        _ = self.weight_grids  # which says what is not legal

    @property
    def weight_grids(self) -> WeightGrids:
        """How grids of weights are chosen."""
        return WeightGrids(self.weights, self.weights_per, self.weights_affine, self.power_of_two)


@contextmanager
def simulated(codec: AnyCodec, plan: QuantPlan, clips: ClipSet | None = None, **recipe: Any) -> Iterator[Attachment]:
    """A codec in floating point with quantizers on its layers for the length of a with statement.

    recipe: fields of `Recipe`, such as observer="loss", equalize=True, rounding="loss". All of it is fitted to `clips`
    (by default the demo clip's), which results should not be measured on. Layers that the plan does not name stay
    float; Quaver's own codec may be looked at so as well, but `quantized` and files compute in integers.
    Yields the attachment. UsageError where plan and codec do not belong together, AnalysisError where J is not a
    number.
    """
    chosen = Recipe(**recipe)
    with fitted(codec, plan, clips or clips_of(), chosen) as (attachment, _):
        yield attachment


@contextmanager
def fitted(
    codec: AnyCodec, plan: QuantPlan, clips: ClipSet, recipe: Recipe
) -> Iterator[tuple[Attachment, Calibration]]:
    """What `simulated` and `trained` begin with: the attachment, and what its call sites saw."""
    adapter, own = adapter_of(codec), own_codec(codec)
    if own is not None and own.plan is not None:
        raise UsageError(f"these weights compute in integers already, as plan {own.plan.name!r} says")
    check_plan(codec, plan)
    with ExitStack() as stack:
        by_loss = "loss" in (recipe.observer, recipe.rounding)
        loss = TaskLoss(adapter, clips, recipe.frames, seed=recipe.seed) if by_loss else None
        if recipe.equalize:
            pairs = None if recipe.equalize is True else recipe.equalize
            stack.enter_context(equalized(adapter, clips, pairs))
        seen = observed(adapter, clips, plan.layers, recipe.seed)
        method = "mse" if recipe.observer == "loss" else recipe.observer
        calibration = Calibration(seen, method, recipe.power_of_two, percent=recipe.percent)
        options: dict[str, Any] = {"role": adapter.role, "weight_grids": recipe.weight_grids}
        scales: Scales = calibration
        if recipe.observer == "loss" and loss is not None:
            with attached(adapter.module, plan, calibration, **options) as trial:
                scales = _searched(trial, calibration, loss)
        attachment = stack.enter_context(attached(adapter.module, plan, scales, **options))
        if recipe.bias_correction:
            correct_biases(attachment, seen)
        if recipe.rounding == "loss" and loss is not None:
            _round(attachment, loss, recipe, list(seen))
        yield attachment, calibration


def _searched(attachment: Attachment, calibration: Calibration, loss: TaskLoss) -> dict[str, Scale]:
    """Scales of all call sites that were seen, each searched in the order of calls while the others are quantized."""
    plan, found = attachment.plan, dict[str, Scale]()
    for site in calibration.stats:
        layer, sharing = plan.layer(site), plan.sharing(site)
        if layer.activation_bits is None or site in found:
            continue
        seen = together([calibration.site_stats(each) for each in sharing]) if sharing else calibration.site_stats(site)

        def tried(scale: Scale, site: str = site, layer: LayerPlan = layer) -> float:
            with attachment.changed(site, layer, scale):
                return loss()

        bits = layer.group_bits or layer.activation_bits
        scale, _ = search_by_loss(seen, bits, tried, layer.groups, calibration.power_of_two, split=layer.split)
        attachment.replace(site, layer, scale)
        found |= dict.fromkeys([each for each in calibration.stats if sharing and plan.sharing(each) == sharing], scale)
        found[site] = scale
    return found


def _round(attachment: Attachment, loss: TaskLoss, recipe: Recipe, sites: list[str]) -> None:
    steps = count()
    weighed = [site for site in sites if attachment.weight_quantizer(site) is not None]
    round_by_loss(
        attachment,
        lambda: loss.surrogate(next(steps)),
        recipe.steps,
        weighed,
        check=lambda: torch.tensor(loss(), dtype=torch.float64),
        biases=recipe.bias_correction,
    )
