"""What a codec's task loses: J on clips in closed loop, as a number and with a gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import AnalysisError, Curves, check_finite, frame_seed, run


class TaskLoss:
    """The mean over clips and operating points of J / R, where R is the rate of each clip and point when this was made,
    which is before anything is quantized: what is more than then is zeta on these clips.

    frames: of each clip, its first ones as a number, anywhere in it with a gradient. batch: examples of a gradient.
    AnalysisError where J is not a number, with the clips.
    """

    def __init__(self, adapter: CodecAdapter, clips: ClipSet, frames: int = 4, batch: int = 2, seed: int = 0) -> None:
        self.adapter, self.clips, self.seed = adapter, clips, seed
        self.frames, self.batch = min(frames, clips.frames), min(batch, len(clips))
        self._rate = self._coded().rate.mean(-1)  # (points, clips)

    def __call__(self) -> float:
        """With real rounding, on all clips at all points, the same each time."""
        cost = self._coded().cost(self.adapter.lambdas).mean(-1)
        return float((cost / self._rate).mean())

    def surrogate(self, step: int) -> Tensor:
        """With gradient, on the codec's surrogate: of `batch` examples that the step draws, the same for a step."""
        draw = np.random.default_rng([self.seed, step])
        clips = draw.choice(len(self.clips), self.batch, replace=False)
        points = draw.integers(len(self.adapter.lambdas), size=self.batch)
        first, noise = int(draw.integers(self.clips.frames - self.frames + 1)), int(draw.integers(2**31))
        some, where = self.clips.some(clips.tolist()), torch.from_numpy(points)
        lambdas = torch.tensor(self.adapter.lambdas)[where]
        state, total = None, torch.zeros(self.batch)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            for t in range(self.frames):
                torch.manual_seed(frame_seed(noise, t))
                state, rate, distortion = self.adapter.step(some.frame(first + t), state, where)
                total = total + (rate + lambdas * distortion) / self.frames
            loss = (total / torch.from_numpy(self._rate[points, clips])).mean()
        if not loss.requires_grad:
            raise AnalysisError(f"{self.adapter.name}: J has no gradient on the surrogate ({self.adapter.surrogate})")
        if not bool(torch.isfinite(loss)):
            raise AnalysisError(f"{self.said(step)}: J is not a number on the surrogate; clips {', '.join(some.names)}")
        return loss

    def said(self, step: int) -> str:
        """Where an error happened."""
        return f"{self.adapter.name}, step {step + 1}"

    def _coded(self) -> Curves:
        curves = run(self.adapter, self.clips, self.frames, self.seed)
        check_finite(curves, self.clips, self.adapter.lambdas, self.adapter.name)
        return curves
