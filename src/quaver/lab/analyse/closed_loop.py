"""Clips coded in closed loop: each frame from the state that the frame before left, quantized parts included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from quaver.errors import QuaverError
from quaver.lab.analyse.adapter import CodecAdapter, State, Step
from quaver.lab.analyse.clips import ClipSet, points_of

Values = NDArray[np.float64]  # (points, clips, frames)

Before = Callable[[int], None]  # is told which frame comes
After = Callable[[int, State], State]  # may change the state that frame t leaves


class AnalysisError(QuaverError):
    """An analysis cannot go on; what is finished is kept."""


@dataclass(frozen=True)
class Curves:
    """R in bits per luma sample and D per frame: (points, clips, frames)."""

    rate: Values
    distortion: Values

    def cost(self, lambdas: Sequence[float]) -> Values:
        """J = R + lambda D."""
        return self.rate + np.array(lambdas)[:, None, None] * self.distortion

    def first(self, frames: int) -> Curves:
        """Of the first frames."""
        return Curves(self.rate[..., :frames], self.distortion[..., :frames])

    def followed_by(self, longer: Curves) -> Curves:
        """These frames, then the later ones of `longer`."""
        frames = self.rate.shape[-1]
        pairs = (self.rate, longer.rate), (self.distortion, longer.distortion)
        return Curves(*(np.concatenate([mine, theirs[..., frames:]], -1) for mine, theirs in pairs))


@dataclass(frozen=True)
class Start:
    """Where to begin instead of frame 0: the state before frame `t`, and the curves of the frames before it."""

    t: int
    state: State
    curves: Curves


@torch.no_grad()
def run(
    adapter: CodecAdapter,
    clips: ClipSet,
    frames: int,
    seed: int = 0,
    before: Before = lambda t: None,
    after: After = lambda t, state: state,
    start: Start | None = None,
    points: tuple[int, ...] | None = None,
) -> Curves:
    """Code `frames` frames of all clips at `points` (by default all operating points) as one batch."""
    points = tuple(range(len(adapter.lambdas))) if points is None else points
    each = points_of(clips, points)
    first, state = (start.t, start.state) if start else (0, None)
    steps: list[Step] = []
    with torch.random.fork_rng(devices=[]):
        for t in range(first, frames):
            torch.manual_seed(frame_seed(seed, t))
            before(t)
            step = adapter.step(clips.frame(t, len(points)), state, each)
            state = after(t, step.state)
            steps.append(step)
    return _curves(steps, len(points), len(clips), start)


def frame_seed(seed: int, t: int) -> int:
    """Of the noise in frame t: the same wherever a run begins."""
    return (seed << 16) + t


def _curves(steps: list[Step], points: int, clips: int, start: Start | None) -> Curves:
    def stacked(name: str) -> Values:
        values = [getattr(step, name).detach().double().reshape(points, clips).numpy() for step in steps]
        before = [getattr(start.curves, name)[..., : start.t]] if start else []
        result: Values = np.concatenate([*before, np.stack(values, -1)], -1)
        return result

    return Curves(stacked("rate"), stacked("distortion"))


def check_finite(curves: Curves, clips: ClipSet, lambdas: Sequence[float], what: str) -> None:
    """AnalysisError names part, clip, lambda and frame of the first value that is not a number."""
    bad = np.argwhere(~np.isfinite(curves.rate) | ~np.isfinite(curves.distortion))
    if len(bad):
        point, clip, t = (int(x) for x in bad[0])
        raise AnalysisError(
            f"{what}: not a number in frame {t + 1} of clip {clips.names[clip]} at lambda {lambdas[point]:.4g}"
            f" ({len(bad)} values in all)"
        )
