"""The MotionEstimator, of the encoder alone: one interface, two members, and the one that begins with the other.

"search" is the block search, "network" the model's graph `motion.estimator`, "seeded" the search with the network's
vectors among its first candidates.
"""

from __future__ import annotations

import numpy as np

from quaver.codec import decisions
from quaver.codec.frame_coder import State, Vectors
from quaver.codec.motion_search import search_motion
from quaver.codec.networks import Engine
from quaver.errors import UsageError
from quaver.runtime import network_inputs
from quaver.runtime.companding import expand
from quaver.runtime.picture import Picture
from quaver.runtime.warp import VECTOR_LIMIT

ESTIMATORS = "search", "network", "seeded"


def check_estimator(name: str, engine: Engine) -> None:
    """UsageError where there is no such estimator, or the model has no network for it."""
    if name not in ESTIMATORS:
        raise UsageError(f"no motion estimator named {name!r}; known: {', '.join(ESTIMATORS)}")
    if name != "search" and engine.motion is None:
        raise UsageError(f"motion {name!r} needs a model with networks; {engine.model.name!r} has none: use 'search'")


def estimate_motion(picture: Picture, past: State, engine: Engine, quality: int, estimator: str = "search") -> Vectors:
    """Vectors (h8, w8, 2) in quarter samples from `past` to `picture`."""
    guess = _by_network(picture, past, engine, quality) if estimator != "search" else None
    if estimator == "network":
        assert guess is not None
        return guess
    bit_cost = decisions.motion_bit_cost(quality)
    return search_motion(picture.y, past.picture.y, past.vectors, bit_cost, guess)


def _by_network(picture: Picture, past: State, engine: Engine, quality: int) -> Vectors:
    assert engine.motion is not None
    steps = engine.model.channel_steps(quality)
    known = [
        network_inputs.picture_planes(picture, steps),
        network_inputs.picture_planes(past.picture, steps),
        network_inputs.vector_planes(past.vectors),
        network_inputs.quality_plane(quality, picture.blocks),
    ]
    codes = engine.motion.estimate(np.concatenate(known))
    vectors = np.clip((expand(codes) + 8) >> 4, -VECTOR_LIMIT, VECTOR_LIMIT)
    return vectors.transpose(1, 2, 0).astype(np.int16)
