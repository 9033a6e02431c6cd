"""Patch tables from measured losses."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quaver.cli.patches import patches
from quaver.codec import conformance
from quaver.errors import UsageError
from quaver.lab.allocate.patch_command import Clips, Done, read_table, read_thresholds, search
from quaver.lab.allocate.patch_scores import Bench, Loss, PatchScores, choose_thresholds, loss, measure
from quaver.lab.allocate.patch_table import METHODS, Operations, allocate, believed
from quaver.lab.allocate.unfinished import Unfinished
from quaver.lab.analyse.clips import ClipSet, choose_clips
from quaver.lab.data.cache import ClipCache, decoded
from quaver.lab.train.loop import train
from quaver.runtime.model import IntegerModel, load_model, read_model
from quaver.runtime.patches import FEATURES, NETWORKS, PatchTable

from ..test_quantize import QAT, codes, weights
from ..test_training import clips

__all__ = ["clips", "weights"]

THRESHOLDS = dict.fromkeys(FEATURES, ()) | {"levels": (1,)}


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return read_model(conformance.folder() / "model.qvm")


def scores(model: IntegerModel, seed: int = 0) -> PatchScores:
    """Two classes, losses that fall with bits."""
    rng = np.random.default_rng(seed)
    losses = {}
    for c, name in itertools.product(range(2), NETWORKS):
        falling = np.sort(rng.random(3) * 0.1)[::-1]
        for bits, zeta in zip((0, 2, 5), falling, strict=True):
            losses[c, name, bits] = Loss(float(zeta), 0.001, 0.0, 0.0)
    return PatchScores(model.hash.hex(), THRESHOLDS, (30, 70), losses, "none")


def test_the_table_is_the_best_within_the_budget(model: IntegerModel) -> None:
    own = scores(model)
    found = allocate(own, model, ["avg_bits=4"])
    zeta = believed(own) | {(c, name, 8): 0.0 for c, name in itertools.product(range(2), NETWORKS)}
    macs = {name: Operations.of(name, model.graphs[name]).macs for name in NETWORKS}
    sites = list(itertools.product(range(2), NETWORKS))
    best = np.inf
    for bits in itertools.product((0, 2, 5, 8), repeat=6):
        average = sum(own.counts[c] / 100 * macs[n] * b for (c, n), b in zip(sites, bits, strict=True))
        if average / sum(macs.values()) <= 4:
            best = min(best, sum(zeta[c, n, b] for (c, n), b in zip(sites, bits, strict=True)))
    assert found.predicted == pytest.approx(best) and found.costs["avg_bits"] <= 4
    for method in METHODS:
        other = allocate(own, model, ["avg_bits=4", "bops=90%"], method)
        assert other.predicted >= best - 1e-12 and other.costs["avg_bits"] <= 4
    assert set(allocate(own, model, ["avg_bits=5.5"], "uniform").table.bits.ravel()) == {5}


def test_gains_of_noise_are_not_believed(model: IntegerModel) -> None:
    own = scores(model)
    losses = dict(own.losses)
    losses[0, "inter.loop", 0] = Loss(-0.001, 0.001, 0, 0)
    losses[1, "inter.loop", 0] = Loss(-0.01, 0.001, 0, 0)
    losses[0, "inter.loop", 5] = Loss(-0.5, 0.001, 0, 0)
    found = believed(replace(own, losses=losses))
    assert found[0, "inter.loop", 0] == 0 and found[1, "inter.loop", 0] == -0.01
    assert all(found[0, "inter.loop", bits] >= 0 for bits in (2, 5))
    assert found[0, "inter.loop", 2] >= found[0, "inter.loop", 5]


def test_what_is_refused(model: IntegerModel, tmp_path: Path) -> None:
    own = scores(model)
    for budgets, method, said in (
        (["bytes=5k"], "ilp", "avg_bits and bops"),
        (["avg_bits=-1"], "ilp", "legal is"),
        (["avg_bits=4"], "best", "legal are ilp"),
    ):
        with pytest.raises(UsageError, match=said):
            allocate(own, model, budgets, method)
    with pytest.raises(UsageError, match="another model"):
        allocate(own, replace(model, name="other"), ["avg_bits=4"])
    with pytest.raises(UsageError, match="no networks"):
        Bench(load_model("skeleton"), still(), (30,))
    for text in ("light=1", "levels=a", "levels"):
        with pytest.raises(UsageError, match="legal is one of"):
            read_thresholds([text])
    assert read_thresholds(["levels=1,5"]) == THRESHOLDS | {"levels": (1, 5)}
    for content in ("", "[]", "{}", '{"losses": [[1]]}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(UsageError, match=r"bad\.json"):
            PatchScores.load(tmp_path / "bad.json")
    own.save(tmp_path / "good.json")
    assert PatchScores.load(tmp_path / "good.json") == own


def still() -> ClipSet:
    """Two clips, a moving and a still one."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (80, 80)).astype(float)
    for _ in range(3):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) / 3
    y = np.stack(
        [np.stack([wide[s * t : s * t + 48, 2 * s * t : 2 * s * t + 64] for t in range(3)]) for s in (3, 0)]
    ).astype(np.uint8)
    return ClipSet(("moving", "still"), y, y[..., ::2, ::2], y[..., ::2, ::2])


def test_losses_are_measured_in_closed_loop(model: IntegerModel) -> None:
    bench = Bench(model, still(), (20,))
    thresholds = choose_thresholds(bench.features())
    assert thresholds["levels"][0] == 1 and thresholds["change"] == ()
    found = measure(bench, THRESHOLDS, (0, 4))
    assert sum(found.counts) == 2 * 2 * 2 * 2 and found.widths == [0, 4]
    full = PatchTable(THRESHOLDS, np.full((2, 3), 8, np.uint8))
    reference = bench.run(None)
    assert loss(bench.run(full), reference) == Loss(0.0, 0.0, 0.0, 0.0)
    assert all(np.isfinite(each.zeta) for each in found.losses.values()) and any(
        each.zeta != 0 for each in found.losses.values()
    )


def test_an_interrupted_measurement_goes_on(model: IntegerModel, tmp_path: Path) -> None:
    bench = Bench(model, still(), (20,))
    whole = measure(bench, THRESHOLDS, (0, 4))
    state, seen = Unfinished(tmp_path / "own.qvm", "key"), list[int]()

    def show(done: int, of: int) -> None:
        seen.append(done)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(bench, THRESHOLDS, (0, 4), show, state)
    again = measure(bench, THRESHOLDS, (0, 4), show, state)
    assert again == whole and list(again.losses) == list(whole.losses)
    assert seen == [0, 1, 2, 3, 3, *range(4, len(whole.losses) + 1)]


@pytest.mark.parametrize("kept", [True, False])
def test_from_an_interruption_to_a_model(clips: tuple[Path, ClipCache], tmp_path: Path, kept: bool) -> None:
    """What was measured waits beside the scores, or beside the model, until that is written; under other budgets too,
    not on other clips."""
    folder, _ = clips
    source = Clips(folder, 2, 2, 32, (30,), (), folder / "cache")
    name, out = str(conformance.folder() / "model.qvm"), tmp_path / "own.qvm"
    scores = tmp_path / "scores.json" if kept else None
    state, seen, said = tmp_path / f"{(scores or out).name}.state", list[int](), list[str]()

    def found(source: Clips, budget: str, last: int = -1) -> Done:
        def show(done: int, of: int) -> None:
            seen.append(done)
            if done == last:
                raise KeyboardInterrupt

        return search(name, out, source, [budget], thresholds=THRESHOLDS, kept=scores, show=show, say=said.append)

    with pytest.raises(KeyboardInterrupt):
        found(source, "avg_bits=5", 2)
    assert list(tmp_path.iterdir()) == [state]
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        found(source, "avg_bits=6", 3)
    assert seen == [2, 3] and not said
    done = found(source, "avg_bits=6")
    assert not state.exists() and out.exists() and not said
    whole = measure(Bench(done.model, choose(source), (30,)), THRESHOLDS)
    assert done.scores.losses == whole.losses

    other = replace(source, frames=3)
    for path in filter(None, (scores,)):
        path.unlink()
    for again in (source, other):
        with pytest.raises(KeyboardInterrupt):
            found(again, "avg_bits=5", 1)
    assert len(said) == 1 and "of other settings" in said[0]


def choose(source: Clips) -> ClipSet:
    with decoded(source.folder, source.cache, source.exclude) as found:
        return choose_clips(found, source.count, source.frames, source.size, 0)


def test_from_clips_to_training(
    weights: Path, clips: tuple[Path, ClipCache], model: IntegerModel, tmp_path: Path
) -> None:
    """A model with its table, the table alone, and training with it, which keeps it and stays exact."""
    folder, cache = clips
    arguments = {"data": folder, "budget": ["avg_bits=5"], "split": ["levels=1"], "cache": folder / "cache"}
    sizes = {"clips": 2, "frames": 2, "size": 32, "lambdas": "30"}
    path = str(conformance.folder() / "model.qvm")
    patches(path, tmp_path / "own.qvm", scores=tmp_path / "scores.json", **arguments, **sizes)
    own, table = read_model(tmp_path / "own.qvm"), read_table(tmp_path / "own.json")
    assert own.patches is not None and own.patches.to_json() == table.to_json() and codes(tmp_path / "own.qvm") > 0
    began = json.loads((tmp_path / "scores.json").read_text())
    patches(path, tmp_path / "again.qvm", scores=tmp_path / "scores.json", **arguments, **sizes)
    assert json.loads((tmp_path / "scores.json").read_text()) == began
    assert read_table(tmp_path / "again.json").to_json() == table.to_json()

    from quaver.cli.quantize import quantize

    codec = train(QAT, cache, load_model("skeleton"), tmp_path / "run", start=weights, patches=table)
    assert codec.patches is not None and codec.patches.to_json() == table.to_json()
    quantize(
        tmp_path / "run" / "ema.safetensors", tmp_path / "q.qvm", "W7A8", folder, cache=folder / "cache", sequences=1
    )
    assert read_model(tmp_path / "q.qvm").patches is not None and codes(tmp_path / "q.qvm") > 0
