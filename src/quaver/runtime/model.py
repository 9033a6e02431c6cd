"""Model files (.qvm): everything a decoder needs beside the program, as integers.

A .qvm is a safetensors file: integer arrays, and one JSON description. A model's identity is SHA-256 over a
canonical form of those, never over the file's bytes; streams name it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.tables import TableSet
from quaver.errors import ModelError
from quaver.runtime.graph import IntegerGraph
from quaver.runtime.packing import pack_arrays, unpack_arrays
from quaver.runtime.patches import PatchTable
from quaver.runtime.transform import CHANNELS

QUALITIES = 64
PROFILE, PATCH_PROFILE = 1, 2  # the arithmetic; 2 is 1 with patch bits
PROFILES = PROFILE, PATCH_PROFILE
LEVELS_LIMIT = 32
MAX_FILE = 1 << 28  # bytes of a model
_PREFIX = "tables."
_PORTS = {
    "entropy": (("known",), ("features", "index", "mean")),
    "decoder": (("latents", "features"), ("correction",)),
    "loop": (("samples",), ("correction",)),
    "encoder": (("known",), ("correction",)),
}
GRAPHS = {f"{kind}.{name}": ports for kind in ("intra", "inter") for name, ports in _PORTS.items()} | {
    "motion.average": (("known",), ("index",)),
    "motion.detail": (("known",), ("index", "mean")),
    "motion.encoder": (("known",), ("correction",)),
    "motion.estimator": (("known",), ("vectors",)),
}
ENCODER_GRAPHS = ("intra.encoder", "inter.encoder", "motion.encoder", "motion.estimator")  # no decoder runs them


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """Step sizes, frequency tables and level tables of one codec.

    steps: int32 (64, 2), quantization step of luma and chroma coefficients per quality, 4 fractional bits.
    graphs: the networks by name, such as "inter.entropy" (docs/format/arithmetic.md lists them); none in a model
    that is the skeleton alone.
    intra_levels, inter_levels: uint8 (levels, 96), frequency table of each coefficient at each activity level;
    level 0 is all zero. tables: the frequency tables; the last one is uniform and numbers the others. patches: bits of
    patches of inter frames; none in most models.
    """

    name: str
    steps: NDArray[np.int32]
    intra_levels: NDArray[np.uint8]
    inter_levels: NDArray[np.uint8]
    tables: TableSet
    graphs: Mapping[str, IntegerGraph] = field(default_factory=dict)
    patches: PatchTable | None = None

    def __post_init__(self) -> None:
        if self.steps.shape != (QUALITIES, 2) or self.steps.min() < 1 or self.steps.max() > 1 << 13:
            raise ModelError(f"model {self.name!r}: steps must be (64, 2) in 1..8192")
        for label, levels in (("intra", self.intra_levels), ("inter", self.inter_levels)):
            if levels.ndim != 2 or levels.shape[1] != CHANNELS or not 2 <= len(levels) <= LEVELS_LIMIT:
                raise ModelError(f"model {self.name!r}: {label}_levels must be (2..{LEVELS_LIMIT}, {CHANNELS})")
            if levels[0].any() or levels.max() >= self.selector:
                raise ModelError(
                    f"model {self.name!r}: {label}_levels name a table that is not there, or level 0 is not zero"
                )
        if self.graphs and set(self.graphs) != set(GRAPHS):
            raise ModelError(f"model {self.name!r}: networks {', '.join(sorted(self.graphs))} are not a full set")
        for key, graph in self.graphs.items():
            ports = tuple(port.name for port in graph.inputs), tuple(port.name for port in graph.outputs)
            if ports != GRAPHS[key] or any(
                (port.zero_point, port.bytes) != (128, 1) for port in graph.inputs + graph.outputs
            ):
                raise ModelError(f"model {self.name!r}: network {key!r} has other ports than {GRAPHS[key]}")
        if self.patches is not None and not self.graphs:
            raise ModelError(f"model {self.name!r}: a patch table without networks")
        supports = self.tables.supports
        if len(supports) < 3 or 2 * supports[self.selector] + 1 < self.selector:
            raise ModelError(f"model {self.name!r}: the last table cannot number the {self.selector} others")

    def channel_steps(self, quality: int) -> NDArray[np.int32]:
        """(96, 1, 1) quantization steps, 4 fractional bits."""
        luma, chroma = self.steps[quality]
        return np.array([luma] * 64 + [chroma] * 32, np.int32)[:, None, None]

    @property
    def profile(self) -> int:
        """The arithmetic that a decoder of its streams needs."""
        return PROFILE if self.patches is None else PATCH_PROFILE

    @property
    def selector(self) -> int:
        """Index of the uniform table; also how many tables it chooses between, the certain zero included."""
        return len(self.tables.frequencies) - 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array of the model by its name in the file."""
        own: dict[str, NDArray[Any]] = {
            "steps": self.steps,
            "intra_levels": self.intra_levels,
            "inter_levels": self.inter_levels,
        }
        own |= {_PREFIX + key: value for key, value in self.tables.to_arrays().items()}
        for name, graph in self.graphs.items():
            own |= {f"{name}/{key}": value for key, value in graph.to_arrays()[1].items()}
        if self.patches is not None:
            own |= self.patches.arrays()
        return own

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the canonical form: for each array, by name, one line of name, type and shape, then its
        little-endian bytes; then the description as JSON with sorted keys."""
        digest = hashlib.sha256()
        for key, array in sorted(self.arrays().items()):
            digest.update(f"{key} {array.dtype.str[1:]} {list(array.shape)}\n".encode())
            digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
        digest.update(_description(self))
        return digest.digest()

    @cached_property
    def code_lengths(self) -> NDArray[np.float32]:
        """(tables, 64) bits that each table spends on a magnitude 0..63; for encoders only. Table 0 can only
        code zero."""
        lengths = np.full((len(self.tables.frequencies), 64), 1e6, np.float32)
        lengths[0, 0] = 0
        magnitudes = np.arange(64)
        for number, frequencies in enumerate(self.tables.frequencies[1:], 1):
            bits = 24 - np.log2(frequencies.astype(np.float64))
            support = int(self.tables.supports[number])
            escape = bits[-1] + 2 * np.log2(np.maximum(1, magnitudes - support)) + 4
            lengths[number] = np.where(magnitudes <= support, bits[support + np.minimum(magnitudes, support)], escape)
        return lengths


def _description(model: IntegerModel) -> bytes:
    graphs = {name: graph.to_arrays()[0] for name, graph in model.graphs.items()}
    plain = {"format": 1, "name": model.name, "profile": model.profile, "graphs": graphs}
    return json.dumps(plain, sort_keys=True).encode()


def save_model(model: IntegerModel, path: Path) -> None:
    """Write `path` beside, then rename."""
    from safetensors.numpy import save

    data = save(pack_arrays(model.arrays()), metadata={"quaver": _description(model).decode()})
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"{path}: cannot write the model: {error.strerror}") from error


def read_model(path: Path) -> IntegerModel:
    """Read and check a .qvm; ModelError names the file and what is wrong."""
    from safetensors import SafetensorError, safe_open

    try:
        size = path.stat().st_size
        if size > MAX_FILE or not path.is_file():
            raise ModelError(f"{path}: not a Quaver model: legal is a file of at most {MAX_FILE} bytes")
        with safe_open(path, "np") as file:
            description = json.loads((file.metadata() or {}).get("quaver", "null"))
            packed = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a Quaver model") from error
    try:
        profile = description.get("profile") if isinstance(description, dict) else None
        if profile not in PROFILES:
            raise ModelError(f"not a Quaver model of profile {' or '.join(map(str, PROFILES))}")
        graphs = description.get("graphs", {})
        if not isinstance(graphs, dict):
            raise ModelError("its networks have no names")
        return _assemble(str(description.get("name")), profile, graphs, unpack_arrays(packed))
    except (ModelError, KeyError) as error:
        raise ModelError(f"{path}: {error}") from error


def _assemble(name: str, profile: int, graphs: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> IntegerModel:
    tables = {key.removeprefix(_PREFIX): value for key, value in arrays.items() if key.startswith(_PREFIX)}
    return IntegerModel(
        name,
        _typed(arrays, "steps", np.dtype(np.int32)),
        _typed(arrays, "intra_levels", np.dtype(np.uint8)),
        _typed(arrays, "inter_levels", np.dtype(np.uint8)),
        TableSet.from_arrays(tables),
        {key: IntegerGraph.from_arrays(graph, _under(f"{key}/", arrays)) for key, graph in sorted(graphs.items())},
        PatchTable.from_arrays(arrays) if profile == PATCH_PROFILE else None,
    )


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _typed(arrays: Mapping[str, NDArray[Any]], key: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = arrays.get(key)
    if array is None or array.dtype != dtype:
        raise ModelError(f"array {key!r} is missing or not {dtype}")
    return array


def model_folders() -> list[Path]:
    """Where models are looked for: the package, then the folders of $QUAVER_MODELS."""
    folders = [Path(str(resources.files("quaver").joinpath("models")))]
    return folders + [Path(folder) for folder in os.environ.get("QUAVER_MODELS", "").split(os.pathsep) if folder]


def load_model(name: str) -> IntegerModel:
    """A model by name, or by path to a .qvm."""
    if name.endswith(".qvm"):
        return read_model(Path(name))
    for folder in model_folders():
        if (path := folder / f"{name}.qvm").is_file():
            return read_model(path)
    known = sorted(path.stem for folder in model_folders() for path in folder.glob("*.qvm"))
    raise ModelError(f"no model named {name!r}; known: {', '.join(known)}; or give a path to a .qvm")


def find_model(identity: bytes) -> IntegerModel:
    """The model a stream was made with. Files that are no models only matter where it is not found."""
    broken = []
    for folder in model_folders():
        for path in sorted(folder.glob("*.qvm")):
            try:
                model = read_model(path)
            except ModelError as error:
                broken.append(str(error))
                continue
            if model.hash == identity:
                return model
    raise ModelError(
        f"the stream needs model {identity.hex()[:16]}, which is not among the installed ones;"
        " put its .qvm into a folder named by QUAVER_MODELS" + "".join(f"; {each}" for each in broken)
    )
