"""Write a model's card: what it was trained on, how, and what it reaches.

usage: model_card.py MODEL.qvm --manifest MANIFEST.tsv --exclude PATTERN --history HISTORY.md --bdrate bdrate.tsv OUT.md
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

from quaver.runtime.model import read_model


def sources(manifest: Path, excluded: list[str]) -> list[tuple[str, str, int, int]]:
    """(source, licence, files, frames), the largest first."""
    files, frames = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    with manifest.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            name = Path(row["file"]).name
            if not row["kind"].startswith("train") or any(fnmatch(name, pattern) for pattern in excluded):
                continue
            key = row["source"], row["licence"]
            files[key] += 1
            frames[key] += int(row["frames"] or 1)
    return sorted(((*key, files[key], frames[key]) for key in files), key=lambda row: -row[3])


def results(bdrate: Path, model: str) -> list[tuple[str, str, str]]:
    with bdrate.open() as file:
        rows = csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t")
        return [
            (row["clip"], row["anchor"], row["bd_rate_percent"]) for row in rows if row["codec"] == f"quaver-{model}"
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--history", type=Path, required=True)
    parser.add_argument("--bdrate", type=Path, required=True)
    arguments = parser.parse_args()
    model = read_model(arguments.model)
    convolutions = [conv for graph in model.graphs.values() for conv in graph.convolutions()]
    weights = sum(conv.weight.size for conv in convolutions)
    lines = [
        f"# Model `{model.name}`",
        "",
        f"{model.hash.hex()}  ({date.today()})",
        "",
        f"{arguments.model.stat().st_size:,} bytes, {weights:,} weights of at most 7 bits, activations of 8 bits.",
        "Streams made with it name this hash and need it.",
        "",
        "## Training",
        "",
        arguments.history.read_text().strip(),
        "",
        "## Results",
        "",
        "BD-rate in percent (6:1:1 PSNR, real files, 96 frames, GOP 32; protocol and points in `results/evaluate`),",
        "on clips that were never trained on:",
        "",
        "| clip | anchor | BD-rate |",
        "|---|---|---|",
        *(f"| {clip} | {anchor} | {value} |" for clip, anchor, value in results(arguments.bdrate, model.name)),
        "",
        "## Data",
        "",
        "Licences as the sources state them, mostly for the repository as a whole.",
        "",
        "| source | licence | files | frames |",
        "|---|---|---|---|",
        *(f"| {s} | {licence} | {f} | {n} |" for s, licence, f, n in sources(arguments.manifest, arguments.exclude)),
        "",
        "## Limits",
        "",
        "Trained on a few thousand frames of 320x180 to 640x360, 8-bit 4:2:0. Other material works, less well.",
    ]
    arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
