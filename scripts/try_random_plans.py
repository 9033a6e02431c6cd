"""Do random plans compute the same everywhere, over many more seeds than the test has? results/random_plans.tsv.

Each seed draws a codec and a plan for it (bits per layer, channel and group, pruned channels, splits, fitted
zero-points, shared scales), three times in four a table of patch bits (profile 2), and a picture size that is no
multiple of 16 (tests/lab/random_plans.py); it calibrates, lowers, writes, encodes 4 frames with the executor "onnx" and
decodes them with every executor on 1 and 2 threads; decoded planes and those of a forward pass in training are compared
bit for bit. A run adds a row: exact + different + refused is the number of seeds; refused: plans that a rule of the
lowering does not allow, which the draw should not make. Rows without "threads" are from before patch tables, sizes and
threads were drawn. Runs until --minutes of the processor are over, or to --count seeds.

usage: try_random_plans.py --out results/random_plans.tsv --first 3 [--minutes 10] [--count N] [--commit HASH]
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from provenance import comment

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from lab.random_plans import EXECUTORS, THREADS, assert_exact, random_codec, random_patches, random_plan
from quaver.errors import UsageError
from quaver.evaluate.points import read_table, write_table
from quaver.lab.manifest import code_hash

HEADER = (
    "seeds", "count", "executors", "exact", "different", "refused", "said", "cpu_s", "commit", "code", "date",
)  # fmt: skip


def outcome(seed: int) -> tuple[str, str]:
    """("exact", "different" or "refused", what was said)"""
    with tempfile.TemporaryDirectory() as folder:
        try:
            codec = random_codec(seed)
            codec.patches = random_patches(seed)
            assert_exact(codec, random_plan(codec, seed), Path(folder), seed)
        except UsageError as error:
            return "refused", f"seed {seed}: {error}"
        except AssertionError as error:
            return "different", f"seed {seed}: {' '.join(str(error).split())[:200]}"
    return "exact", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, required=True, help="seed")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=10**6)
    parser.add_argument("--commit", default="", help="of a copy that has no history")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    commit = arguments.commit or subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()  # fmt: skip
    note, earlier = comment(), [list(each.values()) for each in read_table(arguments.out)]
    executors = f"{', '.join(EXECUTORS)} on {' and '.join(map(str, THREADS))} threads, training"
    counts, said, begun = dict.fromkeys(("exact", "different", "refused"), 0), list[str](), time.process_time()
    for seed in range(arguments.first, arguments.first + arguments.count):
        kind, words = outcome(seed)
        counts[kind] += 1
        said += [words] if words else []
        print(seed, kind, words, flush=True)
        seconds = time.process_time() - begun
        row = [
            f"{arguments.first}-{seed}", sum(counts.values()), executors, *counts.values(), "; ".join(said[:3]),
            f"{seconds:.0f}", commit, code_hash(), datetime.date.today(),
        ]  # fmt: skip
        write_table(arguments.out, HEADER, [*earlier, row], note)
        if seconds > 60 * arguments.minutes:
            break


if __name__ == "__main__":
    main()
