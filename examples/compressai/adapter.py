"""CompressAI's image models and its scale-space flow as the laboratory sees them.

Crops are multiples of 64 for image models, of 128 for scale-space flow. CompressAI is imported by whoever makes the
model; here its shapes are enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quaver.lab.analyse.adapter import Planes, Step, rgb_distortion, to_rgb


class CompressAIAdapter:
    """What both kinds share. lmbda: bits per luma sample and unit of squared error on 0..255 that it is trained for."""

    surrogate = "CompressAI's training mode: additive uniform noise"

    def __init__(self, model: nn.Module, lmbda: float) -> None:
        self.module, self.lambdas = model.eval(), (lmbda,)

    @property
    def name(self) -> str:
        return f"compressai {type(self.module).__name__}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"class": type(self.module).__name__}

    def role(self) -> str:
        return ""  # no layer is called in two roles

    def coded(self, frame: Planes, picture: Tensor, likelihoods: Iterable[Tensor], state: Any) -> Step:
        bits = torch.stack([-p.log2().sum((1, 2, 3)) for p in likelihoods]).sum(0)
        return Step(state, bits / frame[0][0].numel(), rgb_distortion(picture, frame))


class ImageAdapter(CompressAIAdapter):
    """Factorized prior, hyperpriors, hyperprior with context: every frame alone."""

    @property
    def modules(self) -> tuple[str, ...]:
        parts = ("g_a", "g_s", "h_a", "h_s", "entropy_parameters", "context_prediction")
        return tuple(part for part in parts if hasattr(self.module, part))

    @property
    def encoder_only(self) -> tuple[str, ...]:
        return tuple(part for part in self.modules if part in ("g_a", "h_a"))

    def step(self, frame: Planes, state: Any, points: Tensor) -> Step:
        self.module.train(torch.is_grad_enabled())
        found = self.module(to_rgb(frame))
        return self.coded(frame, found["x_hat"], found["likelihoods"].values(), ())

    def state_parts(self, state: Any) -> Mapping[str, Tensor]:
        return {}

    def with_state_parts(self, state: Any, parts: Mapping[str, Tensor]) -> Any:
        return state


class ScaleSpaceFlowAdapter(CompressAIAdapter):
    """ScaleSpaceFlow: intra, motion and residual have networks of their own; the picture recirculates."""

    modules = tuple(
        f"{kind}_{part}"
        for kind in ("img", "motion", "res")
        for part in ("encoder", "decoder", "hyperprior", "hyperprior.hyper_encoder")
    )
    encoder_only = tuple(name for name in modules if name.endswith("encoder"))

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"levels": self.module.num_levels}

    def step(self, frame: Planes, state: Tensor | None, points: Tensor) -> Step:
        self.module.train(torch.is_grad_enabled())
        x = to_rgb(frame)
        intra = state is None
        picture, groups = self.module.forward_keyframe(x) if intra else self.module.forward_inter(x, state)
        return self.coded(frame, picture, (p for group in groups.values() for p in group.values()), picture)

    def state_parts(self, state: Tensor) -> Mapping[str, Tensor]:
        return {"picture": state}

    def with_state_parts(self, state: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        return parts.get("picture", state)
