"""Where a training step's time goes: training_step.tsv.

Processes that train the presets make steps in turns, on one and on two threads, in settings:

- "default": as `quaver train` runs;
- "memory kept": glibc's allocator told to keep what is freed (mallopt), instead of mapping large blocks anew;
- "asleep": OpenMP's threads told to sleep while they wait (OMP_WAIT_POLICY=PASSIVE), instead of spinning.

user_ms and system_ms are processor time of all threads per step, the mean over steps; system time is mostly the
kernel zeroing pages. Parts are those of the training loop; a part's time is its own. Batches are made by another
thread meanwhile ("data"): its processor time stands apart and is also in the parts that it ran beside. wall_ms is the
median over steps by the clock. At first nothing else runs ("neighbours" 0, if the machine is quiet), then beside one
program that always computes: threads that wait for each other by spinning take that badly. A case whose steps have
taken half a minute makes no more.

usage: measure_training.py FOLDER_OF_CLIPS [--cache FOLDER] [--out results] [--presets nano,small] [--stage joint]
       [--turns 6]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from turns import Reply, workers

HEADER = (
    "preset",
    "neighbours",
    "threads",
    "setting",
    "part",
    "user_ms",
    "system_ms",
    "share",
    "wall_ms",
    "page_faults",
    "steps",
)
THREADS = (1, 2)
ENOUGH = 30.0  # seconds by the clock
PARTS = {
    "quaver.lab.train.loop:run_sequence": "forward, rest",
    "quaver.lab.models.networks:EntropyModel.forward": "forward, entropy model",
    "quaver.lab.models.networks:ContextualEncoder.forward": "forward, encoder",
    "quaver.lab.models.networks:ContextualDecoder.forward": "forward, decoder",
    "quaver.lab.models.networks:LoopFilter.forward": "forward, loop filter",
    "quaver.lab.models.codec:MotionCoder.forward": "forward, motion networks",
    "quaver.lab.models.codec:MotionCoder.bits": "forward, motion networks",
    "quaver.lab.models.codec:MotionCoder.estimate": "forward, motion networks",
    "quaver.lab.models.bridge:search": "forward, motion search",
    "quaver.lab.models.bridge:see_intra": "forward, decisions and inputs",
    "quaver.lab.models.bridge:see_inter": "forward, decisions and inputs",
    "quaver.lab.models.bridge:choose_levels": "forward, decisions and inputs",
    "quaver.lab.models.bridge:level_planes": "forward, decisions and inputs",
    "quaver.lab.models.bridge:quantize": "forward, decisions and inputs",
    "quaver.lab.models.bridge:activity": "forward, decisions and inputs",
    "quaver.lab.models.bridge:companded": "forward, decisions and inputs",
    "quaver.lab.models.memory:FeatureMemory.forward": "forward, decisions and inputs",
    "quaver.lab.models.codec:MotionCompensation.forward": "forward, compensation",
    "quaver.lab.twin.transform:*": "forward, transform",
    "quaver.lab.models.contextual:FrameCodec.analyse": "forward, latents",
    "quaver.lab.models.contextual:FrameCodec.code": "forward, latents",
    "quaver.lab.models.contextual:FrameCodec.synthesise": "forward, reconstruction",
    "quaver.lab.models.contextual:FrameCodec.restore": "forward, reconstruction",
    "quaver.lab.models.contextual:coded_bits": "forward, rate",
    "lightning_fabric:Fabric.backward": "backward",
    "torch.nn.utils:clip_grad_norm_": "optimizer",
    "torch.optim:AdamW.step": "optimizer",
    "quaver.lab.train.loop:_follow": "average of weights",
}
DATA = "quaver.lab.train.loop:sequence_at"
TOTALS = ("wall", "user", "system", "faults")
SETTINGS = ("default", "memory kept", "asleep")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3), <malloc.h>
NEIGHBOURS = (0, 1)
Case = tuple[str, int, int, str]  # preset, neighbours, threads, setting


def work(setting: dict[str, Any]) -> None:
    """A worker's side: the training loop itself, which waits for the next task after some steps."""
    if setting["setting"] == "memory kept":
        mallopt = ctypes.CDLL(None).mallopt
        if not (mallopt(MMAP_THRESHOLD, 1 << 30) and mallopt(TRIM_THRESHOLD, (1 << 31) - 1)):
            raise SystemExit("this C library's allocator has no settings")
    elif setting["setting"] == "asleep":
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read when torch is imported
    import torch
    from stopwatch import Stopwatch

    from quaver.lab.data.cache import build_cache
    from quaver.lab.train import loop
    from quaver.lab.train.recipes import RECIPES
    from quaver.runtime.model import load_model

    cache = build_cache(Path(setting["clips"]), Path(setting["cache"]))
    recipe = RECIPES[setting["preset"]]
    stage = next(stage for stage in recipe.stages if stage.name == setting["stage"])
    recipe = replace(recipe, stages=(replace(stage, steps=1 << 30),), warmup=1)
    clocks: dict[str, Callable[[], float]] = {
        "user": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime,
        "system": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_stime,
    }
    watches = {name: Stopwatch(clock) for name, clock in clocks.items()} | {"data": Stopwatch(time.thread_time)}
    watches["data"].watch(DATA, "data")
    for place, part in PARTS.items():
        watches["user"].watch(place, part)
        watches["system"].watch(place, part)
    tasks = iter(sys.stdin)
    before: Reply = {}

    def take() -> Reply:
        used = resource.getrusage(resource.RUSAGE_SELF)
        now = {"wall": time.perf_counter(), "user": used.ru_utime, "system": used.ru_stime, "faults": used.ru_minflt}
        return now | {"parts": {name: watch.take() for name, watch in watches.items()}}

    def next_task() -> None:
        nonlocal before
        torch.set_num_threads(json.loads(next(tasks))["threads"])
        before = take()

    def show(progress: Any) -> None:
        after = take()
        print(json.dumps({key: after[key] - before[key] for key in TOTALS} | {"parts": after["parts"]}), flush=True)
        next_task()

    next_task()
    with tempfile.TemporaryDirectory() as out:
        loop.train(recipe, cache, load_model("skeleton"), Path(out), show=show)


def rows_of(case: Case, steps: list[Reply]) -> list[list[object]]:
    """Parts by processor time, then the whole step."""
    count = len(steps)
    times: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for step in steps:
        for column, clock in enumerate(("user", "system")):
            for part, seconds in step["parts"][clock].items():
                times[part][column] += seconds / count
    whole = [sum(step[clock] for step in steps) / count for clock in ("user", "system")]
    times["other"] = [whole[column] - sum(pair[column] for pair in times.values()) for column in (0, 1)]
    data = sum(step["parts"]["data"].get("data", 0.0) for step in steps) / count
    rows: list[list[object]] = []
    for part, (user, system) in sorted(times.items(), key=lambda item: -sum(item[1])):
        share = (user + system) / sum(whole)
        rows.append([*case, part, f"{1000 * user:.0f}", f"{1000 * system:.0f}", f"{share:.3f}", "", "", count])
    rows.append(
        [*case, "data, in the other thread", f"{1000 * data:.0f}", "", f"{data / sum(whole):.3f}", "", "", count]
    )
    wall = statistics.median(step["wall"] for step in steps)
    faults = statistics.median(step["faults"] for step in steps)
    numbers = [f"{1000 * seconds:.0f}" for seconds in whole]
    rows.append([*case, "whole step", *numbers, "1.000", f"{1000 * wall:.0f}", f"{faults:.0f}", count])
    return rows


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Programs that compute all the time."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--presets", default="nano,small")
    parser.add_argument("--stage", default="joint")
    parser.add_argument("--turns", type=int, default=6)
    given = parser.parse_args()

    import torch
    from provenance import comment

    from quaver.evaluate.points import write_table
    from quaver.lab.data.cache import build_cache
    from quaver.lab.train.loop import supports_bfloat16
    from quaver.lab.train.recipes import RECIPES
    from quaver.runtime.model import load_model

    presets = given.presets.split(",")
    stage = next(stage for stage in RECIPES[presets[0]].stages if stage.name == given.stage)
    shape = f"stage {stage.name}: {stage.batch} x {stage.frames} frames of {stage.size}x{stage.size}"
    precision = "bfloat16" if supports_bfloat16() and not stage.integer else "float32"
    first = comment(load_model("skeleton"), f"{shape}, {precision}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        cache = given.cache or Path(folder)
        build_cache(given.clips, cache)
        common = {"clips": str(given.clips), "cache": str(cache), "stage": given.stage}
        settings = [common | {"preset": preset, "setting": each} for preset in presets for each in SETTINGS]
        found: dict[Case, list[Reply]] = defaultdict(list)
        with workers(settings) as pool:
            for count in NEIGHBOURS:
                with neighbours(count):
                    for turn in range(given.turns + 1):  # the first one warms up
                        print(f"turn {turn} of {given.turns}, {count} neighbours", file=sys.stderr)
                        for worker in pool:
                            preset, setting = worker.setting["preset"], worker.setting["setting"]
                            for threads in THREADS:
                                steps = found[preset, count, threads, setting]
                                if sum(step["wall"] for step in steps) < ENOUGH:
                                    steps.append(worker.ask(threads=threads))
    rows = [row for case in sorted(found) for row in rows_of(case, found[case][1:] or found[case])]
    write_table(given.out / "training_step.tsv", HEADER, rows, first)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]))
    else:
        main()
