"""The training loop: stages, checkpoints, logs. Lightning Fabric runs it on whatever device there is."""

from __future__ import annotations

import copy
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from quaver.errors import MediaError, ModelError, UsageError
from quaver.evaluate.output import replacing
from quaver.lab.data.batches import make_batch
from quaver.lab.data.cache import ClipCache
from quaver.lab.data.prefetch import Prefetcher
from quaver.lab.lower.model import calibrate
from quaver.lab.models.codec import PRESETS, Codec
from quaver.lab.models.precision import shape_for
from quaver.lab.models.weights import read_codec, save_weights, set_integer
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.objective import Outcome, Sequence, run_sequence
from quaver.lab.train.recipes import Recipe, Stage
from quaver.runtime.model import IntegerModel
from quaver.runtime.patches import PatchTable

_HOPELESS = 10  # steps in a row without a finite gradient: what one batch did would be over
_CALIBRATION = 8  # batches that set the scales when training turns to integers
_FIELDS = ("step", "stage", "loss", "cost", "rate", "distortion", "seconds", "frames_per_second", "validation")


@dataclass(frozen=True)
class Progress:
    """One step's figures, for whoever shows them."""

    step: int
    steps: int
    stage: str
    outcome: Outcome
    frames_per_second: float
    validation: float | None


def supports_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def train(
    recipe: Recipe,
    cache: ClipCache,
    skeleton: IntegerModel,
    out: Path,
    resume: bool = False,
    start: Path | None = None,
    save_every: int = 200,
    validate_every: int = 500,
    show: Callable[[Progress], None] = lambda _: None,
    plan: QuantPlan | None = None,
    patches: PatchTable | None = None,
) -> Codec:
    """Train and return the EMA codec; `out` gets last.pt (to resume), weights.safetensors, ema.safetensors,
    log.csv and TensorBoard events. `start`: weights to begin from. `plan`: what to quantize them to before the first
    step; all stages must then compute in integers. `patches`: bits of patches, instead of those of `start`. A step
    without a finite gradient is left out; ModelError where ten in a row have none."""
    from lightning_fabric import Fabric
    from torch.utils.tensorboard import SummaryWriter

    fabric = Fabric(accelerator="auto", devices=1)
    torch.manual_seed(recipe.seed)
    codec = Codec(PRESETS[recipe.preset](), skeleton) if start is None else read_codec(start, skeleton)
    codec.patches = patches or codec.patches
    average = copy.deepcopy(codec)
    out.mkdir(parents=True, exist_ok=True)
    saved = _saved(out / "last.pt", recipe) if resume else None
    first = 0 if saved is None else int(saved["step"])
    if saved is not None:
        _restore(saved, codec, average)
    elif plan is not None:
        _quantize((codec, average), cache, recipe, recipe.stages[0], plan)
    optimizer = _optimizer(codec, recipe)
    if saved is not None:
        optimizer.load_state_dict(saved["optimizer"])
    model, optimizer = fabric.setup(codec, optimizer, move_to_device=True)
    model.mark_forward_method("code_intra")
    model.mark_forward_method("code_inter")
    (out / "recipe.json").write_text(recipe.to_json())
    bfloat16 = supports_bfloat16()
    held_out = sequence_at(cache, recipe.seed, recipe.stages[-1], -1)
    writer = SummaryWriter(str(out / "events"))

    def batch_at(step: int) -> Sequence:
        return sequence_at(cache, recipe.seed, recipe.stage_at(step), step)

    with (
        _log(out / "log.csv", first) as log,
        Prefetcher(batch_at, first, recipe.steps) as batches,
    ):
        rows, lost = csv.writer(log), 0
        for step, sequence in batches:
            began = time.perf_counter()
            stage = recipe.stage_at(step)
            _select(codec, stage)
            if stage.integer and codec.plan is None:
                _quantize((codec, average), cache, recipe, stage)
                set_integer(codec, True)
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16 and not stage.integer):
                outcome = run_sequence(codec, sequence, stage)
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(outcome.loss)
            norm = torch.nn.utils.clip_grad_norm_(codec.parameters(), recipe.clip)
            lost = 0 if bool(torch.isfinite(norm)) else lost + 1
            if lost == _HOPELESS:
                raise ModelError(
                    f"{out}: no finite gradient in {lost} steps up to step {step} ({stage.name}); the last checkpoint"
                    " is from before: go on from it with a lower learning rate"
                )
            if not lost:
                optimizer.step()
                _follow(average, codec, min(recipe.ema, (1 + step) / (10 + step)))
            seconds = time.perf_counter() - began
            last = step + 1 == recipe.steps
            validation = None
            if last or (step + 1) % validate_every == 0:
                validation = _validate(average, held_out, stage, bfloat16)
            count = sequence.y.shape[0] * sequence.y.shape[1]
            figures = (float(outcome.loss.detach()), outcome.cost, outcome.rate, outcome.distortion, seconds)
            rows.writerow([step, stage.name, *(f"{x:.5g}" for x in (*figures, count / seconds)), validation])
            for name, value in zip(_FIELDS[2:6], figures, strict=False):
                writer.add_scalar(name, value, step)
            if last or (step + 1) % save_every == 0:
                log.flush()
                _save(out, recipe, codec, average, optimizer, step + 1)
            show(Progress(step + 1, recipe.steps, stage.name, outcome, count / seconds, validation))
    writer.close()
    return average


def sequence_at(cache: ClipCache, seed: int, stage: Stage, step: int) -> Sequence:
    """The batch of a step: a pure function of (seed, step)."""
    batch = make_batch(cache, seed, step, stage.size, stage.batch, stage.frames)
    y, u, v = (torch.from_numpy(plane) for plane in (batch.y, batch.u, batch.v))
    return Sequence(y, u, v, torch.from_numpy(batch.quality).long())


def _select(codec: Codec, stage: Stage) -> None:
    """Train the stage's modules only, in its arithmetic."""
    for name, parameter in codec.named_parameters():
        parameter.requires_grad_(any(name.startswith(prefix + ".") for prefix in stage.trains))
    set_integer(codec, stage.integer)


@torch.no_grad()
def _follow(average: Codec, codec: Codec, decay: float) -> None:
    for slow, fast in zip(average.parameters(), codec.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for kept, new in zip(average.buffers(), codec.buffers(), strict=True):
        kept.copy_(new)


@torch.no_grad()
def _validate(codec: Codec, sequence: Sequence, stage: Stage, bfloat16: bool) -> float:
    set_integer(codec, stage.integer)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16 and not stage.integer):
        return round(run_sequence(codec, sequence, stage).cost, 6)


def _save(out: Path, recipe: Recipe, codec: Codec, average: Codec, optimizer: Any, step: int) -> None:
    checkpoint = {
        "step": step,
        "recipe": recipe.to_json(),
        "plan": None if codec.plan is None else codec.plan.to_json(),
        "codec": codec.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    try:
        with replacing(out / "last.pt") as part:
            torch.save(checkpoint, part)
    except RuntimeError as error:  # what torch makes of a full disk
        reason = str(error).splitlines()[0]
        raise MediaError(f"{out / 'last.pt'}: cannot write: {reason}; is the disk full?") from error
    save_weights(codec, out / "weights.safetensors")
    save_weights(average, out / "ema.safetensors")


def _saved(path: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The last checkpoint, None where there is none yet."""
    if not path.exists():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ModelError(f"{path}: not a checkpoint of `quaver train`, or damaged") from error
    if saved["recipe"] != recipe.to_json():
        raise ModelError(f"{path}: was made by another recipe; resume with that one, or choose another folder")
    return saved


def _restore(saved: dict[str, Any], codec: Codec, average: Codec) -> None:
    for each, key in ((codec, "codec"), (average, "average")):
        if saved["plan"] is not None and each.plan is None:
            shape_for(each, QuantPlan.from_json(saved["plan"]))
        each.load_state_dict(saved[key])


def _quantize(
    codecs: tuple[Codec, ...], cache: ClipCache, recipe: Recipe, stage: Stage, plan: QuantPlan | None = None
) -> None:
    """Turn from floating point to integers; from here on scales and clips are learned."""
    if plan is not None and not all(each.integer for each in recipe.stages):
        raise UsageError(f"recipe {recipe.name!r} has stages in floating point; with a plan all compute in integers")
    samples = [sequence_at(cache, recipe.seed, stage, -2 - number) for number in range(_CALIBRATION)]
    for codec in codecs:
        calibrate(codec, samples, stage, plan)


def _optimizer(codec: Codec, recipe: Recipe) -> torch.optim.AdamW:
    """Weights decay; biases, scales and clips do not."""
    weights = [p for p in codec.parameters() if p.ndim > 1]
    others = [p for p in codec.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _log(path: Path, first: int) -> Any:
    """The CSV log; resuming drops rows of steps that are done again."""
    rows = list(csv.reader(path.open())) if first and path.exists() else []
    kept = [row for row in rows[1:] if row and int(row[0]) < first]
    file = path.open("w", newline="", buffering=1)
    csv.writer(file).writerows([_FIELDS, *kept])
    return file
