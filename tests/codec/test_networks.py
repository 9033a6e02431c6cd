"""Networks are made ready when a frame first needs them, and a decoder never makes an encoder's."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.bitstream.record import FrameKind
from quaver.codec.networks import prepare
from quaver.runtime.executors import select
from quaver.runtime.executors.reference import ReferenceExecutor, ReferenceRunner
from quaver.runtime.graph import IntegerGraph
from quaver.runtime.model import ENCODER_GRAPHS, load_model


class Counting(ReferenceExecutor):
    def __init__(self) -> None:
        self.made: list[str] = []

    def prepare(self, graph: IntegerGraph, threads: int = 1) -> ReferenceRunner:
        self.made.append(graph.name)
        return super().prepare(graph)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    monkeypatch.setattr(select, "EXECUTORS", {"reference": counting})
    return counting


@pytest.mark.parametrize("threads", [1, 2])
def test_networks_are_made_when_needed(executor: Counting, threads: int) -> None:
    networks = prepare(load_model("small"), "reference", threads).networks[FrameKind.INTRA]
    assert networks is not None and executor.made == []
    samples = np.full((13, 4, 6), 128, np.uint8)
    first = networks.loop(samples)
    np.testing.assert_array_equal(networks.loop(samples), first)
    assert executor.made == ["intra.loop"]


def test_a_decoder_has_no_encoder_networks(monkeypatch: pytest.MonkeyPatch, executor: Counting) -> None:
    tested: list[str] = []
    monkeypatch.setattr(select, "choose", lambda graphs, name: tested.extend(g.name for g in graphs) or executor)
    model = load_model("small")
    engine = prepare(model)
    assert set(tested) == set(model.graphs) - set(ENCODER_GRAPHS)
    assert engine.motion is not None and engine.motion.estimator_runner is None
    prepare(model, encoding=True)
    assert set(tested) == set(model.graphs)
