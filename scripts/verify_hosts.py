"""Where `quaver verify` passes: hosts.tsv. What is not in the table is untested.

On a machine of its own, or on one that QEMU's user mode emulates (Debian: qemu-user), for processors without the
instructions of this one:

    verify_hosts.py
    verify_hosts.py -- qemu-x86_64 -cpu Haswell-noTSX .venv/bin/python     # AVX2, but neither AVX-512 nor VNNI
    verify_hosts.py -- qemu-x86_64 -cpu SandyBridge .venv/bin/python       # AVX
    verify_hosts.py -- qemu-x86_64 -cpu Nehalem .venv/bin/python           # SSE 4.2

Another architecture needs a Python of it. For 64-bit ARM, in a folder ARM:

- the .deb files of python3.11-minimal, libpython3.11-minimal, libpython3.11-stdlib, libc6, libstdc++6, libgcc-s1,
  zlib1g, libexpat1, libssl3, libffi8, liblzma5, libbz2-1.0, libuuid1, each unpacked by `dpkg -x FILE.deb ARM/root`
  (apt-get download with -o APT::Architecture=arm64 -o APT::Architectures=arm64 and list folders of its own);
- `pip install --target ARM/site --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_aarch64
  --platform manylinux2014_aarch64 numpy onnx onnxruntime safetensors typer rich`;
- ONNX Runtime reads /proc/cpuinfo and must not see this machine's: ARM/root/proc/cpuinfo with the lines of an ARM
  core ("Features : fp asimd ... asimddp", "CPU implementer : 0x41", "CPU part : 0xd0c", ...), and
  ARM/root/sys/devices/system/cpu/{possible,present,online} holding 0. QEMU looks under -L first;
- for the kernels in C: a copy of src/quaver in ARM/src, and in its runtime/native, beside no other, what
  `aarch64-linux-gnu-gcc -shared -fPIC -std=c11 -O3 -ffp-contract=off -fno-math-errno -fvisibility=hidden -I PYTHON_H
  *.c -o _kernels.abi3.so` makes (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross); without, NumPy does the work.

    verify_hosts.py --stand-in --path ARM/src --path ARM/site -- qemu-aarch64 -cpu neoverse-n1 -L ARM/root \\
        -E PYTHONHOME=ARM/root/usr ARM/root/usr/bin/python3.11

`--stand-in`: with stand_in/constriction.py, where constriction has no wheel; the table says so. Emulation takes
minutes. A run replaces the rows of the same host and versions and keeps all others.

usage: verify_hosts.py [--out results] [--stand-in] [--path FOLDER] [-- COMMAND THAT STARTS PYTHON]
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import quaver
from quaver.codec.conformance import SETS, folder
from quaver.evaluate.points import read_table, write_table

HEADER = (
    "host",
    "architecture",
    "instructions",
    "system",
    "python",
    "onnxruntime",
    "numpy",
    "entropy_coder",
    "kernels",
    "vectors",
    "executor",
    "passed",
    "seconds",
    "date",
)
KEY = ("host", "onnxruntime", "numpy", "entropy_coder", "kernels", "executor")
WANTED = re.compile(
    r"(?i)^(sse4_2|sse42|avx|avx2|fma3?|f16c|avx512(f|bw|_vnni|vnni|_skx|_clx|_icl|_bf16)|avx_vnni|amx_int8"
    r"|asimd|neon|asimddp|i8mm|sve2?)$"
)
PROBE = """
import json, platform
from importlib.metadata import version
from numpy._core._multiarray_umath import __cpu_features__
from quaver.runtime import native
print(json.dumps({
    "architecture": platform.machine(), "system": platform.system(), "python": platform.python_version(),
    "onnxruntime": version("onnxruntime"), "numpy": version("numpy"),
    "kernels": "native" if native.kernels is not None else "numpy",
    "features": [name for name, there in __cpu_features__.items() if there],
}))
"""
VERIFY = "from quaver.cli import main; main(['verify', '--json', '--executor', '{executor}'])"
EXECUTORS = ("onnx", "onnx-f32", "reference")


def start(python: list[str], program: str, environment: dict[str, str]) -> tuple[int, Any, str]:
    """Exit code, the JSON that the program printed, what it said on stderr."""
    done = subprocess.run([*python, "-c", program], capture_output=True, text=True, env=os.environ | environment)
    lines = done.stdout.strip().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else None, done.stderr


def host_of(python: list[str], facts: dict[str, Any]) -> tuple[str, str]:
    """(name, instructions). An emulated processor is told by what programs see, since files show the real one."""
    if Path(python[0]).name.startswith("qemu"):
        said = subprocess.run([python[0], "--version"], capture_output=True, text=True).stdout
        version = re.search(r"version ([\d.]+)", said)
        processor = python[python.index("-cpu") + 1] if "-cpu" in python else "default processor"
        name = f"{processor}, emulated by {Path(python[0]).name} {version[1] if version else ''}"
        return name.strip(), " ".join(f.lower() for f in facts["features"] if WANTED.match(f))
    text = Path("/proc/cpuinfo").read_text()
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    name = re.search(r"^model name\s*:(.*)$", text, re.MULTILINE)
    seen = sorted(f for f in (flags[1].split() if flags else ()) if WANTED.match(f))
    return name[1].strip() if name else facts["architecture"], " ".join(seen)


def verify(python: list[str], environment: dict[str, str], coder: str) -> list[dict[str, str]]:
    """A row for each executor."""
    code, facts, said = start(python, PROBE, environment)
    if code or facts is None:
        raise SystemExit(f"{' '.join(python)} does not run here:\n{said}")
    name, instructions = host_of(python, facts)
    digest = b"".join((folder() / name).read_bytes() for name in SETS)
    common = {key: str(facts[key]) for key in ("architecture", "system", "python", "onnxruntime", "numpy", "kernels")}
    common |= {"host": name, "instructions": instructions, "entropy_coder": coder, "date": str(datetime.date.today())}
    common["vectors"] = hash_of(digest)
    rows = []
    for executor in EXECUTORS:
        began = time.perf_counter()
        code, results, said = start(python, VERIFY.format(executor=executor), environment)
        if results is None:
            passed = f"did not finish (code {code}): {said.strip().splitlines()[-1] if said.strip() else ''}"
        else:
            wrong = [f"{result['name']}: {result['detail']}" for result in results if not result["ok"]]
            passed = f"{len(results) - len(wrong)}/{len(results)}" + (f", {wrong[0]}" if wrong else "")
        rows.append(common | {"executor": executor, "passed": passed})
        rows[-1]["seconds"] = f"{time.perf_counter() - began:.0f}"
        print(name, executor, passed, file=sys.stderr)
    return rows


def hash_of(data: bytes) -> str:
    """Names the vectors: eight hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()[:8]


def main() -> None:
    own, python = sys.argv[1:], [sys.executable]
    if "--" in own:
        at = own.index("--")
        own, python = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--path", action="append", default=[])
    given = parser.parse_args(own)
    path = [str(Path(each).resolve()) for each in given.path]
    if given.stand_in:
        path.append(str(Path(__file__).resolve().parent / "stand_in"))
    path.append(str(Path(quaver.__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as cache:
        # An empty cache: self-tests that passed on the real processor say nothing about an emulated one.
        environment = {"PYTHONPATH": os.pathsep.join(path), "XDG_CACHE_HOME": cache}
        rows = verify(python, environment, "stand-in" if given.stand_in else "constriction")
    table = given.out / "hosts.tsv"
    fresh = {tuple(row[key] for key in KEY) for row in rows}
    kept = [row for row in read_table(table) if tuple(row[key] for key in KEY) not in fresh]
    everything = [[row[column] for column in HEADER] for row in [*kept, *rows]]
    note = "python scripts/verify_hosts.py, once on every host; its text says how; what is not here is untested"
    write_table(table, HEADER, everything, f"{datetime.date.today()}; {note}")


if __name__ == "__main__":
    main()
