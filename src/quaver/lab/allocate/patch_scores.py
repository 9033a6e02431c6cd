"""What patches lose at fewer bits, measured: one class in one network at a time, with the encoder and the bytes that
ship, in closed loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.codec.decisions import cost, lagrangian
from quaver.codec.encoder import CodedFrame, encode_picture
from quaver.codec.frame_coder import predict
from quaver.codec.networks import Engine, prepare
from quaver.errors import UsageError
from quaver.evaluate.output import replacing
from quaver.lab.allocate.unfinished import Unfinished
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.over_time import standard_error
from quaver.runtime.model import IntegerModel
from quaver.runtime.patches import FEATURES, FULL, NETWORKS, PatchTable, patch_features
from quaver.runtime.picture import Picture

WIDTHS = (0, 2, 4, 6)  # beside 8, which loses nothing
Thresholds = Mapping[str, tuple[int, ...]]
Key = tuple[int, str, int]  # class, network, bits


@dataclass(frozen=True)
class Loss:
    """zeta = (dR + lambda dD) / R of inter frames with its standard error over clips, means over clips and lambda.
    rate: dR in bits per luma sample; distortion: dD."""

    zeta: float
    stderr: float
    rate: float
    distortion: float


@dataclass(frozen=True)
class PatchScores:
    """losses: by (class, network, bits), of classes that occur. counts: how many patches each class had. setting: what
    was measured on."""

    model_hash: str
    thresholds: Thresholds
    counts: tuple[int, ...]
    losses: Mapping[Key, Loss]
    setting: str

    @property
    def widths(self) -> list[int]:
        return sorted({bits for _, _, bits in self.losses})

    def save(self, path: Path) -> None:
        """Written beside and renamed."""
        with replacing(path) as part:
            part.write_text(json.dumps(self.to_dict(), indent=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `save` writes them."""
        return asdict(replace(self, losses={})) | {"losses": _rows(self.losses)}

    @classmethod
    def load(cls, path: Path) -> PatchScores:
        """UsageError where the file holds none."""
        try:
            plain = json.loads(path.read_text())
            losses = _losses(plain.pop("losses"))
            thresholds = {name: tuple(own) for name, own in plain.pop("thresholds").items()}
            return cls(losses=losses, thresholds=thresholds, **plain | {"counts": tuple(plain["counts"])})
        except OSError as error:
            raise UsageError(f"{path}: cannot read the scores: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"{path}: not scores of patches: {error}") from error


def _rows(losses: Mapping[Key, Loss]) -> list[list[Any]]:
    """As JSON has them."""
    return [[*key, *asdict(loss).values()] for key, loss in losses.items()]


def _losses(rows: Sequence[Sequence[Any]]) -> dict[Key, Loss]:
    """What `_rows` wrote; ValueError or TypeError where it has not."""
    return {(int(c), str(n), int(b)): Loss(*map(float, rest)) for c, n, b, *rest in rows}


@dataclass(frozen=True)
class Curves:
    """Of inter frames, (qualities, clips): bits per luma sample, distortion, and J, means over frames."""

    rate: NDArray[np.float64]
    distortion: NDArray[np.float64]
    cost: NDArray[np.float64]


class Bench:
    """Clips that are coded again and again under different tables; intra frames, which no table changes, once."""

    def __init__(self, model: IntegerModel, clips: ClipSet, qualities: tuple[int, ...]) -> None:
        if not model.graphs:
            raise UsageError(f"model {model.name!r} has no networks whose inputs could have fewer bits")
        self.model, self.clips, self.qualities = replace(model, patches=None), clips, qualities
        self._engine = prepare(self.model, threads=1, encoding=True)
        self._intra: dict[tuple[int, int], CodedFrame] = {}

    def run(self, table: PatchTable | None) -> Curves:
        """Every clip at every quality."""
        engine = replace(self._engine, model=replace(self.model, patches=table))
        shape = len(self.qualities), len(self.clips)
        rate, distortion = np.zeros(shape), np.zeros(shape)
        area, frames = self.clips.y[0, 0].size, self.clips.frames - 1
        for point, quality in enumerate(self.qualities):
            for number in range(len(self.clips)):
                for picture, coded in self._inter(engine, number, quality):
                    bits = 8 * len(coded.payload)
                    j = cost(picture, coded.state.picture, len(coded.payload), quality)
                    rate[point, number] += bits / area / frames
                    distortion[point, number] += (j - bits) / lagrangian(quality) / area / frames
        lambdas = np.array([lagrangian(quality) for quality in self.qualities])[:, None]
        return Curves(rate, distortion, rate + lambdas * distortion)

    def features(self) -> dict[str, NDArray[np.int32]]:
        """Of all patches of all inter frames, without a table."""
        found: dict[str, list[NDArray[np.int32]]] = {feature: [] for feature in FEATURES}
        for quality in self.qualities:
            for number in range(len(self.clips)):
                past = self._start(number, quality).state
                for _, coded in self._inter(self._engine, number, quality):
                    state = coded.state
                    own = patch_features(past.picture.y, predict(past, state.vectors)[0], state.vectors, state.levels)
                    for feature in FEATURES:
                        found[feature].append(own[feature].ravel())
                    past = state
        return {feature: np.concatenate(values) for feature, values in found.items()}

    def _inter(self, engine: Engine, number: int, quality: int) -> Iterator[tuple[Picture, CodedFrame]]:
        coded = self._start(number, quality)
        for t in range(1, self.clips.frames):
            picture = self._picture(number, t)
            coded = encode_picture(picture, coded.state, engine, quality, scene_cuts=False)
            yield picture, coded

    def _start(self, number: int, quality: int) -> CodedFrame:
        key = number, quality
        if key not in self._intra:
            self._intra[key] = encode_picture(self._picture(number, 0), None, self._engine, quality)
        return self._intra[key]

    def _picture(self, number: int, t: int) -> Picture:
        return Picture(*(plane[number, t] for plane in (self.clips.y, self.clips.u, self.clips.v)))


def choose_thresholds(features: Mapping[str, NDArray[np.int32]]) -> dict[str, tuple[int, ...]]:
    """What is coded (nothing, less, more than the median), whether anything moves, gradients under or over the median;
    change, which says little beside those, splits nothing."""
    coded = features["levels"][features["levels"] > 0]
    middle = max(2, int(np.median(coded))) if len(coded) else 2
    return {
        "levels": (1, middle),
        "motion": (1,),
        "gradient": (max(1, int(np.median(features["gradient"]))),),
        "change": (),
    }


def measure(
    bench: Bench,
    thresholds: Thresholds | None = None,
    widths: tuple[int, ...] = WIDTHS,
    show: Callable[[int, int], None] = lambda done, of: None,
    state: Unfinished | None = None,
) -> PatchScores:
    """Lower every class that occurs to each of `widths` in each network by itself. `thresholds`: chosen from the clips
    where None. state: keeps each loss as it comes; those that it has are not measured again."""
    features = bench.features()
    thresholds = thresholds or choose_thresholds(features)
    full = _full(thresholds)
    counts = np.bincount(full.classify(features).ravel(), minlength=full.classes)
    reference = bench.run(None)
    keys = [(int(c), name, bits) for c in np.flatnonzero(counts) for name in NETWORKS for bits in widths]
    losses = _losses((state.load() if state else {}).get("losses", []))
    show(len(losses), len(keys))
    for c, name, bits in [key for key in keys if key not in losses]:
        own = full.bits.copy()
        own[c, NETWORKS.index(name)] = bits
        losses[c, name, bits] = loss(bench.run(PatchTable(thresholds, own)), reference)
        if state is not None:
            state.keep(losses=_rows(losses))
        show(len(losses), len(keys))
    clips, setting = bench.clips, f"{len(bench.clips)} clips {bench.clips.hash}, {bench.clips.frames} frames"
    setting += f", {clips.y.shape[3]}x{clips.y.shape[2]}, qualities {','.join(map(str, bench.qualities))}"
    return PatchScores(bench.model.hash.hex(), thresholds, tuple(counts.tolist()), losses, setting)


def loss(curves: Curves, reference: Curves) -> Loss:
    """How much worse `curves` are."""
    zeta = ((curves.cost - reference.cost) / reference.rate).mean(0)  # by clip
    stderr = float(standard_error(zeta)) if len(zeta) > 1 else 0.0
    rate, distortion = curves.rate - reference.rate, curves.distortion - reference.distortion
    return Loss(float(zeta.mean()), stderr, float(rate.mean()), float(distortion.mean()))


def _full(thresholds: Thresholds) -> PatchTable:
    """8 bits everywhere."""
    classes = int(np.prod([len(own) + 1 for own in thresholds.values()]))
    return PatchTable(thresholds, np.full((classes, len(NETWORKS)), FULL, np.uint8))
