"""A runner made when it is first used: the first frame of a stream does not wait for the networks of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quaver.runtime.executors.protocol import Runner, Tensors


@dataclass(frozen=True)
class Deferred:
    """`make`, called once. For one thread at a time."""

    make: Callable[[], Runner]

    @cached_property
    def _runner(self) -> Runner:
        return self.make()

    def run(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        return self._runner.run(inputs)

    def trace(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        return self._runner.trace(inputs)
