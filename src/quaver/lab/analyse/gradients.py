"""Scores from derivatives of J / R on the codec's differentiable surrogate, in a few backward passes.

For a clip, g is the gradient of the mean over frames of J / R. A weight's g is summed over all its calls by autograd,
so that its error, which is the same in every frame, is correlated as it is in truth (lessons D2).

    first    mean over clips of  sum g * dx          signed: the first-order prediction of zeta
    spread   rms over clips of   sum g * dx          its size, which is what first-order rankings use
    fisher   mean over clips of  1/2 sum (g * dx)^2  per weight, or per element of one call's input

dx is the error of the quantizer that truth is measured with; of weights with 0 bits, all they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quaver.lab.analyse.bench import Bench
from quaver.lab.analyse.clips import ClipSet, points_of
from quaver.lab.analyse.closed_loop import AnalysisError, frame_seed
from quaver.lab.analyse.jobs import Curvature, Slopes
from quaver.lab.quant.selection import choose_weight
from quaver.lab.quant.sites import first_input, input_axis, output_axis, site_module, site_name, weight_of, with_input

Arrays = dict[str, NDArray[Any]]
SCORES = ("first", "spread", "fisher", "noise")


def slopes(bench: Bench, work: Slopes) -> Arrays:
    """Per `site|kind|bits` an array (4, channels + 1) of SCORES, the last column of all channels together; noise is
    squared error over squared signal, the reciprocal of SQNR. `seconds` (2,): what noise alone, and all, took of the
    processor."""
    clips, begun = bench.clips, time.process_time()
    per_clip: dict[str, list[NDArray[np.float64]]] = {}
    forward = 0.0
    for index in range(len(clips)):
        values, seconds = _clip_slopes(bench, clips.one(index), work)
        forward += seconds
        for key, sums in values.items():
            per_clip.setdefault(key, []).append(np.concatenate([sums, sums.sum(1, keepdims=True)], 1))
    result = {}
    for key, rows in per_clip.items():
        product, square, error, signal = np.stack(rows, 1)
        noise = error.sum(0) / np.maximum(signal.sum(0), 1e-30)
        result[key] = np.stack([product.mean(0), np.sqrt((product**2).mean(0)), square.mean(0) / 2, noise])
    return result | {"seconds": np.array([forward, time.process_time() - begun])}


def _clip_slopes(bench: Bench, clip: ClipSet, work: Slopes) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Per key (4, channels): sums of g dx, (g dx)^2, dx^2, x^2; and the processor seconds of the forward pass."""
    model, survey = bench.adapter.module, bench.setup.survey
    inputs = _Inputs(bench, work.bits)
    with differentiable(model), inputs:
        begun = time.process_time()
        loss = relative_cost(bench, clip, work.point, work.frames)
        forward = time.process_time() - begun
        weights = [weight_of(site_module(model, name)) for name in survey.layers]
        # The inputs' sums are taken by hooks while the gradient passes them; it goes nowhere else than asked.
        gradients = torch.autograd.grad(loss, [*weights, *inputs.leaves], allow_unused=True)[: len(weights)]
    result = inputs.sums()
    for name, weight, gradient in zip(survey.layers, weights, gradients, strict=True):
        g = torch.zeros_like(weight) if gradient is None else gradient
        module = site_module(model, name)
        for bits in work.bits:
            error = _weight_error(bench, name, bits)
            result[f"{name}|w|{bits}"] = _sums(g, weight.detach(), error, output_axis(module))
    return result, forward


def curvature(bench: Bench, work: Curvature) -> Arrays:
    """Second-order scores of weights under the Hessian of the mean over clips of J / R.

    Per layer: `layer|trace` (1,), the mean of its diagonal by Hutchinson's estimator; per `layer|bits` (2,):
    dw^T H dw / 2, and dw^T dw. `seconds` (2,), of the processor: of traces and of products;
    nothing else where the surrogate has no second derivatives.
    """
    model, survey = bench.adapter.module, bench.setup.survey
    layers = [site_module(model, name) for name in survey.layers]
    weights = [weight_of(layer) for layer in layers]
    generator = torch.Generator().manual_seed(bench.setup.seed)
    traces, result, begun = np.zeros(len(weights)), Arrays(), time.process_time()
    with differentiable(model):
        loss = relative_cost(bench, bench.clips, work.point, work.frames)
        try:
            slope = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
            shared = time.process_time() - begun
            for _ in range(work.probes):
                probe = [torch.randint(0, 2, w.shape, generator=generator) * 2.0 - 1 for w in weights]
                traces += _quadratic(slope, weights, probe) / work.probes
            middle = time.process_time()
            for place, (name, weight) in enumerate(zip(survey.layers, weights, strict=True)):
                result[f"{name}|trace"] = traces[place : place + 1] / weight.numel()
                for bits in work.bits:
                    error = _weight_error(bench, name, bits)
                    product = _quadratic(slope[place : place + 1], [weight], [error])[0] / 2
                    result[f"{name}|{bits}"] = np.array([product, float(error.double().square().sum())])
        except RuntimeError:  # torch's word for a surrogate that has no second derivatives
            return {"seconds": np.full(2, time.process_time() - begun)}
    end = time.process_time()
    return result | {"seconds": np.array([middle - begun, end - middle + shared])}


def _quadratic(gradients: Any, weights: list[nn.Parameter], vectors: list[Tensor]) -> NDArray[np.float64]:
    """v^T H v of each weight, where v are all weights' vectors together; layers that the loss does not depend on, or
    only linearly, have 0. Cross terms vanish in the mean over random signs."""
    pairs = [(g * v).sum() for g, v in zip(gradients, vectors, strict=True) if g is not None and g.requires_grad]
    if not pairs:
        return np.zeros(len(weights))
    total = torch.stack(pairs).sum()
    seconds = torch.autograd.grad(total, weights, retain_graph=True, allow_unused=True)
    values = [0.0 if h is None else float((h * v).double().sum()) for h, v in zip(seconds, vectors, strict=True)]
    return np.array(values)


def relative_cost(bench: Bench, clips: ClipSet, point: int, frames: int) -> Tensor:
    """The mean over clips of J / R, each a sum over frames, with gradient through time; R is held fixed."""
    adapter, state = bench.adapter, None
    lmbda, points = adapter.lambdas[point], points_of(clips, (point,))
    costs, rates = [], []
    with torch.random.fork_rng(devices=[]):
        for t in range(frames):
            torch.manual_seed(frame_seed(bench.setup.seed, t))
            step = adapter.step(clips.frame(t), state, points)
            state = step.state
            costs.append(step.rate.double() + lmbda * step.distortion.double())
            rates.append(step.rate.detach().double())
    loss = (torch.stack(costs).sum(0) / torch.stack(rates).sum(0)).mean()
    if not loss.requires_grad:
        raise AnalysisError(f"{adapter.name}: J has no gradient on the surrogate ({adapter.surrogate})")
    if not bool(torch.isfinite(loss)):
        raise AnalysisError(f"{adapter.name}: J is not a number on the surrogate; clips {', '.join(clips.names)}")
    return loss


def weight_error(module: nn.Module, bits: int) -> Tensor:
    """Q(w) - w with the scale that has the least squared error."""
    weight = weight_of(module).detach()
    return choose_weight(weight, bits, "mse", output_axis(module)).fake_quantize(weight) - weight


def _weight_error(bench: Bench, name: str, bits: int) -> Tensor:
    """On the codec's own grid, where it has one."""
    module, own = site_module(bench.adapter.module, name), bench.setup.survey.weights.get((name, bits))
    return weight_error(module, bits) if own is None else own - weight_of(module).detach()


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Gradients of all parameters for the length of a with statement, and then as it was."""
    before: Mapping[str, bool] = {name: each.requires_grad for name, each in model.named_parameters()}
    try:
        model.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])


class _Inputs:
    """Sums of g dx and its square over all calls of every call site's input, channel by channel."""

    def __init__(self, bench: Bench, bits: tuple[int, ...]) -> None:
        self._bench, self._bits = bench, bits
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._handles: list[Any] = []
        self.leaves: list[Tensor] = []  # inputs that no weight has touched yet

    def __enter__(self) -> None:
        model = self._bench.adapter.module
        for name in self._bench.setup.survey.layers:
            module = site_module(model, name)
            before = self._hook(name, input_axis(module))
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def sums(self) -> dict[str, NDArray[np.float64]]:
        return dict(self._sums)

    def _hook(self, name: str, axis: int) -> Any:
        survey, role = self._bench.setup.survey, self._bench.adapter.role

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
            site = site_name(name, role)
            x = first_input(args, kwargs)
            # A view of its own: the gradient is that of this call alone, also where several layers read one tensor.
            if x.requires_grad:
                x = x.view_as(x)
            else:
                x = x.detach().requires_grad_(True)
                self.leaves.append(x)
            value = x.detach()

            def passing(gradient: Tensor) -> None:
                for bits in filter(None, self._bits):  # an input has no 0 bits
                    error = survey.scales[site, bits].fake_quantize(value) - value
                    new = _sums(gradient, value, error, axis)
                    key = f"{site}|a|{bits}"
                    self._sums[key] = self._sums[key] + new if key in self._sums else new

            x.register_hook(passing)
            return with_input(args, kwargs, x)

        return before


def _sums(gradient: Tensor, value: Tensor, error: Tensor, axis: int) -> NDArray[np.float64]:
    """(4, channels)"""
    product = (gradient * error).double()
    parts = (product, product.square(), error.double().square(), value.double().square())
    rows = [part.movedim(axis, 0).flatten(1).sum(1) for part in parts]
    return torch.stack(rows).numpy()
