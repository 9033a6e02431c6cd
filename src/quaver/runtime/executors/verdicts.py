"""Self-tests that passed before, so that a model starts without repeating them.

A verdict holds for one executor, one set of layers, one version of ONNX Runtime and one kind of processor; a change of
any of them is another key. Only passes are kept: an executor that failed is tested again. Every frame's checksum
remains the guard.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import suppress
from pathlib import Path

from quaver.runtime.executors.onnx_runtime import library
from quaver.runtime.graph import IntegerGraph


def key_of(executor: str, probe: IntegerGraph) -> str:
    """Names a self-test: 32 hexadecimal digits."""
    digest = hashlib.sha256(f"{executor} {library().__version__} {_processor()}".encode())
    description, arrays = probe.to_arrays()
    digest.update(repr(description).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()[:32]


def passed(key: str) -> bool:
    """Whether that test passed on this machine before."""
    with suppress(OSError):
        return (_folder() / key).is_file()
    return False


def remember(key: str) -> None:
    """Note a pass; where that cannot be written the test runs again next time."""
    with suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / key).touch()


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quaver" / "self-tests"


def _processor() -> str:
    """The processor's name and instruction sets, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", text, re.MULTILINE)
    return "\n".join(sorted(set(lines)))
