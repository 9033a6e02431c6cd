"""A codec on its clips with quantizers attached: what a worker has in hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.analyse.adapter import CodecAdapter, State
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import After, Curves, Start, check_finite, run
from quaver.lab.analyse.jobs import Job, Setting
from quaver.lab.analyse.survey import Survey
from quaver.lab.quant.attach import Attachment, attach
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.quantizers import Quantizer
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.sites import input_axis, output_axis, site_module

PERTURBATION = 1e-4  # of a weight's size, by which the noise floor is measured


@dataclass(frozen=True)
class Setup:
    """All that jobs share; pickled to workers."""

    adapter: CodecAdapter
    clips: ClipSet
    survey: Survey
    seed: int


@dataclass(frozen=True)
class FloatRun:
    """What frames 0, 1, ... of the float model cost, and the state each of them left."""

    curves: Curves
    states: tuple[State, ...]


class Bench:
    """Runs jobs. Quantized weights and the float model's first states are kept between them."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.adapter, self.clips = setup, setup.adapter, setup.clips
        self._attachment: Attachment | None = None
        self._floats: dict[tuple[int, ...], FloatRun] = {}

    @property
    def attachment(self) -> Attachment:
        """Quantizers, all off."""
        if self._attachment is None:
            model, role = self.adapter.module, self.adapter.role
            self._attachment = attach(model, QuantPlan({}), {}, role=role, weight_method="mse")
        return self._attachment

    def close(self) -> None:
        """Take all quantizers off the model."""
        if self._attachment is not None:
            self._attachment.detach()

    def measure(self, job: Job) -> Curves:
        """AnalysisError where a value is not a number."""
        state_scales = {each.site: self._scale(each) for each in job.settings if each.kind == "state"}
        at = self.attachment

        def before(t: int) -> None:
            at.weights = at.activations = job.only in (None, t)

        def after(t: int, state: State) -> State:
            if job.open:
                state = self._float(job.points, job.frames).states[t]
            if not state_scales or job.only not in (None, t):
                return state
            parts = self.adapter.state_parts(state)
            changed = {name: scale.fake_quantize(parts[name]) for name, scale in state_scales.items()}
            return self.adapter.with_state_parts(state, changed)

        first, last = self._span(job)
        start = self._start(job, first, after)  # before any weight is another
        with ExitStack() as stack:
            stack.enter_context(self._applied(job.settings))
            if job.noise is not None:
                stack.enter_context(self._perturbed(job.noise))
            seed = self.setup.seed
            curves = run(self.adapter, self.clips, last + 1, seed, before, after, start, job.points)
        if last + 1 < job.frames:
            curves = curves.followed_by(self._float(job.points, job.frames).curves)
        check_finite(curves, self.clips, [self.adapter.lambdas[point] for point in job.points], job.describe())
        return curves

    def _span(self, job: Job) -> tuple[int, int]:
        """The first and last frame that a job can change; the float model's stand for the others."""
        survey, sites = self.setup.survey, list[str]()
        end = job.frames - 1
        if job.noise is not None or not job.settings:
            return 0, end
        if any(each.kind == "state" for each in job.settings):
            return min(end, 1 + (job.only or 0)), end  # a state is quantized after the frame that leaves it
        for each in job.settings:
            sites += survey.sites_of(each.site) if each.kind == "w" else [each.site]
        first = max(min(survey.first[site] for site in sites), job.only or 0)
        last = max(survey.last.get(site, end) for site in sites) if job.open else end
        return min(end, first), min(end, last)

    def _start(self, job: Job, first: int, after: After) -> Start | None:
        """Frames before `first` are coded once for all jobs."""
        floats = self._float(job.points, job.frames if job.open else first) if first or job.open else None
        if floats is None or first == 0:
            return None
        return Start(first, after(first - 1, floats.states[first - 1]), floats.curves)

    def _float(self, points: tuple[int, ...], frames: int) -> FloatRun:
        """The float model's first frames, or more of them: what they cost, and every state they leave."""
        known = self._floats.get(points)
        if known is None or len(known.states) < frames:
            states: list[State] = []

            def keep(t: int, state: State) -> State:
                states.append(state)
                return state

            at = self.attachment
            switched = at.weights, at.activations
            at.weights = at.activations = False
            curves = run(self.adapter, self.clips, frames, self.setup.seed, after=keep, points=points)
            at.weights, at.activations = switched
            self._floats[points] = known = FloatRun(curves, tuple(states))
        return known

    def _scale(self, setting: Setting) -> Scale:
        return self.setup.survey.scales[setting.site, setting.bits]

    @contextmanager
    def _applied(self, settings: tuple[Setting, ...]) -> Iterator[None]:
        """Settings of weights and inputs, and none again afterwards."""
        weights = {each.site: each for each in settings if each.kind == "w"}
        inputs = {each.site: each for each in settings if each.kind == "a"}
        touched = {name: self.setup.survey.sites_of(name) for name in weights}
        touched |= {site.partition("@")[0]: self.setup.survey.sites_of(site.partition("@")[0]) for site in inputs}
        at = self.attachment
        with ExitStack() as stack:
            for layer, sites in touched.items():
                for site in sites:
                    weight, source = weights.get(layer), inputs.get(site)
                    plan = LayerPlan(weight.bits if weight else None, source.bits if source else None)
                    stack.enter_context(at.changed(site, plan, self._scale(source) if source else None))
                    own = self.setup.survey.weights.get((layer, weight.bits)) if weight else None
                    if own is not None:
                        at.set_weight_quantizer(site, Given(own))
                    self._narrow(site, weight, source, stack)
            yield

    def _narrow(self, site: str, weight: Setting | None, source: Setting | None, stack: ExitStack) -> None:
        """Where a setting names a channel, quantize no other."""
        at = self.attachment
        module = site_module(self.adapter.module, site.partition("@")[0])
        if weight is not None and weight.channel is not None:
            whole = at.weight_quantizer(site)
            assert whole is not None
            at.set_weight_quantizer(site, OneChannel(whole, weight.channel, output_axis(module)))
            stack.callback(at.set_weight_quantizer, site, whole)
        if source is not None and source.channel is not None:
            whole = at.input_quantizer(site)
            assert whole is not None
            at.set_input_quantizer(site, OneChannel(whole, source.channel, input_axis(module)))
            stack.callback(at.set_input_quantizer, site, whole)

    @contextmanager
    def _perturbed(self, seed: int) -> Iterator[None]:
        """Every weight of the surveyed layers off by a relative 1e-4."""
        generator = torch.Generator().manual_seed(seed)
        model = self.adapter.module
        kept = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        try:
            with torch.no_grad():
                for parameter in model.parameters():
                    noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                    parameter.mul_(1 + PERTURBATION * noise)
            yield
        finally:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(kept[name])


class Given:
    """Instead of a weight its values on the codec's own grid."""

    def __init__(self, values: Tensor) -> None:
        self._values = values

    @property
    def current(self) -> Scale:
        raise UsageError("this weight's grid is the codec's own")

    def __call__(self, x: Tensor, /) -> Tensor:
        return self._values


class OneChannel:
    """A quantizer of one channel; the others pass unchanged."""

    def __init__(self, whole: Quantizer, channel: int, axis: int) -> None:
        self._whole, self._channel, self._axis = whole, channel, axis

    @property
    def current(self) -> Scale:
        return self._whole.current

    def __call__(self, x: Tensor, /) -> Tensor:
        result = x.clone()
        axis = self._axis % x.ndim
        result.select(axis, self._channel).copy_(self._whole(x).select(axis, self._channel))
        return result
