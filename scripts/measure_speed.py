"""How fast frames are decoded and encoded: speed.tsv.

A clip is scaled to 320x180, 640x360 and 1280x720. Workers on one and on two cores encode and decode its first frames
in turns; times are medians over turns. Frames per second are those of a group of 32 pictures: one intra frame and 31
times the median inter frame; fps_low and fps_high are the slowest and the fastest turn. "cold" is a new process, from
its start to its last frame, with the seconds to its first. fps_cpu is fps with processor time (of all threads) for
the clock: what an unshared core would give; a busy machine distorts it less. Rows of x264 (medium, one thread, as in
`quaver evaluate`, whole clip) say how fast the machine was in the same run.

usage: measure_speed.py CLIP [--model NAME] [--out results] [--turns 3] [--frames 12] [--qualities 12,32,52]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from turns import Reply, Worker, serve, use_cores, workers

SIZES = ((320, 180), (640, 360), (1280, 720))
MIDDLE, MIDDLE_QUALITY = "640x360", 32
CORES = (1, 2)
OTHERS = {"onnx-f32": 12, "reference": 3}  # frames of executors that are measured at one size and quality
PEER, CRF = "x264-medium", 28
HEADER = ("task", "state", "size", "quality", "bpp", "codec", "executor", "cores", "fps", "fps_low", "fps_high")
HEADER += ("fps_cpu", "intra_ms", "inter_ms", "inter_cpu_ms", "first_frame_s")
Case = tuple[str, str, str, int, int]  # task, executor, size, quality, cores


def work(setting: dict[str, Any]) -> None:
    """A worker's side. A cold one does a single task and reports the clock from its start."""
    use_cores(setting["cores"])
    import passes

    from quaver.evaluate import peers
    from quaver.media.reader import open_video
    from quaver.runtime.model import load_model

    model = load_model(setting["model"])
    clips: dict[str, Any] = {}

    def frames_of(path: str) -> Any:
        if path not in clips:
            with open_video(path) as video:
                clips[path] = list(video)
        return clips[path]

    def answer(task: str, clip: str, executor: str | None, frames: int, quality: int, stream: str) -> Reply:
        if task == "x264":
            coded = peers.code(peers.PEERS[PEER], frames_of(clip), CRF, passes.GROUP)
            return {"encode": coded.encode_seconds, "decode": coded.decode_seconds, "bytes": coded.bytes}
        if task == "encode":
            laps = passes.encode(frames_of(clip)[:frames], Path(stream), quality, model, executor, setting["cores"])
        else:
            laps = [lap for lap, _ in passes.decode(Path(stream), model, executor, setting["cores"], frames)]
        return {"wall": [lap.wall for lap in laps], "cpu": [lap.cpu for lap in laps]}

    serve(answer)


def cold(stream: Path, setting: dict[str, Any]) -> tuple[float, float]:
    """Seconds from the start of a new process to its first and to its last frame."""
    program = (
        "import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[3])])\n"
        "import quaver; from quaver.runtime.model import load_model\n"
        "for frame in quaver.open(sys.argv[1], load_model(sys.argv[2]), threads=int(sys.argv[3])):\n"
        "    print(flush=True)"
    )
    command = [sys.executable, "-c", program, str(stream), setting["model"], str(setting["cores"])]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        times = [time.perf_counter() - began for _ in process.stdout]
    return times[0], times[-1]


def scale(clip: Path, size: tuple[int, int], frames: int, out: Path) -> Path:
    """The first frames at another size, raw."""
    import av

    from quaver.media.frame import Frame
    from quaver.media.planes import picture_of, planes_of
    from quaver.media.reader import open_video
    from quaver.media.writer import create_video
    from quaver.runtime.picture import plain_format

    width, height = size
    path = out / f"{width}x{height}.y4m"
    format = plain_format(width, height)
    with open_video(clip, slice(0, frames)) as video, create_video(path, format) as sink:
        for number, frame in enumerate(video):
            picture: av.VideoFrame = picture_of((frame.y, frame.u, frame.v), video.format)
            small = picture.reformat(width=width, height=height, interpolation="BICUBIC")
            sink.write(Frame(*planes_of(small), number, format))
    return path


def measure(clips: dict[str, Path], qualities: list[int], given: argparse.Namespace) -> list[list[object]]:
    """The rows of the table."""
    from quaver.codec.networks import prepare
    from quaver.runtime.model import load_model

    chosen = prepare(load_model(given.model)).executor
    plan = [(task, chosen, size, q, given.frames) for size in clips for q in qualities for task in ("encode", "decode")]
    if chosen != "none":
        plan += [("decode", name, MIDDLE, MIDDLE_QUALITY, count) for name, count in OTHERS.items() if name != chosen]
    found: dict[Case, list[Reply]] = defaultdict(list)
    starts: dict[Case, list[tuple[float, float]]] = defaultdict(list)
    with workers([{"cores": cores, "model": given.model} for cores in CORES]) as pool:
        for turn in range(given.turns):
            print(f"turn {turn + 1} of {given.turns}", file=sys.stderr)
            for task, executor, size, quality, frames in plan:
                for worker in pool:
                    stream = stream_of(clips[size], quality, worker)
                    name = None if executor == "none" else executor
                    what = {"task": task, "clip": str(clips[size]), "executor": name, "frames": frames}
                    case = task, executor, size, quality, worker.setting["cores"]
                    found[case].append(worker.ask(**what, quality=quality, stream=str(stream)))
            for size, clip in clips.items():
                what = {"task": "x264", "clip": str(clip), "executor": None, "frames": 0, "quality": CRF, "stream": ""}
                found["x264", "", size, CRF, 1].append(pool[0].ask(**what))
            for quality in qualities:
                for worker in pool:
                    case = "decode", chosen, MIDDLE, quality, worker.setting["cores"]
                    starts[case].append(cold(stream_of(clips[MIDDLE], quality, worker), worker.setting))
        sizes = {(size, q): stream_of(clips[size], q, pool[0]).stat().st_size for size in clips for q in qualities}
    bits = {key: 8 * count / given.frames / area(key[0]) for key, count in sizes.items()}
    rows = []
    for case, replies in found.items():
        rows += peer_rows(case, replies, given.frames) if case[0] == "x264" else [warm_row(case, replies, bits)]
    return rows + [cold_row(case, times, bits, given.frames) for case, times in starts.items()]


def stream_of(clip: Path, quality: int, worker: Worker) -> Path:
    return clip.with_name(f"{clip.stem}-{quality}-{worker.setting['cores']}.qvr")


def area(size: str) -> int:
    width, height = map(int, size.split("x"))
    return width * height


def warm_row(case: Case, replies: list[Reply], bits: dict[tuple[str, int], float]) -> list[object]:
    from passes import group_rate, medians

    task, executor, size, quality, cores = case
    wall = [reply["wall"] for reply in replies]
    intra, inter = medians(wall)
    rates = sorted(group_rate(*medians([each])) for each in wall)
    cpu = medians([reply["cpu"] for reply in replies])
    fps = [f"{rate:.1f}" for rate in (group_rate(intra, inter), rates[0], rates[-1], group_rate(*cpu))]
    times = [f"{1000 * seconds:.1f}" for seconds in (intra, inter, cpu[1])]
    return [task, "warm", size, quality, f"{bits[size, quality]:.4f}", "quaver", executor, cores, *fps, *times, ""]


def cold_row(
    case: Case, times: list[tuple[float, float]], bits: dict[tuple[str, int], float], frames: int
) -> list[object]:
    task, executor, size, quality, cores = case
    rates = sorted(frames / last for _, last in times)
    fps = [f"{rate:.1f}" for rate in (statistics.median(rates), rates[0], rates[-1])]
    start = f"{statistics.median(first for first, _ in times):.2f}"
    bpp = f"{bits[size, quality]:.4f}"
    return [task, "cold", size, quality, bpp, "quaver", executor, cores, *fps, "", "", "", "", start]


def peer_rows(case: Case, replies: list[Reply], frames: int) -> list[list[object]]:
    _, _, size, crf, cores = case
    bpp = f"{8 * replies[0]['bytes'] / frames / area(size):.4f}"
    rows = []
    for task in ("encode", "decode"):
        rates = sorted(frames / reply[task] for reply in replies)
        fps = [f"{rate:.1f}" for rate in (statistics.median(rates), rates[0], rates[-1])]
        rows.append([task, "warm", size, f"crf {crf}", bpp, PEER, "", cores, *fps, "", "", "", "", ""])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", help="by default the one that `quaver encode` uses")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--qualities", default="12,32,52")
    given = parser.parse_args()

    from provenance import comment

    from quaver.codec.encoder import DEFAULT_MODEL
    from quaver.evaluate.points import write_table
    from quaver.runtime.model import load_model

    given.model = given.model or DEFAULT_MODEL
    model = load_model(given.model)
    qualities = [int(quality) for quality in given.qualities.split(",")]
    first = comment(model, f"{given.turns} turns of {given.frames} frames, cold {len(CORES)} x {given.turns} processes")
    with tempfile.TemporaryDirectory() as folder:
        clips = {f"{w}x{h}": scale(given.clip, (w, h), given.frames, Path(folder)) for w, h in SIZES}
        rows = measure(clips, qualities, given)
    write_table(given.out / "speed.tsv", HEADER, rows, first)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]))
    else:
        main()
