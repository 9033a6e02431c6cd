"""Scores from derivatives against finite differences and an explicit Hessian."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.closed_loop import AnalysisError, frame_seed
from quaver.lab.analyse.gradients import SCORES, curvature, differentiable, relative_cost, slopes, weight_error
from quaver.lab.analyse.jobs import Curvature, Slopes
from quaver.lab.analyse.survey import survey

from .toy import ToyAdapter, toy_clips

BITS = (4, 8)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    torch.set_num_threads(1)
    adapter, clips = ToyAdapter(), toy_clips(side=16)
    yield Bench(Setup(adapter, clips, survey(adapter, clips, 3, BITS), 0))


def cost(bench: Bench, clip: int) -> float:
    """J on the surrogate, summed over three frames."""
    state, total, lmbda = None, 0.0, bench.adapter.lambdas[1]
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        for t in range(3):
            torch.manual_seed(frame_seed(0, t))
            step = bench.adapter.step(bench.clips.one(clip).frame(t), state, torch.tensor([1]))
            state, total = step.state, total + float((step.rate.double() + lmbda * step.distortion.double()).detach())
    return total


def rate(bench: Bench, clip: int) -> float:
    """R on the surrogate: J less what J / R has beyond 1."""
    with torch.enable_grad(), differentiable(bench.adapter.module):
        return cost(bench, clip) / float(relative_cost(bench, bench.clips.one(clip), 1, 3).detach())


def test_first_order_is_the_directional_derivative(bench: Bench) -> None:
    """Weights that several frames and roles use included."""
    found, rates = slopes(bench, Slopes(1, BITS, 3)), [rate(bench, clip) for clip in range(2)]
    for name in ("encoder.0", "decoder.2", "context.entropy", "context.memory"):
        module = bench.adapter.module.get_submodule(name)
        error, weight, expected = weight_error(module, 8), module.weight, []
        kept = weight.detach().clone()
        for clip in range(2):
            values = []
            for step in (1e-2, -1e-2):
                with torch.no_grad():
                    weight.copy_(kept + step * error)
                values.append(cost(bench, clip) / rates[clip])
            with torch.no_grad():
                weight.copy_(kept)
            expected.append((values[0] - values[1]) / 2e-2)
        first, spread, fisher, noise = found[f"{name}|w|8"][:, -1]
        assert first == pytest.approx(np.mean(expected), rel=0.05, abs=2e-6), name
        assert spread == pytest.approx(np.sqrt(np.mean(np.square(expected))), rel=0.05, abs=2e-6)
        assert fisher >= 0
        assert noise == pytest.approx(float(error.square().sum() / kept.square().sum()), rel=1e-5)


def test_inputs_have_scores_per_channel(bench: Bench) -> None:
    found = slopes(bench, Slopes(0, BITS, 3))
    scores = found["decoder.0@inter|a|4"]
    assert scores.shape == (len(SCORES), 9) and scores[SCORES.index("fisher"), :-1].sum() > 0
    np.testing.assert_allclose(scores[[0, 2], :-1].sum(1), scores[[0, 2], -1], rtol=1e-9)
    assert found["decoder.0@inter|a|8"][3, -1] < scores[3, -1]  # less noise at more bits
    assert not any(p.grad is not None for p in bench.adapter.module.parameters())


def test_curvature_is_the_hessians(bench: Bench) -> None:
    work = Curvature(1, BITS, 2, probes=60)
    found = curvature(bench, work)
    name = "context.memory"
    weight = bench.adapter.module.get_submodule(name).weight
    kept = weight.detach().clone()

    def of_memory(values: torch.Tensor) -> torch.Tensor:
        bench.adapter.module.context["memory"]._parameters["weight"] = values.reshape(kept.shape)  # type: ignore[assignment]
        return relative_cost(bench, bench.clips, 1, 2)

    try:
        hessian = torch.autograd.functional.hessian(of_memory, kept.flatten()).double().numpy()
    finally:
        bench.adapter.module.context["memory"]._parameters["weight"] = weight
    error = weight_error(bench.adapter.module.context["memory"], 4).flatten().double().numpy()
    product, size = found[f"{name}|4"]
    assert product == pytest.approx(error @ hessian @ error / 2, rel=1e-3)
    assert size == pytest.approx(error @ error, rel=1e-5)
    assert found[f"{name}|trace"][0] == pytest.approx(np.trace(hessian) / 9, rel=0.5)


def test_small_errors_are_predicted(bench: Bench) -> None:
    """At many bits the truth on the surrogate is first order."""
    found = slopes(bench, Slopes(1, (8,), 3))
    names, predicted, measured = bench.setup.survey.layers, [], []
    rates, base = [rate(bench, clip) for clip in range(2)], [cost(bench, clip) for clip in range(2)]
    for name in names:
        module = bench.adapter.module.get_submodule(name)
        kept, error = module.weight.detach().clone(), weight_error(module, 8)
        with torch.no_grad():
            module.weight.copy_(kept + error)
        measured.append(np.mean([(cost(bench, clip) - base[clip]) / rates[clip] for clip in range(2)]))
        with torch.no_grad():
            module.weight.copy_(kept)
        predicted.append(found[f"{name}|w|8"][0, -1])
    assert spearmanr(predicted, measured).statistic > 0.8


class _Once(torch.autograd.Function):
    """Without a second derivative, as some of torch's own functions are."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():
            raise RuntimeError("derivative is not implemented")
        return gradient


def test_a_surrogate_without_curvature_has_none() -> None:
    class Rough(ToyAdapter):
        def step(self, *arguments):  # type: ignore[no-untyped-def]
            done = super().step(*arguments)
            return done._replace(state=_Once.apply(done.state))

    adapter, clips = Rough(), toy_clips()
    bench = Bench(Setup(adapter, clips, survey(adapter, clips, 2, (8,)), 0))
    assert set(curvature(bench, Curvature(0, (8,), 2, 1))) == {"seconds"}


def test_a_codec_without_gradient_says_so() -> None:
    class Hard(ToyAdapter):
        @torch.no_grad()
        def step(self, *arguments):  # type: ignore[no-untyped-def]
            return super().step(*arguments)

    adapter, clips = Hard(), toy_clips()
    bench = Bench(Setup(adapter, clips, survey(adapter, clips, 2, (8,)), 0))
    with pytest.raises(AnalysisError, match="no gradient on the surrogate"):
        slopes(bench, Slopes(0, (8,), 2))
