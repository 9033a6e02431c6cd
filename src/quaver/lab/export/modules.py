"""Torch modules as ONNX files, each compared with torch in ONNX Runtime; other people's too.

    parts = called_with(model, ("g_a", "h_a"), lambda: model(picture))
    export_modules({f"encoder/{name}": part for name, part in parts.items()}, folder)

`networks` exports Quaver's own by the same steps.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quaver.errors import MediaError, ModelError, UsageError
from quaver.evaluate.output import replacing
from quaver.lab.manifest import model_hash, sealed, write_manifest
from quaver.runtime.executors.onnx_runtime import library

OPSET = 17
TOLERANCE = 1e-4  # of the largest difference, over the largest output or 1, whichever is more

Inputs = tuple[Tensor, ...]
Shapes = dict[str, tuple[int, ...]]
Part = tuple[nn.Module, Tensor | Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class Network:
    """A module to be written. file: relative to the folder. traced: the inputs that it is traced with; compared: those
    that ONNX Runtime and torch both get. free: batch, height and width of (B, C, H, W), the batch of others, may
    change."""

    name: str
    file: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    traced: Inputs
    compared: tuple[Inputs, ...]
    free: bool = True


@dataclass(frozen=True, slots=True)
class ExportedModule:
    """inputs, outputs: names and shapes, of the example. difference: the largest between ONNX Runtime and torch, over
    the largest output or 1."""

    network: str
    file: str
    inputs: Shapes
    outputs: Shapes
    difference: float


def export_modules(
    modules: Mapping[str, Part], folder: Path, tolerance: float = TOLERANCE, free: bool = True
) -> list[ExportedModule]:
    """Write NAME.onnx of every module, networks.json and manifest.json; a name such as `encoder/g_a` lies in a folder.

    modules: by name the module, which is run in eval mode, and its inputs: float tensors, one or several. It returns a
    tensor or several. free: batch, height and width (B, C, H, W) may change; what is written is then also compared at
    twice of each. UsageError for a name or output that cannot be written; ModelError, which names the module, where
    torch cannot export it or ONNX Runtime differs by more than `tolerance`. Nothing is kept after an error.
    """
    if not modules:
        raise UsageError("no module to export")
    networks, shapes = list[Network](), list[tuple[Shapes, Shapes]]()
    for name, (module, given) in modules.items():
        file = PurePosixPath(f"{name}.onnx")
        if not name or file.is_absolute() or ".." in file.parts:
            raise UsageError(f"{name!r}: names of modules are paths inside the folder")
        inputs = (given,) if isinstance(given, Tensor) else tuple(given)
        outputs = _outputs(name, module, inputs)
        compared = (inputs, tuple(map(_doubled, inputs))) if free else (inputs,)
        ports, results = _names("input", len(inputs)), _names("output", len(outputs))
        networks.append(Network(name, str(file), module, ports, results, inputs, compared, free))
        shapes.append((_shapes(ports, inputs), _shapes(results, outputs)))
    differences = write_networks(networks, folder, tolerance)
    done = [
        ExportedModule(network.name, network.file, seen, given, difference)
        for network, (seen, given), difference in zip(networks, shapes, differences, strict=True)
    ]
    hashes = {network.name: model_hash(network.module) for network in networks}
    write_listing(folder, done, {"command": "export_modules", "model_hashes": hashes}, tolerance)
    return done


def called_with(
    model: nn.Module, names: Iterable[str], run: Callable[[], object]
) -> dict[str, tuple[nn.Module, Inputs]]:
    """Modules of `model` by their names in it, with what each is first called with while `run()` runs. UsageError names
    one that is unknown, or was not called with tensors alone."""
    found: dict[str, tuple[nn.Module, Inputs]] = {}
    known, names = dict(model.named_modules()), tuple(names)

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if name not in found and inputs and all(isinstance(value, Tensor) for value in inputs):
                found[name] = module, tuple(value.detach().clone() for value in inputs)

        return hook

    with ExitStack() as hooks:
        for name in names:
            if name not in known:
                raise UsageError(f"{type(model).__name__} has no module {name!r}")
            hooks.callback(known[name].register_forward_pre_hook(note(name)).remove)
        with torch.no_grad():
            run()
    for name in names:
        if name not in found:
            raise UsageError(f"{name}: it was not called with tensors")
    return {name: found[name] for name in names}


def write_networks(
    networks: Sequence[Network], folder: Path, tolerance: float, show: Callable[[str], None] = lambda name: None
) -> list[float]:
    """Write and compare all of them, or none: their differences. ModelError names the network that failed."""
    written, differences = list[Path](), list[float]()
    try:
        for network in networks:
            show(network.name)
            path = folder / network.file
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MediaError(f"{path.parent}: cannot write: {error.strerror or error}") from error
            written.append(path.with_name(path.name + ".part"))
            with _evaluated(network.module), torch.no_grad():
                _write(network, written[-1])
                differences.append(max(_difference(network, written[-1], inputs) for inputs in network.compared))
            if not differences[-1] <= tolerance:
                raise ModelError(
                    f"{network.name}: ONNX Runtime and torch differ by {differences[-1]:.2g}, more than {tolerance:g}"
                )
        for part in written:
            part.replace(part.with_suffix(""))
    finally:
        for part in written:
            part.unlink(missing_ok=True)
    return differences


def write_listing(
    folder: Path,
    done: Sequence[Any],
    inputs: Mapping[str, Any],
    tolerance: float,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """networks.json, with a row (dataclass) for each of `done`, and manifest.json. inputs: what the run depended on."""
    config = {"opset": OPSET, "tolerance": tolerance}
    listing = dict(notes or {}) | config | {"networks": [asdict(each) for each in done]}
    with replacing(folder / "networks.json") as part:
        part.write_text(json.dumps(listing, indent=1) + "\n")
    note = sealed({"config": config} | dict(inputs))
    write_manifest(folder / "manifest.json", note, {"files": [each.file for each in done]})


def _write(network: Network, path: Path) -> None:
    outputs = _called(network.module, network.traced)
    ports = (*zip(network.inputs, network.traced, strict=True), *zip(network.outputs, outputs, strict=True))
    # Their names are each port's own: outputs of a codec's networks are larger or smaller than inputs.
    axes = {
        port: {axis: "batch" if axis == 0 else f"{port}_{'hw'[axis - 2]}" for axis in _free(value)}
        for port, value in ports
    }
    try:
        with warnings.catch_warnings():
            # The older exporter, which needs no further package; scales are constants of the file, as it warns. It
            # looks into autograd functions such as the bounds of CompressAI's GDN, which the file then computes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.module,
                network.traced,
                str(path),
                dynamo=False,
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                dynamic_axes=axes if network.free else None,
                opset_version=OPSET,
            )
    except Exception as error:
        raise ModelError(f"{network.name}: torch cannot write it as ONNX: {_line(error)}") from error


def _difference(network: Network, path: Path, inputs: Inputs) -> float:
    onnxruntime = library()
    try:
        expected = [value.cpu().numpy() for value in _called(network.module, inputs)]
    except Exception as error:
        sizes = ", ".join(str(tuple(value.shape)) for value in inputs)
        raise ModelError(
            f"{network.name}: torch cannot run it on {sizes}; `free=False` keeps the example's sizes: {_line(error)}"
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        # An argument that nothing depends on is no port.
        values = dict(zip(network.inputs, (value.cpu().numpy() for value in inputs), strict=True))
        got = session.run(list(network.outputs), {port.name: values[port.name] for port in session.get_inputs()})
    except Exception as error:
        raise ModelError(f"{network.name}: ONNX Runtime cannot run it: {_line(error)}") from error
    if any(a.shape != b.shape for a, b in zip(expected, got, strict=True)):
        shapes = ", ".join(f"{b.shape} for {a.shape}" for a, b in zip(expected, got, strict=True))
        raise ModelError(f"{network.name}: ONNX Runtime gives shapes {shapes}, one of an example's sizes is a constant")
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(a).max())) for a, b in zip(expected, got, strict=True))


def _outputs(name: str, module: nn.Module, inputs: Inputs) -> tuple[Tensor, ...]:
    with _evaluated(module), torch.no_grad():
        outputs = _called(module, inputs)
    if not outputs or not all(isinstance(value, Tensor) for value in outputs):
        kinds = ", ".join(type(value).__name__ for value in outputs)
        raise UsageError(f"{name}: it returns {kinds or 'nothing'}; a tensor, or a tuple of tensors, can be exported")
    return outputs


def _called(module: nn.Module, inputs: Inputs) -> tuple[Tensor, ...]:
    outputs = module(*inputs)
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


@contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """In eval mode, and every part of it as before afterwards."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _free(value: Tensor) -> tuple[int, ...]:
    """Axes whose sizes may change."""
    return (0, 2, 3) if value.ndim == 4 else (0,) if value.ndim else ()


def _doubled(value: Tensor) -> Tensor:
    return value.repeat([2 if axis in _free(value) else 1 for axis in range(value.ndim)])


def _names(stem: str, count: int) -> tuple[str, ...]:
    return (stem,) if count == 1 else tuple(f"{stem}{number}" for number in range(count))


def _shapes(names: tuple[str, ...], values: Inputs) -> Shapes:
    return {name: tuple(value.shape) for name, value in zip(names, values, strict=True)}


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
