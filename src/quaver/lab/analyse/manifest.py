"""What a run depended on: the same manifest gives the same table."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet

_PACKAGES = ("quaver", "torch", "numpy", "scipy", "polars")


def canonical(value: Any) -> str:
    """JSON with one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of a JSON value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def model_hash(module: torch.nn.Module) -> str:
    """SHA-256 over every parameter and buffer by name: of Quaver's codec what `weights_hash` says, of any other the
    same."""
    result = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        result.update(f"{name} {list(value.shape)}\n".encode())
        result.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return result.hexdigest()


@cache
def code_hash() -> str:
    """Sixteen hexadecimal digits of Quaver's own sources: versions say too little between releases."""
    result, root = hashlib.sha256(), Path(str(resources.files("quaver")))
    for path in sorted(root.rglob("*.py")):
        result.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return result.hexdigest()[:16]


@cache
def environment() -> dict[str, Any]:
    """Versions, and what of the CPU changes float32 results."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return {
        "versions": versions,
        "code": code_hash(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_flags": _cpu_flags(),
    }


def manifest(adapter: CodecAdapter, clips: ClipSet, config: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a table depends on, with a hash of it."""
    body = {
        "config": dict(config),
        "codec": {"name": adapter.name, "settings": dict(adapter.settings), "surrogate": adapter.surrogate},
        "lambdas": list(adapter.lambdas),
        "model_hash": model_hash(adapter.module),
        "clips": {"names": list(clips.names), "hash": clips.hash, "shape": list(clips.y.shape)},
        "group_of_pictures": "one intra frame, then inter frames to the clip's end",
        "environment": environment(),
    }
    return body | {"hash": digest(body)}


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor()


def _cpu_flags() -> list[str]:
    """The vector extensions."""
    wanted = ("sse4", "avx", "fma", "amx", "asimd", "sve")
    return sorted(flag for flag in _cpuinfo("flags").split() if flag.startswith(wanted))
