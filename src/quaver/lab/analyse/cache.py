"""Finished work by content hash, one small file each: an interrupted run goes on, a second one has nothing to do."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.errors import UsageError
from quaver.lab.analyse.closed_loop import Curves

Arrays = dict[str, NDArray[Any]]
Result = Curves | Arrays


class ResultCache:
    """Results in a folder; files are written beside their names and renamed, so there is no half of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot keep results there: {error.strerror}") from error

    def get(self, key: str) -> Result | None:
        """None where there is nothing, or nothing readable."""
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        if arrays.keys() == {"rate", "distortion"}:
            return Curves(arrays["rate"], arrays["distortion"])
        return arrays

    def put(self, key: str, result: Result) -> None:
        path = self._path(key)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        arrays: Mapping[str, NDArray[Any]] = (
            {"rate": result.rate, "distortion": result.distortion} if isinstance(result, Curves) else result
        )
        try:
            path.parent.mkdir(exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            part.replace(path)
        except OSError as error:
            raise UsageError(f"{path}: cannot keep a result: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"
