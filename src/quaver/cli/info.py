"""`quaver info`: what is in a stream or a model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from quaver.bitstream.container import StreamReader
from quaver.bitstream.header import StreamHeader
from quaver.errors import MediaError, ModelError
from quaver.runtime.model import find_model, model_folders, read_model


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A stream (.qvr), a model (.qvm), or a model's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Show what a stream or a model holds."""
    path = file if file.is_file() or file.name != str(file) else _installed(file.name) or file
    facts = _model(path) if path.suffix == ".qvm" else _stream(path)
    if as_json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' '):<20} {_shown(value)}")


def _installed(name: str) -> Path | None:
    paths = (folder / f"{name}.qvm" for folder in model_folders())
    return next((path for path in paths if path.is_file()), None)


def _stream(path: Path) -> dict[str, Any]:
    kinds: Counter[str] = Counter()
    qualities: set[int] = set()
    try:
        with path.open("rb") as file:
            reader = StreamReader(file, path)
            for record in reader:
                kinds[record.kind.name] += 1
                qualities.add(record.quality)
        size = path.stat().st_size
    except OSError as error:
        raise MediaError(f"{path}: cannot read: {error.strerror}") from error
    frames, format = kinds.total(), reader.header.format
    seconds = float(frames / format.frame_rate)
    counted = {
        "file": str(path),
        "bytes": size,
        "frames": frames,
        "intra_frames": kinds["INTRA"],
        "qualities": sorted(qualities),
        "seconds": round(seconds, 3),
        "kilobits_per_second": round(8 * size / seconds / 1000, 1) if frames else 0.0,
        "bits_per_pixel": round(8 * size / frames / (format.width * format.height), 5) if frames else 0.0,
    }
    return counted | _header(reader.header)


def _header(header: StreamHeader) -> dict[str, Any]:
    format = header.format
    try:
        model = find_model(header.model_hash).name
    except ModelError:
        model = None
    return {
        "width": format.width,
        "height": format.height,
        "frame_rate": str(format.frame_rate),
        "time_base": str(format.time_base),
        "primaries": format.primaries,
        "transfer": format.transfer,
        "matrix": format.matrix,
        "full_range": format.full_range,
        "chroma_location": format.chroma_location,
        "sample_aspect": str(format.sample_aspect),
        "rotation": format.rotation,
        "gop": header.gop,
        "profile": header.profile,
        "model": model,
        "model_hash": header.model_hash.hex(),
    }


def _model(path: Path) -> dict[str, Any]:
    model = read_model(path)
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "name": model.name,
        "hash": model.hash.hex(),
        "profile": model.profile,
        "patch_classes": model.patches.classes if model.patches is not None else 0,
        "frequency_tables": len(model.tables.frequencies) - 1,
        "activity_levels": [len(model.intra_levels), len(model.inter_levels)],
        "weights": sum(conv.weight.size for graph in model.graphs.values() for conv in graph.convolutions()),
        "graphs": {
            name: {
                "layers": len(list(graph.convolutions())),
                "weights": sum(conv.weight.size for conv in graph.convolutions()),
                "macs_per_position": graph.macs(),
            }
            for name, graph in sorted(model.graphs.items())
        },
    }


def _shown(value: Any) -> str:
    """A fact in words; only a model can be None."""
    if value is None:
        return "not installed"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        rows = (", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in row.items()) for row in value.values())
        lines = [f"{name}: {row}" for name, row in zip(value, rows, strict=True)]
        return f"\n{'':<21}".join(lines) or "none, the skeleton alone"
    return str(value)
