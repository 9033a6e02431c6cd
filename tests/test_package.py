"""What the wheel holds: every file of the package that is no source."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = {".py", ".pyc", ".c", ".h", ".so", ".pyd"}


def test_every_data_file_is_package_data() -> None:
    package = ROOT / "src" / "quaver"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["quaver"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    data = {path for path in package.rglob("*") if path.is_file() and path.suffix not in SOURCES}
    assert {path for path in data if path.suffix != ".part"} <= packed
    assert {"avx2.json", "small.qvm", "big_buck_bunny.mp4", "vectors.json"} <= {path.name for path in packed}
