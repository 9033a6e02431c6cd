"""`quaver patches` from files: a model and clips in, the model with a patch table out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quaver.errors import ModelError, UsageError
from quaver.evaluate.output import replacing
from quaver.lab.allocate.patch_scores import WIDTHS, Bench, Loss, PatchScores, Thresholds, loss, measure
from quaver.lab.allocate.patch_table import Allocation, allocate
from quaver.lab.allocate.unfinished import Unfinished
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.data.cache import decoded
from quaver.lab.manifest import beside, clips_note, digest, sealed, write_manifest
from quaver.runtime.model import IntegerModel, load_model, save_model
from quaver.runtime.patches import FEATURES, PatchTable


@dataclass(frozen=True)
class Clips:
    """Which crops are measured: `count` of size x size, `frames` long, at `qualities`."""

    folder: Path
    count: int
    frames: int
    size: int
    qualities: tuple[int, ...]
    exclude: Sequence[str]
    cache: Path | None


@dataclass(frozen=True)
class Done:
    """What came out: the model, its table with predicted loss and costs, and the loss measured with the whole table."""

    model: IntegerModel
    scores: PatchScores
    allocation: Allocation
    measured: Loss


def search(
    name: str,
    out: Path,
    clips: Clips,
    budgets: Sequence[str],
    method: str = "ilp",
    thresholds: Mapping[str, tuple[int, ...]] | None = None,
    kept: Path | None = None,
    seed: int = 0,
    show: Callable[[int, int], None] = lambda done, of: None,
    say: Callable[[str], None] = lambda line: None,
) -> Done:
    """Write the model with its table to `out`, and beside it the table alone (.json, for `quaver quantize`) and the
    manifest. `kept`: a file of scores that is used where it exists, else written. What is measured by then of a run
    that is interrupted waits beside `kept`, or beside `out`, for the same run."""
    model = replace(load_model(name), patches=None)
    with decoded(clips.folder, clips.cache, clips.exclude) as found:
        chosen = choose_clips(found, clips.count, clips.frames, clips.size, seed)
    bench = Bench(model, chosen, clips.qualities)
    state = Unfinished(kept or out, _key(bench, thresholds), say)
    scores = _scores(bench, thresholds, kept, show, state)
    allocation = allocate(scores, model, budgets, method, seed)
    measured = loss(bench.run(allocation.table), bench.run(None))
    patched = replace(model, name=out.stem, patches=allocation.table)
    with replacing(out.with_suffix(".json")) as part:
        part.write_text(allocation.table.to_json() + "\n")
    save_model(patched, out)
    note = sealed(
        {
            "command": "patches",
            "config": {"budgets": list(budgets), "method": method, "qualities": list(clips.qualities), "seed": seed},
            "thresholds": {name: list(values) for name, values in scores.thresholds.items()},
            "scores_hash": digest(scores.to_dict()),
            "model_hash": model.hash.hex(),
            "clips": clips_note(chosen),
        }
    )
    write_manifest(beside(out), note, {"model_hash": patched.hash.hex()})
    state.remove()
    return Done(patched, scores, allocation, measured)


def _key(bench: Bench, thresholds: Thresholds | None) -> str:
    """Of what losses depend on; the budgets are not among it."""
    measured = {
        "thresholds": None if thresholds is None else {name: list(values) for name, values in thresholds.items()},
        "widths": list(WIDTHS),
        "qualities": list(bench.qualities),
        "model_hash": bench.model.hash.hex(),
        "clips": clips_note(bench.clips),
    }
    return str(sealed(measured)["hash"])


def _scores(
    bench: Bench,
    thresholds: Thresholds | None,
    kept: Path | None,
    show: Callable[[int, int], None],
    state: Unfinished,
) -> PatchScores:
    if kept is not None and kept.exists():
        scores = PatchScores.load(kept)
        if thresholds is not None and dict(scores.thresholds) != dict(thresholds):
            raise UsageError(f"{kept}: scores for other thresholds; leave --split away or choose another file")
        return scores
    scores = measure(bench, thresholds, WIDTHS, show, state)
    if kept is not None:
        scores.save(kept)
    return scores


def read_thresholds(texts: Sequence[str]) -> dict[str, tuple[int, ...]] | None:
    """Such as levels=1,40; features that are not named split nothing. None where there are none."""
    if not texts:
        return None
    found: dict[str, tuple[int, ...]] = dict.fromkeys(FEATURES, ())
    for text in texts:
        name, _, values = text.partition("=")
        if name not in found or not all(value.isdigit() for value in values.split(",")):
            raise UsageError(f"--split {text}: legal is one of {', '.join(FEATURES)}, =, and whole numbers with commas")
        found[name] = tuple(int(value) for value in values.split(","))
    return found


def read_table(path: Path) -> PatchTable:
    """A table that `search` wrote."""
    try:
        return PatchTable.from_json(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot read the patch table: {error}") from error
