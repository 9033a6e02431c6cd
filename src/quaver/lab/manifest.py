"""What a run depended on: the same manifest gives the same table, plan or model."""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from quaver.evaluate.output import replacing

if TYPE_CHECKING:
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
def code_hash(*folders: str) -> str:
    """Sixteen hexadecimal digits of Quaver's own sources, all or those in folders of the package: versions say too
    little between releases. Read once, as Python reads them."""
    root = Path(str(resources.files("quaver")))
    return source_hash(root, folders or (".",))


def source_hash(root: Path, folders: Sequence[str]) -> str:
    """Sixteen hexadecimal digits of names and contents of the Python files under folders of `root`."""
    result = hashlib.sha256()
    for path in sorted({path for folder in folders for path in (root / folder).rglob("*.py")}):
        result.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return result.hexdigest()[:16]


def class_hash(classes: Iterable[type]) -> str:
    """Sixteen hexadecimal digits of the files that define classes, torch's left out; what is defined in no file, as in
    a notebook, counts by name."""
    result = hashlib.sha256()
    for name, own in sorted({f"{each.__module__}.{each.__qualname__}": each for each in classes}.items()):
        if name.partition(".")[0] != "torch":
            result.update(f"{name}\n".encode())
            with suppress(OSError, TypeError):
                result.update(Path(inspect.getfile(own)).read_bytes())
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
    return sealed(
        {
            "config": dict(config),
            "codec": {"name": adapter.name, "settings": dict(adapter.settings), "surrogate": adapter.surrogate},
            "lambdas": list(adapter.lambdas),
            "model_hash": model_hash(adapter.module),
            "clips": clips_note(clips),
            "group_of_pictures": "one intra frame, then inter frames to the clip's end",
        }
    )


def sealed(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a run depends on, with the environment, and a hash of all of it. Inputs are named by their contents, not by
    paths, which say nothing about what is in a file."""
    body = dict(inputs) | {"environment": environment(), "threads": torch.get_num_threads()}
    return body | {"hash": digest(body)}


def clips_note(clips: ClipSet) -> dict[str, Any]:
    """Which samples were seen."""
    return {"names": list(clips.names), "hash": clips.hash, "shape": list(clips.y.shape)}


def files_note(folder: Path, exclude: Sequence[str] = ()) -> dict[str, Any]:
    """The videos and photos of a folder by name and content, where a run may read any of them."""
    from quaver.lab.data.cache import files_of

    names, result = [], hashlib.sha256()
    for path in files_of(folder, exclude):
        names.append(path.relative_to(folder).as_posix())
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except OSError:  # whoever decodes it says so
            content = b""
        result.update(f"{names[-1]}\n".encode() + content)
    return {"names": names, "hash": result.hexdigest()[:16]}


def beside(out: Path) -> Path:
    """Where the manifest of a file lies: plan.manifest.json for plan.json, x.qvm.manifest.json for x.qvm."""
    name = out.stem if out.suffix == ".json" else out.name
    return out.with_name(f"{name}.manifest.json")


def write_manifest(path: Path, note: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> None:
    """Whole or not at all; `result`: hashes of what came out. MediaError where it cannot be written."""
    found = dict(note) | ({} if result is None else {"result": dict(result)})
    with replacing(path) as part:
        part.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


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
