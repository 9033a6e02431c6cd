"""What an installation weighs and how fast it starts: install.tsv.

The wheel is built and installed into a fresh environment without torch. Sizes are those of the files that pip wrote,
in MB of 10^6 bytes. Starts are timed in turns, each a new process, medians over turns, by the clock and in processor
time (cpu_s), which other programs distort less; run it with real-time priority (Linux: `chrt -f 1`) where they do not
stop, which the table's first line then says:

- "warm": everything has run before;
- "empty caches": the same with an empty cache folder, so that Quaver tests its executor again;
- "no bytecode": besides, Python compiles every module, as in a first start from a read-only installation;
- "not in memory": empty caches, and the installation's files are dropped from the page cache, as after a reboot.

"first frame" is from the start of a process to the first decoded frame of a 640x360 stream, by the library and by
`quaver decode`. Imports are cumulative as `python -X importtime` counts them, by the package that asked first.

usage: measure_install.py CLIP [--model NAME] [--out results] [--turns 5] [--wheel FILE]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from provenance import comment

from quaver.codec.encoder import DEFAULT_MODEL, Encoder
from quaver.evaluate.points import write_table
from quaver.evaluate.run import read_clip
from quaver.runtime.model import load_model

QUALITY, FRAMES = 32, 4
FIRST = "import quaver, sys; next(iter(quaver.open(sys.argv[1]))); print()"
# Run in the new environment: distribution, first two parts of a file's path, its size.
SIZES = """
from importlib import metadata
for each in metadata.distributions():
    for file in each.files or ():
        path = each.locate_file(file)
        if path.is_file():
            below = file.parts[1] if len(file.parts) > 2 else "*.py"
            print(each.name, file.parts[0], below, path.stat().st_size, sep="\\t")
"""
STATES = ("warm", "empty caches", "no bytecode", "not in memory")
HEADER = ("what", "state", "value", "unit", "cpu_s")
Row = tuple[str, str, str, str, str]


def build(folder: Path) -> Path:
    """The wheel of the checkout that this script is in."""
    root = Path(__file__).resolve().parent.parent
    run([sys.executable, "-m", "build", "--outdir", folder, root])  # by way of the sdist: from a clean folder
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """A fresh environment's folder of programs."""
    run([sys.executable, "-m", "venv", folder])
    programs = folder / "bin"
    run([programs / "pip", "install", "--quiet", wheel])
    return programs


def size_rows(python: Path) -> list[Row]:
    """Distributions by size, then the parts of quaver."""
    packages, parts = Counter[str](), Counter[str]()
    for line in run([python, "-c", SIZES]).splitlines():
        name, top, below, size = line.split("\t")
        if name in ("pip", "setuptools"):
            continue
        packages[name] += int(size)
        if name == "quaver":
            parts[f"quaver/{below}" if top == "quaver" else "metadata and program"] += int(size)
    rows = [size_row("installed, all", sum(packages.values()))]
    rows += [size_row(f"installed, {name}", size) for name, size in packages.most_common()]
    return rows + [size_row(f"installed, part {name}", size) for name, size in parts.most_common()]


def size_row(what: str, size: int) -> Row:
    return what, "", f"{size / 1e6:.3f}", "MB", ""


def run(command: list[object], **environment: str) -> str:
    """What a program prints; it must succeed."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | environment
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=clean)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def start_rows(programs: Path, stream: Path, turns: int, models: Path) -> list[Row]:
    """Seconds of every start in every state."""
    python, quaver, scratch = programs / "python", programs / "quaver", stream.parent
    starts: dict[str, list[object]] = {
        "start, python alone": [python, "-c", "pass"],
        "start, import quaver": [python, "-c", "import quaver"],
        "start, quaver --help": [quaver, "--help"],
        "start, first frame (library)": [python, "-c", FIRST, stream],
        "start, first frame (quaver decode)": [quaver, "decode", stream, scratch / "o.y4m", "--frames", "0:1"],
    }
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(turns + 1):
        for state in STATES:
            for name, command in starts.items():
                with tempfile.TemporaryDirectory() as empty:
                    environment = {"QUAVER_MODELS": str(models), "XDG_CACHE_HOME": f"{scratch}/cache"}
                    if state != "warm":
                        environment["XDG_CACHE_HOME"] = empty
                    if state == "no bytecode":
                        environment |= {"PYTHONPYCACHEPREFIX": empty, "PYTHONDONTWRITEBYTECODE": "1"}
                    elif state == "not in memory":
                        drop(programs.parent)
                    began, before = time.perf_counter(), processor_seconds()
                    run(command, **environment)
                    spent = time.perf_counter() - began, processor_seconds() - before
                seconds.setdefault((name, state), []).append(spent)
    rows = []
    for (name, state), values in sorted(seconds.items()):
        wall, cpu = (statistics.median(each) for each in zip(*values[1:], strict=True))  # the first turn warms up
        rows.append((name, state, f"{wall:.3f}", "s", f"{cpu:.3f}"))
    return rows


def processor_seconds() -> float:
    """Of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def drop(folder: Path) -> None:
    """Ask the system to forget the files of a folder; only what nobody else uses is dropped."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def priority() -> list[str]:
    """How this process and those it starts are scheduled, if not as usual."""
    realtime = hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO
    return ["real-time priority"] if realtime else []


def import_rows(python: Path, stream: Path, turns: int, models: Path) -> Iterable[Row]:
    """Milliseconds of imports on the way to the first frame, by outermost package, largest first."""
    seen: dict[str, list[float]] = {}
    for _ in range(turns):
        command = [str(python), "-X", "importtime", "-c", FIRST, str(stream)]
        environment = os.environ | {"QUAVER_MODELS": str(models), "XDG_CACHE_HOME": f"{stream.parent}/cache"}
        lines = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stderr.splitlines()
        for name, milliseconds in outermost(lines).items():
            seen.setdefault(name, []).append(milliseconds)
    medians = {name: statistics.median(values) for name, values in seen.items()}
    for name, value in sorted(medians.items(), key=lambda item: -item[1])[:10]:
        yield f"import of {name}", "warm", f"{value / 1000:.3f}", "s", ""


def outermost(lines: list[str]) -> dict[str, float]:
    """Package -> milliseconds of its imports where no import of another package of the list is around them; quaver's
    own modules count only for themselves."""
    total: Counter[str] = Counter()
    inside: list[tuple[int, str]] = []  # (depth, package) of what is around, read backwards
    for line in reversed(lines):
        fields = line.removeprefix("import time:").split("|")
        if len(fields) != 3 or not fields[0].strip().isdigit():
            continue
        depth = len(fields[2]) - len(fields[2].lstrip())
        package = fields[2].strip().partition(".")[0]
        while inside and inside[-1][0] >= depth:
            inside.pop()
        around = [name for _, name in inside if name != "quaver"]
        if package == "quaver":
            total["quaver"] += int(fields[0]) / 1000
        elif not around:
            total[package] += int(fields[1]) / 1000
        inside.append((depth, package))
    return dict(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--wheel", type=Path)
    given = parser.parse_args()
    model = load_model(given.model)
    first = comment(model, f"Python {sys.version.split()[0]}, {given.turns} turns", *priority())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = given.wheel or build(folder)
        programs = install(wheel, folder / "fresh")
        frames = read_clip(given.clip, FRAMES)
        stream = folder / "clip.qvr"
        with Encoder(stream, frames[0].format, QUALITY, model=model) as encoder:
            for frame in frames:
                encoder.encode(frame)
        models = Path(given.model).resolve().parent if given.model.endswith(".qvm") else folder
        rows = [size_row("wheel", wheel.stat().st_size), *size_rows(programs / "python")]
        rows += start_rows(programs, stream, given.turns, models)
        rows += import_rows(programs / "python", stream, given.turns, models)
    write_table(given.out / "install.tsv", HEADER, rows, first)


if __name__ == "__main__":
    main()
