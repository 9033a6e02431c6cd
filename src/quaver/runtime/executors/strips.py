"""A graph on horizontal strips: the same integers, one strip after the other or side by side.

Several threads inside one network were slower than one where another process had a core (spinning barriers); strips
share nothing but their edges, which are computed twice. Networks are half of a frame, so two cores decode 1.25 times as
fast; doing input planes, prediction and the last additions side by side as well gained less than 10 % and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor as Pool
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.runtime.executors.protocol import Runner, Tensors
from quaver.runtime.graph import IntegerGraph


@dataclass(frozen=True, slots=True)
class StripRunner:
    """Runs `runner` on `count` strips of about equal height, each with as many more rows on either side as its outputs
    depend on; with a pool, strips run side by side."""

    runner: Runner
    graph: IntegerGraph
    count: int
    pool: Pool | None = None

    def run(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        height, halo = next(iter(inputs.values())).shape[1], self.graph.halo()
        rows = max(1, -(-height // self.count))

        def strip(top: int) -> Tensors:
            bottom = min(height, top + rows)
            first, last = max(0, top - halo), min(height, bottom + halo)
            results = self.runner.run({name: values[:, first:last] for name, values in inputs.items()})
            return {name: values[:, top - first : bottom - first] for name, values in results.items()}

        tops = range(0, height, rows)
        strips = list(self.pool.map(strip, tops) if self.pool else map(strip, tops))
        return {port.name: np.concatenate([s[port.name] for s in strips], axis=1) for port in self.graph.outputs}

    def trace(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        """Every tensor, of the whole map."""
        return self.runner.trace(inputs)
