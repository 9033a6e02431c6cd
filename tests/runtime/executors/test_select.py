"""An executor is believed after a self-test that notices wrong integers, and what it passed is remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quaver.errors import ModelError
from quaver.runtime.executors import onnx_runtime, select
from quaver.runtime.executors.onnx_graphs import build
from quaver.runtime.executors.reference import ReferenceExecutor, compute, requantize
from quaver.runtime.graph import Conv, IntegerGraph
from quaver.runtime.model import load_model

from ..graphs import separable, sixteen_bits


class Emulated:
    """Everything as the reference computes it, but for what `damage` makes of a graph's tensors."""

    name = "onnx"

    def prepare(self, graph, threads=1):  # type: ignore[no-untyped-def]
        executor = self

        class Runner:
            def run(self, inputs):  # type: ignore[no-untyped-def]
                tensors = dict(inputs)
                for node in graph.nodes:
                    tensors[node.output] = executor.compute(node, tensors)
                return {port.name: tensors[port.name] for port in graph.outputs}

        return Runner()

    def compute(self, node, tensors):  # type: ignore[no-untyped-def]
        return compute(node, tensors)


class Wrong(Emulated):
    def compute(self, node, tensors):  # type: ignore[no-untyped-def]
        value = compute(node, tensors)
        return value ^ (value == 77)


class Saturating(Emulated):
    """Dense 1x1 convolutions add `products` neighbouring products in int16 with saturation. Pairs are what x86 without
    VNNI does, and legal weights never saturate those."""

    def __init__(self, products: int) -> None:
        self.products = products

    def compute(self, node, tensors):  # type: ignore[no-untyped-def]
        if not isinstance(node, Conv) or node.groups != 1 or node.kernel != 1:
            return compute(node, tensors)
        weight, codes = node.weight[:, :, 0, 0].astype(np.int64), tensors[node.input].astype(np.int64)
        sums = np.zeros((len(weight), *codes.shape[1:]), np.int64)
        for first in range(0, weight.shape[1], self.products):
            some = slice(first, first + self.products)
            sums += np.einsum("oi,ihw->ohw", weight[:, some], codes[some]).clip(-32768, 32767)
        sums += (node.bias - node.x_zero * weight.sum(1))[:, None, None]
        return requantize(sums, node)


class Fused:
    """ONNX Runtime in float32 as it is by default: it folds multipliers into weights, which now and then rounds to the
    neighbouring code."""

    name = "onnx-f32"

    def prepare(self, graph, threads=1):  # type: ignore[no-untyped-def]
        session = onnx_runtime.library().InferenceSession(build(graph, True), providers=["CPUExecutionProvider"])

        class Runner:
            def run(self, inputs):  # type: ignore[no-untyped-def]
                return onnx_runtime._run(session, inputs)

        return Runner()


def small() -> list[IntegerGraph]:
    return list(load_model("small").graphs.values())


@pytest.mark.parametrize("name", ["onnx", "onnx-f32", "reference"])
def test_right_executors_pass(name: str) -> None:
    assert select.self_test(select.executor(name), select.probe(small())) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrong", [Wrong(), Saturating(4), Saturating(8)], ids=["77", "quads", "eights"])
def test_wrong_integers_are_noticed(wrong: Emulated, seed: int) -> None:
    for graphs in ([separable(seed, (8, 12, 33, 64)[seed])], small()):
        assert select.self_test(wrong, select.probe(graphs)) is not None
    assert select.self_test(Saturating(2), select.probe(small())) is None


def test_multipliers_folded_into_weights_are_noticed() -> None:
    assert select.self_test(Fused(), select.probe(small())) is not None


@pytest.mark.parametrize("name", ["onnx", "onnx-f32"])
def test_layers_of_sixteen_bits_are_tested(name: str) -> None:
    probe = select.probe([sixteen_bits(1)])
    assert {(conv.x_bytes, conv.y_bytes) for conv in probe.convolutions()} == {(1, 2), (2, 1), (2, 2)}
    assert select.self_test(select.executor(name), probe) is None
    assert select.self_test(Wrong(), probe) is not None


def test_the_probe_has_every_form_once() -> None:
    graphs = small()
    forms = {(conv.weight.shape, conv.x_zero, conv.y_zero) for graph in graphs for conv in graph.convolutions()}
    probe = select.probe(graphs)
    assert len(probe.nodes) == len(forms)
    assert {(conv.weight.shape, conv.x_zero, conv.y_zero) for conv in probe.convolutions()} == forms


def test_a_wrong_executor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "EXECUTORS", {"onnx": Wrong(), "reference": ReferenceExecutor()})
    assert select.choose([separable(1)]).name == "reference"
    with pytest.raises(ModelError, match=r"computes wrong integers here .layer 'random-1/"):
        select.choose([separable(1)], "onnx")


def test_a_pass_is_remembered_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []
    real = select.self_test

    def counted(*arguments):  # type: ignore[no-untyped-def]
        tested.append(arguments[0].name)
        return real(*arguments)

    monkeypatch.setattr(select, "self_test", counted)
    for _ in range(2):
        assert select.choose([separable(2)]).name == "onnx"
    assert tested == ["onnx"]
    select.choose([separable(2)], "onnx-f32")
    select.choose([separable(3)])
    assert tested == ["onnx", "onnx-f32", "onnx"]


def test_without_a_place_to_remember_it_is_tested_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert select.choose([separable(2)]).name == "onnx"
