"""Lowering from files: weights and calibration clips in, an integer model out."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path

from quaver.lab.data.batches import largest_size
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import load_weights, read_preset
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import IntegerModel, load_model, save_model

_FRAMES, _SIZE = 4, 192  # of a calibration sequence; crops are smaller where the clips are


def lower_checkpoint(
    checkpoint: Path, out: Path, clips: Path, skeleton: str, name: str, sequences: int, cache: Path | None
) -> IntegerModel:
    """Read weights, calibrate on `clips`, write `out`."""
    codec = Codec(read_preset(checkpoint), load_model(skeleton))
    load_weights(codec, checkpoint)
    holder = tempfile.TemporaryDirectory() if cache is None else nullcontext(str(cache))
    with holder as folder:
        clips_cache = build_cache(clips, Path(folder))
        size = largest_size(clips_cache, _FRAMES, _SIZE)
        stage = Stage("calibration", sequences, _FRAMES, size=size, encoder=True)
        calibrate(codec, [sequence_at(clips_cache, 0, stage, step) for step in range(sequences)], stage)
    model = lower(codec, name)
    save_model(model, out)
    return model
