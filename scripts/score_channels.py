"""An analysis with Fisher scores of every layer's output channels and its input's channels added: from one backward
pass per clip and lambda.

The rows (level channel, mode open, source predicted) hold 1/2 E sum (g dx)^2 as zeta, at 0 bits of a pruned output
channel; of it an allocation uses each channel's share of its layer (`lab.allocate.channels.calibrated`). Clips are
those that measure_analysis.py takes first.

usage: score_channels.py CHECKPOINT --table ANALYSIS --train DIR --cache DIR --out FOLDER [--clips 12]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from clips_apart import halves

from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.channels import channels_of
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.gradients import slopes
from quaver.lab.analyse.jobs import Slopes
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.survey import survey
from quaver.lab.analyse.table import MEAN, SensitivityTable
from quaver.lab.data.cache import build_cache

# Four: a plane that tells the quality is constant, and a grid fitted to two values of it has both exactly, so that it
# seems to need no bits.
QUALITIES, BITS, FRAMES = (8, 24, 40, 56), (2, 4, 8), 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    for name in ("--table", "--train", "--cache", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--clips", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = SensitivityTable.load(arguments.table)
    cache = halves(build_cache(arguments.train, arguments.cache, arguments.exclude))[0]
    clips = choose_clips(cache, arguments.clips, FRAMES, 64)
    adapter = QuaverAdapter.load(arguments.checkpoint, qualities=QUALITIES)
    seen = survey(adapter, clips, FRAMES, BITS)
    bench, rows = Bench(Setup(adapter, clips, seen, 0)), []
    for point, lmbda in enumerate(adapter.lambdas):
        found = slopes(bench, Slopes(point, (0, *BITS), FRAMES // 2))
        for bits in (0, *BITS):
            rows += [
                {
                    "model_hash": table.rows["model_hash"][0], "call_site": each.site, "module": each.module,
                    "kind": each.kind, "level": "channel", "channel": each.channel,
                    "bits": bits, "mode": "open", "clip": MEAN,
                    "lambda": lmbda, "zeta": each.fisher, "source": "predicted", "first": each.first,
                    "fisher": each.fisher, "frames": FRAMES // 2, "encoder_only": each.module in adapter.encoder_only,
                }
                for each in channels_of(seen, found, bits, ["w", "a"] if bits else ["w"])
            ]  # fmt: skip
    bench.close()
    table.merge(SensitivityTable.of(rows)).save(arguments.out)


if __name__ == "__main__":
    main()
