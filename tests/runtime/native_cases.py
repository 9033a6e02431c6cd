"""Random legal inputs of every function that has a kernel in C, for test_native.py and scripts/bench_kernels.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind
from quaver.codec.coefficients import level_bits
from quaver.codec.decisions import choose_activity, quantize
from quaver.codec.motion_coarse import coarse_search
from quaver.codec.motion_native import NativeRounds
from quaver.codec.motion_rate import MotionRate
from quaver.codec.motion_rounds import Rounds
from quaver.codec.motion_search import search_motion
from quaver.runtime import haar, native, pyramid, transform
from quaver.runtime.companding import compand_steps
from quaver.runtime.interpolate import phase_planes
from quaver.runtime.model import IntegerModel, load_model
from quaver.runtime.picture import Picture
from quaver.runtime.warp import VECTOR_LIMIT, compensate

Generator = np.random.Generator


@dataclass(frozen=True)
class Case:
    """`make` gives the arguments of `run` for a picture of (height, width), multiples of 16; `extreme` ones reach
    for the ends of every range. `run` returns arrays, the same with and without kernels."""

    name: str
    make: Callable[[Generator, int, int, bool], tuple[Any, ...]]
    run: Callable[..., Any]


def picture(rng: Generator, height: int, width: int, extreme: bool) -> Picture:
    return Picture(*(plane(rng, *shape, extreme) for shape in ((height, width), *2 * ((height // 2, width // 2),))))


def plane(rng: Generator, height: int, width: int, extreme: bool) -> NDArray[np.uint8]:
    """Noise over soft hills, like a photo; extreme: black and white."""
    if extreme:
        return (255 * rng.integers(0, 2, (height, width))).astype(np.uint8)
    coarse = rng.integers(20, 236, (height // 16 + 2, width // 16 + 2)).astype(np.float64)
    y, x = np.arange(height) / 16, np.arange(width) / 16
    rows, columns = y.astype(int), x.astype(int)
    down, right = (y - rows)[:, None], x - columns
    top = coarse[rows][:, columns] * (1 - right) + coarse[rows][:, columns + 1] * right
    bottom = coarse[rows + 1][:, columns] * (1 - right) + coarse[rows + 1][:, columns + 1] * right
    return np.clip(top * (1 - down) + bottom * down + rng.normal(0, 6, (height, width)), 0, 255).astype(np.uint8)


def vectors(rng: Generator, height: int, width: int, extreme: bool) -> NDArray[np.int16]:
    """A field of equal vectors with some others, or any at all."""
    shape = height // 8, width // 8, 2
    wild = rng.integers(-VECTOR_LIMIT, VECTOR_LIMIT + 1, shape)
    if extreme:
        return np.where(rng.random(shape) < 0.2, np.sign(wild) * VECTOR_LIMIT, wild).astype(np.int16)
    calm = np.broadcast_to(rng.integers(-40, 41, 2), shape) + rng.integers(-2, 3, shape)
    return np.where(rng.random(shape[:2])[..., None] < 0.7, calm, wild // 16).astype(np.int16)


def moving(rng: Generator, height: int, width: int, extreme: bool) -> tuple[Any, ...]:
    """Two pictures' luma, one the other moved and noisy, the last vectors, and the cost of a bit."""
    past = plane(rng, height, width, extreme)
    noise = rng.integers(-3, 4, past.shape)
    now = np.clip(np.roll(past, rng.integers(-9, 10, 2), (0, 1)) + noise, 0, 255).astype(np.uint8)
    return now, past, vectors(rng, height, width, extreme), float(rng.choice([0.3, 40.0, 2500.0]))


def _one_improvement(now: Any, past: Any, previous: Any, bit_cost: float, field: Any, candidate: Any) -> Any:
    rounds = (Rounds if native.kernels is None else NativeRounds)(now, past, previous, bit_cost)
    return rounds.improve(field, rounds.cost(field), candidate, 3, -2), rounds.median(field)


def _one_settling(now: Any, past: Any, previous: Any, bit_cost: float, field: Any, _: Any) -> Any:
    rounds = (Rounds if native.kernels is None else NativeRounds)(now, past, previous, bit_cost)
    average = np.ascontiguousarray(haar.forward(previous)[0])
    rate = MotionRate.around(field, average)
    return rate.predicted, rate.classes, rate.lengths, rounds.settle(field, rate, 2)


def _samples(rng: Generator, height: int, width: int, extreme: bool) -> tuple[Any, ...]:
    def some(*shape: int) -> NDArray[np.int32]:
        if extreme:
            return rng.choice(np.array([-32768, 32767], np.int32), shape)
        return rng.integers(-4080, 4081, shape, dtype=np.int32)

    return ((some(height, width), some(height // 2, width // 2), some(height // 2, width // 2)),)


def _coefficients(rng: Generator, height: int, width: int, extreme: bool) -> tuple[Any, ...]:
    shape = 96, height // 8, width // 8
    if extreme:
        return (rng.choice(np.array([-(2**31), -32769, -32768, 32767, 32768, 2**31 - 1], np.int32), shape),)
    values = rng.integers(-2000, 2001, shape, dtype=np.int32)
    values[rng.random(shape) < 0.9] = 0
    return (values * (rng.random(shape[1:]) < 0.6),)


def _maps(rng: Generator, height: int, width: int, extreme: bool) -> tuple[Any, ...]:
    reach = 2**31 if extreme else 40
    now, past = rng.integers(-reach, reach, (2, 3, height // 16, width // 16)).astype(np.int32)
    return now, past


def _scaled(rng: Generator, height: int, width: int, extreme: bool) -> tuple[Any, ...]:
    """Coefficients in steps, most below one, and means; a model, a quality and a kind of frame."""
    shape = 96, height // 8, width // 8
    sizes = 4.0 ** rng.integers(-3, 9 if extreme else 2, (96, 1, 1))
    scaled = rng.laplace(0, 1, shape) * sizes * (rng.random(shape[1:]) < 0.7)
    means = rng.integers(-2000, 2001, shape).astype(np.float32) / 64
    kind = FrameKind.INTRA if rng.random() < 0.3 else FrameKind.INTER
    return scaled.astype(np.float32), means, int(rng.integers(64)), kind


@cache
def _model() -> IntegerModel:
    return load_model("skeleton")


def _quantize(scaled: Any, means: Any, quality: int, kind: FrameKind) -> Any:
    levels = (np.abs(scaled[:2, ::2, ::2]) * 4).astype(np.int32)
    return quantize(scaled, means, levels, kind), quantize(scaled, 0.0, levels, kind)


def _level_bits(scaled: Any, means: Any, quality: int, kind: FrameKind) -> Any:
    symbols, model = np.clip(scaled, -32768, 32767).astype(np.int32), _model()
    return level_bits(symbols, model.intra_levels, model), level_bits(symbols, model.inter_levels, model)


def _choose_activity(scaled: Any, means: Any, quality: int, kind: FrameKind) -> Any:
    past = np.minimum(np.abs(scaled[:2, ::2, ::2]), 5).astype(np.int32)
    return choose_activity(scaled, _model(), quality, kind, past)


def _coefficients_and_steps(rng: Generator, height: int, width: int, extreme: bool) -> tuple[Any, ...]:
    limit = 2**21 if extreme else 4000
    values = rng.integers(-limit, limit, (96, height // 8, width // 8)).astype(np.int32)
    return values, rng.choice(np.array([1, 2, 3, 64, 977, 8191, 1 << 14], np.int32), (96, 1, 1))


CASES = [
    Case("search_motion", moving, search_motion),
    Case("phase_planes", lambda *given: (plane(*given),), lambda reference: phase_planes(reference, 16)),
    Case("coarse_search", lambda *given: moving(*given)[:2], coarse_search),
    Case("improve", lambda *given: (*moving(*given), vectors(*given), vectors(*given)), _one_improvement),
    Case("settle", lambda *given: (*moving(*given), vectors(*given), None), _one_settling),
    Case("compensate", lambda *given: (picture(*given), vectors(*given)), compensate),
    Case("transform.forward", _samples, transform.forward),
    Case("transform.inverse", _coefficients, transform.inverse),
    Case("compand_steps", _coefficients_and_steps, compand_steps),
    Case("quantize", _scaled, _quantize),
    Case("level_bits", _scaled, _level_bits),
    Case("choose_activity", _scaled, _choose_activity),
    Case("pyramid.residual", _maps, lambda now, past: (pyramid.residual(now, past), pyramid.residual(now, None))),
    Case(
        "pyramid.reconstruct", _maps, lambda now, past: (pyramid.reconstruct(now, past), pyramid.reconstruct(now, None))
    ),
]
