"""The model's networks, ready to run: what corrects the skeleton's entropy parameters, latents and samples.

A model without networks is the skeleton itself: no corrections.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind
from quaver.runtime.executors import select
from quaver.runtime.executors.deferred import Deferred
from quaver.runtime.executors.protocol import Runner
from quaver.runtime.executors.strips import StripRunner
from quaver.runtime.graph import IntegerGraph
from quaver.runtime.model import ENCODER_GRAPHS, IntegerModel

Bytes = NDArray[np.uint8]  # (channels, h, w)


@dataclass(frozen=True, slots=True)
class FrameNetworks:
    """The networks of one frame type. All ports are u8 with zero-point 128."""

    entropy_runner: Runner
    decoder_runner: Runner
    loop_runner: Runner
    encoder_runner: Runner | None

    def entropy(self, known: Bytes) -> tuple[Bytes, Bytes, Bytes]:
        """Features (C, h8, w8), table index corrections and means (96, h8, w8)."""
        out = self.entropy_runner.run({"known": known})
        return out["features"], out["index"], out["mean"]

    def decode(self, latents: Bytes, features: Bytes) -> Bytes:
        """Corrections (96, h8, w8) of decoded latents."""
        return self.decoder_runner.run({"latents": latents, "features": features})["correction"]

    def loop(self, samples: Bytes) -> Bytes:
        """Corrections (6, H/2, W/2) of samples."""
        return self.loop_runner.run({"samples": samples})["correction"]

    def encode(self, known: Bytes) -> Bytes:
        """Corrections (96, h8, w8) of latents before quantization; mid-scale (none) without that network."""
        if self.encoder_runner is None:
            return np.full((96, *known.shape[1:]), 128, np.uint8)
        return self.encoder_runner.run({"known": known})["correction"]


@dataclass(frozen=True, slots=True)
class MotionNetworks:
    """The networks of motion, at 1/16 resolution but for the estimator's 1/8; the last two are the encoder's."""

    average_runner: Runner
    detail_runner: Runner
    encoder_runner: Runner | None
    estimator_runner: Runner | None

    def average(self, known: Bytes) -> Bytes:
        """Table index corrections (2, h16, w16) of the averages' residuals."""
        return self.average_runner.run({"known": known})["index"]

    def detail(self, known: Bytes) -> tuple[Bytes, Bytes]:
        """Table index corrections and means (6, h16, w16) of the details."""
        out = self.detail_runner.run({"known": known})
        return out["index"], out["mean"]

    def encode(self, known: Bytes) -> Bytes:
        """Corrections (8, h16, w16) of Haar latents before they are coded."""
        assert self.encoder_runner is not None, "prepared for decoding only"
        return self.encoder_runner.run({"known": known})["correction"]

    def estimate(self, known: Bytes) -> Bytes:
        """Vectors (2, h8, w8), companded."""
        assert self.estimator_runner is not None, "prepared for decoding only"
        return self.estimator_runner.run({"known": known})["vectors"]


@dataclass(frozen=True, slots=True)
class Engine:
    """A model and its prepared networks, per frame kind and for motion; None where the model has none."""

    model: IntegerModel
    networks: Mapping[FrameKind, FrameNetworks | None]
    motion: MotionNetworks | None
    executor: str


def default_threads() -> int:
    """As many as there are cores for this process, at most four: strips of small pictures grow too thin."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


def prepare(model: IntegerModel, executor: str | None = None, threads: int = 0, encoding: bool = False) -> Engine:
    """Choose an executor, by self-test, for the networks, which are made ready when first used; `encoding`: also for
    those that only the encoder runs. With several `threads` (0: `default_threads`) networks run on as many strips side
    by side. ModelError where the executor's integers are wrong on this machine."""
    if not model.graphs:
        if executor is not None:
            select.executor(executor)  # nothing will run, but a wrong name is still an error
        return Engine(model, {FrameKind.INTRA: None, FrameKind.INTER: None}, None, executor or "none")
    graphs = {name: graph for name, graph in model.graphs.items() if encoding or name not in ENCODER_GRAPHS}
    chosen = select.choose(graphs.values(), executor)
    count = threads or default_threads()
    pool = ThreadPoolExecutor(count) if count > 1 else None

    def runner(graph: IntegerGraph) -> Runner:
        whole = chosen.prepare(graph)
        return StripRunner(whole, graph, count, pool) if pool is not None else whole

    runners = {name: Deferred(partial(runner, graph)) for name, graph in graphs.items()}

    def of(kind: str) -> FrameNetworks:
        return FrameNetworks(
            runners[f"{kind}.entropy"],
            runners[f"{kind}.decoder"],
            runners[f"{kind}.loop"],
            runners.get(f"{kind}.encoder"),
        )

    motion = MotionNetworks(
        runners["motion.average"],
        runners["motion.detail"],
        runners.get("motion.encoder"),
        runners.get("motion.estimator"),
    )
    return Engine(model, {FrameKind.INTRA: of("intra"), FrameKind.INTER: of("inter")}, motion, chosen.name)
