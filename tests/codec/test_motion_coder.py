"""Vectors with networks around them: what is coded comes back, and nothing leaves the limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind
from quaver.codec.frame_coder import State
from quaver.codec.motion_coder import code_vectors, encode_motion
from quaver.codec.motion_estimator import check_estimator, estimate_motion
from quaver.codec.networks import Engine, MotionNetworks
from quaver.codec.symbol_coder import SymbolReader, SymbolWriter, cheapest_tables, corrected_indices
from quaver.errors import UsageError
from quaver.runtime.executors.reference import ReferenceExecutor
from quaver.runtime.graph import Conv, IntegerGraph, Port
from quaver.runtime.model import IntegerModel, load_model
from quaver.runtime.picture import Picture
from quaver.runtime.warp import VECTOR_LIMIT

ROWS, COLUMNS = 6, 10


@pytest.fixture(scope="module")
def skeleton() -> IntegerModel:
    return load_model("skeleton")


def engine(skeleton: IntegerModel, seed: int) -> Engine:
    """Networks of one random layer each."""
    rng = np.random.default_rng(seed)

    def network(inputs: int, **outputs: int):  # type: ignore[no-untyped-def]
        convs = []
        for name, channels in outputs.items():
            weight = rng.integers(-64, 65, (channels, inputs, 3, 3)).astype(np.int8)
            multiplier = rng.uniform(0.1, 1, channels) / (64 * np.sqrt(inputs * 9))
            bias = np.zeros(channels, np.int32)
            convs.append(Conv(name, "known", name, weight, bias, multiplier.astype(np.float32), 128, 128))
        ports = tuple(Port(name, channels, 128) for name, channels in outputs.items())
        return ReferenceExecutor().prepare(IntegerGraph("g", (Port("known", inputs, 128),), ports, tuple(convs)))

    motion = MotionNetworks(
        network(11, index=2), network(15, index=6, mean=6), network(19, correction=8), network(195, vectors=2)
    )
    return Engine(skeleton, dict.fromkeys(FrameKind), motion, "reference")


def state(seed: int, reach: int) -> State:
    rng = np.random.default_rng(seed)
    luma = rng.integers(0, 256, (8 * ROWS, 8 * COLUMNS)).astype(np.uint8)
    levels = rng.integers(0, 24, (2, ROWS // 2, COLUMNS // 2)).astype(np.int32)
    picture = Picture(luma, luma[::2, ::2], luma[1::2, ::2])
    return State(picture, random_vectors(rng, reach), levels, np.zeros((96, ROWS, COLUMNS), np.int32))


def random_vectors(rng: np.random.Generator, reach: int) -> NDArray[np.int16]:
    return rng.integers(-reach, reach + 1, (ROWS, COLUMNS, 2)).astype(np.int16)


@pytest.mark.parametrize("reach", [0, 2, 60, VECTOR_LIMIT])
@pytest.mark.parametrize("seed", range(3))
def test_vectors_come_back(skeleton: IntegerModel, seed: int, reach: int) -> None:
    past, random = state(seed, reach), engine(skeleton, seed)
    vectors = random_vectors(np.random.default_rng(seed + 10), reach)
    writer = SymbolWriter(skeleton)
    code_vectors(writer, random, vectors, past, 40)
    reader = SymbolReader(skeleton, writer.finish())
    np.testing.assert_array_equal(code_vectors(reader, random, None, past, 40), vectors)
    reader.finish()


def test_corrections_keep_the_limit_area_by_area(skeleton: IntegerModel) -> None:
    past = state(0, VECTOR_LIMIT)
    searched = random_vectors(np.random.default_rng(1), 50)
    searched[2:] = np.where(searched[2:] > 0, VECTOR_LIMIT, -VECTOR_LIMIT)
    corrected = encode_motion(searched, engine(skeleton, 2), past, 10)
    assert corrected.dtype == np.int16 and np.abs(corrected).max() <= VECTOR_LIMIT
    changed = (corrected != searched).any(-1).reshape(ROWS // 2, 2, COLUMNS // 2, 2).any((1, 3))
    assert changed.any() and not changed.all()
    without = replace(engine(skeleton, 2), motion=None)
    assert encode_motion(searched, without, past, 10) is searched


@pytest.mark.parametrize("estimator", ["search", "network", "seeded"])
def test_estimators_stay_legal(skeleton: IntegerModel, estimator: str) -> None:
    past = state(3, 20)
    check_estimator(estimator, engine(skeleton, 3))
    vectors = estimate_motion(past.picture, past, engine(skeleton, 3), 30, estimator)
    assert vectors.dtype == np.int16 and vectors.shape == (ROWS, COLUMNS, 2)
    assert np.abs(vectors).max() <= VECTOR_LIMIT
    # The picture itself: whatever the search begins with, it finds rest.
    assert (estimator == "network") == bool(vectors.any())


def test_an_estimator_needs_its_network(skeleton: IntegerModel) -> None:
    bare = Engine(skeleton, dict.fromkeys(FrameKind), None, "none")
    check_estimator("search", bare)
    with pytest.raises(UsageError, match="'seeded' needs a model with networks; 'skeleton' has none"):
        check_estimator("seeded", bare)
    with pytest.raises(UsageError, match="known: search, network, seeded"):
        check_estimator("flow", bare)


@pytest.mark.parametrize("seed", range(3))
def test_the_cheapest_tables_are_those_after_correction(skeleton: IntegerModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, count = (2, 7, 9), 4
    symbols = np.rint(rng.laplace(0, 4, shape)).astype(np.int32) * rng.integers(0, 2, shape)
    classes = rng.integers(0, count - 1, shape).astype(np.uint8)  # one class stays empty
    index = rng.integers(0, 256, shape).astype(np.uint8)
    for codes in (index, None):
        found = cheapest_tables(skeleton, symbols, classes, count, codes)
        for number in range(count):
            here = classes == number
            costs = []
            for table in range(skeleton.selector):
                base = np.full(here.sum(), table, np.uint8)
                used = base if codes is None else corrected_indices(base, codes[here], skeleton)
                magnitudes = np.minimum(np.abs(symbols[here]), 63)
                costs.append(skeleton.code_lengths[used, magnitudes].sum(dtype=np.float64))
            assert costs[found[number]] == pytest.approx(min(costs), rel=1e-5)
