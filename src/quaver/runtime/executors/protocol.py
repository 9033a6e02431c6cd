"""What runs integer graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quaver.runtime.graph import IntegerGraph

Tensors = dict[str, NDArray[np.uint8]]  # (channels, h, w) by name


class Runner(Protocol):
    """One graph, ready to run on maps of any size."""

    def run(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        """The graph's outputs."""

    def trace(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        """Every tensor, for tests."""


class Executor(Protocol):
    """A way to compute integer graphs."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    def prepare(self, graph: IntegerGraph, threads: int = 1) -> Runner:
        """Make a graph ready."""
