"""What scripts are told of the training clips that they look at."""

from __future__ import annotations

import argparse
from pathlib import Path

from quaver.lab.analyse.clips import ClipSet, choose_clips
from quaver.lab.data.cache import ClipCache, build_cache


def study_parser(description: str) -> argparse.ArgumentParser:
    """Weights, clips, and where results and what resumes a run go."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--exclude", action="append", default=[])
    return parser


def add_crops(parser: argparse.ArgumentParser, clips: int, frames: int, size: int) -> None:
    """How many crops, how long and how large; defaults."""
    parser.add_argument("--clips", type=int, default=clips)
    parser.add_argument("--frames", type=int, default=frames)
    parser.add_argument("--size", type=int, default=size)


def clip_cache(arguments: argparse.Namespace, name: str = "clips") -> ClipCache:
    """All training clips; without --cache decoded into WORK/name."""
    return build_cache(arguments.train, arguments.cache or arguments.work / name, arguments.exclude)


def crops(arguments: argparse.Namespace, cache: ClipCache) -> ClipSet:
    """Of `add_crops`."""
    return choose_clips(cache, arguments.clips, arguments.frames, arguments.size)
