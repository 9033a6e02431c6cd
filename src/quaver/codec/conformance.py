"""Conformance vectors: golden streams and inner tensors of frozen models, which every executor must reproduce.

The vectors (package folder `conformance`) never change without a new format version and a changelog line.
`scripts/make_conformance.py` made those of profile 1, `scripts/make_patch_conformance.py` those of profile 2,
`scripts/make_wide_conformance.py` those of layers that read 16 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.codec.decoder import Decoder
from quaver.errors import QuaverError
from quaver.media.frame import Frame
from quaver.runtime import native
from quaver.runtime.executors.select import EXECUTORS, executor
from quaver.runtime.graph import IntegerGraph
from quaver.runtime.model import read_model

SETS = "vectors.json", "patch_vectors.json", "wide_vectors.json"  # a model each
TENSOR_SIZE = 7, 11  # of the maps that inner tensors are compared on


@dataclass(frozen=True, slots=True)
class Result:
    """One vector on one executor."""

    name: str
    executor: str
    ok: bool
    detail: str


def folder() -> Path:
    return Path(str(resources.files("quaver").joinpath("conformance")))


def run(executors: Sequence[str] = tuple(EXECUTORS)) -> Iterator[Result]:
    """Check every vector on every executor."""
    for vectors in SETS:
        yield from _run(json.loads((folder() / vectors).read_text()), executors)


def _run(expected: dict[str, Any], executors: Sequence[str]) -> Iterator[Result]:
    model = read_model(folder() / expected["model"])
    for name in executors:
        for key in sorted(expected["tensors"]):
            got = tensor_digests(model.graphs[key], name)
            wrong = [tensor for tensor, digest in expected["tensors"][key].items() if got.get(tensor) != digest]
            detail = f"tensor {wrong[0]!r} differs" if wrong else f"{len(got)} tensors"
            yield Result(f"tensors of {key}", name, not wrong, detail)
        for stream, digests in expected["streams"].items():
            yield _check_both_ways(folder() / stream, digests, name, model)


def _check_both_ways(path: Path, digests: list[str], name: str, model: Any) -> Result:
    """With kernels in C, where they are built, and without."""
    result = _check_stream(path, digests, name, model)
    if not result.ok or native.kernels is None:
        return result
    with native.without_kernels():
        without = _check_stream(path, digests, name, model)
    if not without.ok:
        return replace(without, detail=f"without kernels in C: {without.detail}")
    return replace(result, detail=f"{result.detail}, with kernels in C and without")


def _check_stream(path: Path, digests: list[str], name: str, model: Any) -> Result:
    number = 0
    try:
        with Decoder(path, model, name) as decoder:
            for frame in decoder:
                if number >= len(digests) or frame_digest(frame) != digests[number]:
                    return Result(path.name, name, False, f"frame {number} differs")
                number += 1
    except QuaverError as error:
        return Result(path.name, name, False, str(error))
    if number != len(digests):
        return Result(path.name, name, False, f"{number} frames instead of {len(digests)}")
    return Result(path.name, name, True, f"{number} frames")


def frame_digest(frame: Frame) -> str:
    """SHA-256 of Y, U, V in raster order."""
    digest = hashlib.sha256()
    for plane in (frame.y, frame.u, frame.v):
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def tensor_digests(graph: IntegerGraph, name: str) -> dict[str, str]:
    """SHA-256 of every tensor of a graph on inputs that any language can make; of 16 bits the low byte first."""
    inputs = {port.name: _pattern(port.channels, seed) for seed, port in enumerate(graph.inputs)}
    tensors = executor(name).prepare(graph).trace(inputs)
    stored = {key: np.ascontiguousarray(t, t.dtype.newbyteorder("<")) for key, t in sorted(tensors.items())}
    return {key: hashlib.sha256(t.tobytes()).hexdigest() for key, t in stored.items()}


def _pattern(channels: int, seed: int) -> NDArray[np.uint8]:
    """(channels, 7, 11): bits 16 to 23 of x <- 1664525 x + 1013904223 mod 2**32, from x = seed, in C order."""
    values, state = [], seed
    for _ in range(channels * TENSOR_SIZE[0] * TENSOR_SIZE[1]):
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
        values.append(state >> 16 & 255)
    return np.array(values, np.uint8).reshape(channels, *TENSOR_SIZE)
