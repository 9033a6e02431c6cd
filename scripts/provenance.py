"""Where a number comes from: the first line of every table in results/."""

from __future__ import annotations

import datetime
import os
import sys
from importlib import metadata
from pathlib import Path

from quaver.runtime import native
from quaver.runtime.model import IntegerModel


def comment(model: IntegerModel | None = None, *more: str) -> str:
    """Date, command (without folders that only this machine has), model, and the machine as far as it matters."""
    arguments = (Path(each).name if each.startswith(("/", "../")) else each for each in sys.argv[1:])
    command = " ".join(["python", f"scripts/{Path(sys.argv[0]).name}", *arguments])
    parts = [str(datetime.date.today()), command]
    if model is not None:
        parts.append(f"model {model.name} {model.hash.hex()[:16]}")
    return "; ".join([*parts, machine(), *more])


def machine() -> str:
    """Processor, cores, load when this began, versions that decide speed."""
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    versions = " ".join(f"{name} {metadata.version(name)}" for name in ("onnxruntime", "numpy"))
    kernels = "native kernels" if native.kernels is not None else "no native kernels"
    return f"{processor()}, {os.cpu_count()} cores, {load}, {versions}, {kernels}"


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine
