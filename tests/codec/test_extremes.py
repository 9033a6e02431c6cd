"""Symbols that no encoder would choose but a hostile stream may hold: the arithmetic stays defined, and the picture
is the same with kernels in C and without."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind, FrameRecord
from quaver.codec import conformance
from quaver.codec.coefficients import DC_CHANNELS, table_indices
from quaver.codec.decoder import decode_record
from quaver.codec.frame_coder import Chosen, State, code_inter, code_intra, predict
from quaver.codec.motion_coder import code_vectors
from quaver.codec.networks import Engine, prepare
from quaver.codec.symbol_coder import SymbolWriter
from quaver.runtime import native
from quaver.runtime.model import read_model
from quaver.runtime.warp import VECTOR_LIMIT

SHAPE = 4, 6


@pytest.fixture(scope="module", params=["model.qvm", "patch_model.qvm"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Networks for everything, small ones; once with patch bits."""
    return prepare(read_model(conformance.folder() / request.param), "reference")


def _symbols(rng: np.random.Generator, levels: NDArray[np.int32], table: NDArray[np.uint8]) -> NDArray[np.int32]:
    largest = rng.choice([3, 300, 32767])
    even, ends = rng.integers(-largest, largest + 1, (96, *SHAPE)), rng.choice([-largest, largest], (96, *SHAPE))
    symbols = even if rng.random() < 0.5 else ends
    return np.where(table_indices(levels, table) > 0, symbols, 0).astype(np.int32)


def _frame(rng: np.random.Generator, engine: Engine, past: State | None, quality: int) -> tuple[FrameRecord, State]:
    writer, model = SymbolWriter(engine.model), engine.model
    table = model.intra_levels if past is None else model.inter_levels
    levels = rng.integers(0, len(table), (2, SHAPE[0] // 2, SHAPE[1] // 2)).astype(np.int32)
    symbols = _symbols(rng, levels, table)
    if past is None:
        dc = rng.choice([-8000, 7, 8000], (3, *SHAPE)).astype(np.int32)  # differences must fit 16 bits
        symbols[DC_CHANNELS] = 0
        state = code_intra(writer, engine, Chosen(levels, lambda means: symbols, dc), SHAPE, quality)
        kind = FrameKind.INTRA
    else:
        limit = rng.choice([0, 4, VECTOR_LIMIT])
        vectors = rng.integers(-limit, limit + 1, (*SHAPE, 2)).astype(np.int16)
        code_vectors(writer, engine, vectors, past, quality)
        chosen = Chosen(levels, lambda means: symbols)
        state = code_inter(writer, engine, chosen, predict(past, vectors), vectors, past, quality)
        kind = FrameKind.INTER
    return FrameRecord(kind, quality, 0, state.picture.checksum(), writer.finish()), state


@pytest.mark.parametrize("seed", range(12))
def test_extreme_symbols_decode_to_one_picture(engine: Engine, seed: int) -> None:
    rng = np.random.default_rng(seed)
    past: State | None = None
    with np.errstate(all="raise"):
        for _ in range(4):
            record, state = _frame(rng, engine, past, int(rng.choice([0, 30, 63])))
            decode_record(record, engine, past, SHAPE)  # compares checksums
            with native.without_kernels():
                decode_record(record, engine, past, SHAPE)
            past = state
