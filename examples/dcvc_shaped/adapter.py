"""The DCVC-shaped codec as the laboratory sees it. Its state lives in attributes: they are set before a frame and taken
out behind it, so that the laboratory can begin anywhere and change what recirculates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from quaver.lab.analyse.adapter import Planes, Step, rgb_distortion, to_rgb

from .model import DcvcShaped


@dataclass(frozen=True)
class Past:
    """What the codec hides between frames."""

    picture: Tensor
    feature: Tensor
    mv: Tensor


class DcvcAdapter:
    name = "dcvc-shaped"
    surrogate = "additive uniform noise in place of rounding"
    modules = (
        "motion",
        *("mv_encoder", "mv_decoder", "mv_prior", "mv_prior.encoder"),
        *("feature", "context", "temporal"),
        *("encoder", "decoder", "prior", "prior.encoder", "reconstruct", "out"),
        *("intra_encoder", "intra_decoder", "intra_prior", "intra_prior.encoder", "intra_out"),
    )
    encoder_only = tuple(name for name in modules if name == "motion" or name.endswith("encoder"))

    def __init__(self, model: DcvcShaped, lmbda: float) -> None:
        self.module, self.lambdas = model.eval(), (lmbda,)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"channels": len(self.module.out.weight[0])}

    def role(self) -> str:
        return ""  # intra and inter frames have networks of their own

    def step(self, frame: Planes, state: Past | None, points: Tensor) -> Step:
        model = self.module
        model.reset()
        if state is not None:
            model._picture, model._feature, model._mv = state.picture, state.feature, state.mv
        picture, bits = model(to_rgb(frame))
        state = Past(picture, model._feature, model._mv)
        model.reset()
        return Step(state, bits / frame[0][0].numel(), rgb_distortion(picture, frame))

    def state_parts(self, state: Past) -> Mapping[str, Tensor]:
        return {"picture": state.picture, "feature": state.feature, "mv": state.mv}

    def with_state_parts(self, state: Past, parts: Mapping[str, Tensor]) -> Past:
        return replace(state, **parts)
