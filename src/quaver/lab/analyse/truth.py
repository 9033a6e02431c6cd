"""The truth: every part quantized in the closed loop, by itself, with others, and alone left out.

    add     J(this part at b bits, all else float) - J(float)
    open    the same, but every frame from the state that the float model left: what a frame loses at once. The loop
            amplifies that, and buries it in chaos; open, the noise is a hundredth
    drop    J(all weights and inputs at the target's bits) - J(the same, but this part float): what raising it gains
    pair    J(two modules) - J(float), less what each of them costs alone
    noise   J(weights off by 1e-4) - J(float): what is not more than that is no sensitivity

All over R of the float model: zeta.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.lab.analyse.closed_loop import Curves, Values
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.jobs import Job, Kind, Part, Setting, without
from quaver.lab.analyse.over_time import Slope, drift, mean_drift, mean_impulse, standard_error
from quaver.lab.analyse.survey import Survey
from quaver.lab.analyse.table import MEAN

Results = Mapping[Job, Curves]
FLOOR_WIDTH = 2.0  # standard deviations


@dataclass(frozen=True, slots=True)
class Trial:
    """A job, the one it is compared with (None: the float model of as many frames), and what its rows are called.

    sign: -1 where the other job is the worse one. less: jobs whose cost over the float model is taken off (pairs).
    """

    part: Part
    bits: int
    level: str
    mode: str
    job: Job
    against: Job | None = None
    sign: int = 1
    less: tuple[Job, ...] = ()


def float_job(frames: int, points: tuple[int, ...]) -> Job:
    return Job((), frames, points)


def trials(config: AnalyseConfig, survey: Survey, points: tuple[int, ...]) -> list[Trial]:
    """Everything but channels and noise, modules first."""
    result: list[Trial] = []
    for level in ("module", "layer"):
        if config.reaches(level):
            kinds: Sequence[Kind] = [kind for kind in config.kinds if level == "module" or kind in ("w", "a")]
            parts = survey.parts(level, kinds)
            result += _add(config, parts, points) if "add" in config.modes else []
            result += _add(config, parts, points, open=True) if "open" in config.modes else []
            result += _drop(config, survey, parts, points) if "drop" in config.modes else []
    if config.pairs and "add" in config.modes:
        result += _pairs(config, survey, points)
    return result + _over_time(config, survey, points)


def noise_jobs(config: AnalyseConfig, points: tuple[int, ...], open: bool = False) -> list[Job]:
    """The perturbations; what is not measured needs no floor."""
    frames = config.open_frames if open else max(config.frames, config.drift_frames)
    numbers = range(config.noise if frames else 0)
    return [Job((), frames, points, noise=config.seed + number, open=open) for number in numbers]


def jobs_of(all_trials: Iterable[Trial]) -> list[Job]:
    """Every job once, in order."""
    found: dict[Job, None] = {}
    for trial in all_trials:
        for job in (trial.job, *([trial.against] if trial.against else []), *trial.less):
            found.setdefault(job)
    return list(found)


def _add(config: AnalyseConfig, parts: list[Part], points: tuple[int, ...], open: bool = False) -> list[Trial]:
    mode = "open" if open else "add"
    return [
        Trial(part, bits, part.level, mode, Job(part.settings(bits), config.frames, points, open=open))
        for part in parts
        for bits in config.bits
    ]


def _drop(config: AnalyseConfig, survey: Survey, parts: list[Part], points: tuple[int, ...]) -> list[Trial]:
    bits = config.target or min(config.bits)
    everything = all_settings(survey, bits)
    whole, result = Job(everything, config.frames, points), []
    for part in parts:
        if part.kind != "state":
            job = Job(without(everything, part), config.frames, points)
            result.append(Trial(part, bits, part.level, "drop", job, whole, -1))
    return result


def _pairs(config: AnalyseConfig, survey: Survey, points: tuple[int, ...]) -> list[Trial]:
    """Modules with their weights and inputs, two at a time, at the fewest bits."""
    bits, result = min(config.bits), []
    for a, b in combinations(survey.parts("module", ["wa"]), 2):
        both = Part(f"{a.name} + {b.name}", a.module, "module", "wa", a.layers + b.layers, a.inputs + b.inputs)
        one, other, joint = (Job(part.settings(bits), config.frames, points) for part in (a, b, both))
        result.append(Trial(both, bits, "pair", "add", joint, less=(one, other)))
    return result


def _over_time(config: AnalyseConfig, survey: Survey, points: tuple[int, ...]) -> list[Trial]:
    bits, result = min(config.bits), []
    for part in survey.parts("module", [kind for kind in config.kinds if kind != "wa"]):
        settings = part.settings(bits)
        if config.drift_frames > config.frames:
            result.append(Trial(part, bits, "module", "add", Job(settings, config.drift_frames, points)))
        if config.impulse_frames:
            # A state is quantized after the frame that leaves it; what follows is what it does.
            frame = 0 if part.kind == "state" else min(1, survey.first_frame(part))
            job = Job(settings, config.impulse_frames, points, only=frame)
            result.append(Trial(part, bits, "module", "impulse", job))
    return result


@dataclass(frozen=True)
class Reading:
    """What turns curves into rows."""

    survey: Survey
    lambdas: tuple[float, ...]
    clips: tuple[str, ...]
    model_hash: str
    encoder_only: tuple[str, ...]
    reference: Curves  # of the float model, as long as the longest job
    noise: tuple[Curves, ...]
    open_noise: tuple[Curves, ...] = ()

    def rows(self, trial: Trial, results: Results) -> Iterator[dict[str, Any]]:
        """One row per lambda and clip, then their mean."""
        job = trial.job
        reference = self._float(job)
        against = results[trial.against] if trial.against else reference
        change = _difference(results[job], against, trial.sign)
        for other in trial.less:
            change = _difference(change, _difference(results[other], reference, 1), 1)
        lambdas = tuple(self.lambdas[point] for point in job.points)
        curves = change.cost(lambdas) / reference.rate.mean(-1, keepdims=True)
        floors = self._floors(job)
        if floors is not None and trial.less:
            floors = floors * 2**0.5  # four runs that may be off, not two
        begins = None if job.only is None else self._floors(job, _begin(job))
        for place, lmbda in enumerate(lambdas):
            common = {
                "model_hash": self.model_hash,
                "call_site": trial.part.name,
                "module": trial.part.module,
                "kind": trial.part.kind,
                "level": trial.level,
                "channel": trial.part.channel,
                "bits": trial.bits,
                "mode": trial.mode,
                "lambda": lmbda,
                "frames": job.frames,
                "source": "measured",
                "encoder_only": trial.part.module in self.encoder_only,
            }
            parts = reference.rate[place], change.rate[place], change.distortion[place], curves[place]
            for clip, name in enumerate(self.clips):
                rate, moved, error, curve = (values[clip : clip + 1] for values in parts)
                floor = None if floors is None else floors[place, clip]
                own = _figures(rate, moved, error, curve, floor) | _memory(curve, job, begins, (place, clip))
                yield common | {"clip": name} | own
            floor = None if floors is None else floors[place, -1]
            own = _figures(*parts, floor) | _memory(curves[place], job, begins, (place, -1))
            yield common | {"clip": MEAN} | own

    def noise_rows(self, config: AnalyseConfig) -> Iterator[dict[str, Any]]:
        """The floor itself: closed, at the frames of rankings and of drift, and open."""
        every = tuple(range(len(self.lambdas)))
        jobs = [Job((), frames, every) for frames in sorted({config.frames, max(config.frames, config.drift_frames)})]
        for job in [*jobs, Job((), config.frames, every, open=True)]:
            floors = self._floors(job)
            if floors is None:
                continue
            for place, lmbda in enumerate(self.lambdas):
                for clip, name in enumerate((*self.clips, MEAN)):
                    yield {
                        "model_hash": self.model_hash,
                        "call_site": "all weights",
                        "module": "",
                        "kind": "w",
                        "level": "codec",
                        "mode": "open noise" if job.open else "noise",
                        "lambda": lmbda,
                        "clip": name,
                        "frames": job.frames,
                        "floor": float(floors[place, clip]),
                        "source": "measured",
                    }

    def _float(self, job: Job) -> Curves:
        points, first = list(job.points), self.reference.first(job.frames)
        return Curves(first.rate[points], first.distortion[points])

    def _floors(self, job: Job, frame: int | None = None) -> NDArray[np.float64] | None:
        """(points, clips + 1): twice the root mean square of zeta under perturbation, of each clip and of the mean.

        frame: of this frame's dJ / R instead, without the loop: what an impulse that begins there must exceed.
        """
        noise = self.open_noise if job.open or frame is not None else self.noise
        frames = job.frames if frame is None else frame + 1
        if not noise or frames > noise[0].rate.shape[-1]:
            return None
        lambdas, reference = [self.lambdas[point] for point in job.points], self._float(job)
        zetas = []
        for curves in noise:
            shown = curves.first(frames)
            moved = Curves(shown.rate[list(job.points)], shown.distortion[list(job.points)])
            cost = _difference(moved, reference.first(frames), 1).cost(lambdas)
            each = (cost.mean(-1) if frame is None else cost[..., frame]) / reference.rate.mean(-1)
            zetas.append(np.concatenate([each, each.mean(1, keepdims=True)], 1))
        result: NDArray[np.float64] = FLOOR_WIDTH * np.sqrt(np.square(zetas).mean(0))
        return result


def _difference(a: Curves, b: Curves, sign: int) -> Curves:
    return Curves(sign * (a.rate - b.rate), sign * (a.distortion - b.distortion))


def _figures(rate: Values, moved: Values, error: Values, curves: Values, floor: float | None) -> dict[str, Any]:
    """Of clips (N, T)."""
    zetas = curves.mean(-1)
    slope: Slope = drift(curves[0]) if len(curves) == 1 else mean_drift(curves)
    zeta = float(zetas.mean())
    return {
        "rate": float(rate.mean()),
        "dR": float(moved.mean()),
        "dD": float(error.mean()),
        "zeta": zeta,
        "stderr": _known(standard_error(zetas)),
        "floor": None if floor is None else float(floor),
        "under_floor": None if floor is None else abs(zeta) <= float(floor),
        "slope": _known(slope.slope),
        "slope_low": _known(slope.low),
        "slope_high": _known(slope.high),
        "curve": curves.mean(0).tolist(),
    }


def _begin(job: Job) -> int:
    """The frame that an impulse shows in first: a state is quantized after the frame that leaves it."""
    state = any(setting.kind == "state" for setting in job.settings)
    return (job.only or 0) + state


def _memory(
    curves: NDArray[np.float64], job: Job, floors: NDArray[np.float64] | None, place: tuple[int, int]
) -> dict[str, float | None]:
    """Gain and decay of impulses, from curves (N, T) of clips; floors: of the first frame, this one's at `place`."""
    if job.only is None:
        return {}
    floor = float("nan") if floors is None else float(floors[place])
    return {name: _known(value) for name, value in asdict(mean_impulse(curves, _begin(job), floor)).items()}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def all_settings(survey: Survey, bits: int) -> tuple[Setting, ...]:
    """Every weight and input."""
    return tuple(setting for part in survey.parts("module", ["wa"]) for setting in part.settings(bits))
