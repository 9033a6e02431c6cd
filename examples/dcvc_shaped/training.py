"""How training begins: motion first, as DCVC's own does (Li et al. 2021, section 3.4). Begun with everything at once,
vectors cost bits before they are of use, and their latents become zero for good."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from quaver.lab.analyse.adapter import Planes, rgb_distortion, to_rgb

from .adapter import DcvcAdapter
from .model import warp

MV_RATE = 0.1  # share of the vectors' rate that counts: enough for the prior to learn


def motion_first(adapter: DcvcAdapter, frames: Sequence[Planes], points: Tensor) -> Tensor:
    """J (B,) of the first frame, coded intra, and what vectors before and after coding leave between pictures."""
    model, lmbda = adapter.module, adapter.lambdas[0]
    _, rate, distortion = adapter.step(frames[0], None, points)
    loss = rate + lmbda * distortion
    latent = None
    for before, frame in pairwise(frames):
        x, past = to_rgb(frame), to_rgb(before)
        flow = model.motion(x, past)
        latent = torch.zeros_like(model.mv_encoder(flow)) if latent is None else latent
        latent, coded, bits = model.coded_flow(flow, latent)
        moved = rgb_distortion(warp(past, flow), frame) + rgb_distortion(warp(past, coded), frame)
        loss = loss + (lmbda * moved + MV_RATE * bits / frame[0][0].numel()) / (len(frames) - 1)
    return loss
