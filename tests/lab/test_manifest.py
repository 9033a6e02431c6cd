"""What a run depends on, as data."""

from __future__ import annotations

import importlib
import json
import linecache
import sys
from pathlib import Path

import pytest
import torch

from quaver.errors import MediaError
from quaver.lab.manifest import beside, class_hash, code_hash, files_note, sealed, source_hash, write_manifest


def test_where_it_lies() -> None:
    """Never the same file for a plan and for a model of one name."""
    assert beside(Path("x/plan.json")) == Path("x/plan.manifest.json")
    assert beside(Path("x/plan-0.1.json")) == Path("x/plan-0.1.manifest.json")
    assert beside(Path("x/plan.qvm")) == Path("x/plan.qvm.manifest.json")


def test_the_hash_is_of_everything_but_the_result(tmp_path: Path) -> None:
    one, other = sealed({"config": {"seed": 1}}), sealed({"config": {"seed": 2}})
    assert one == sealed({"config": {"seed": 1}}) and one["hash"] != other["hash"]
    assert {"versions", "code", "cpu_flags"} <= one["environment"].keys()
    write_manifest(tmp_path / "m.json", one, {"plan_hash": "0"})
    assert json.loads((tmp_path / "m.json").read_text()) == one | {"result": {"plan_hash": "0"}}
    with pytest.raises(MediaError, match="cannot write"):
        write_manifest(tmp_path / "none/m.json", one)
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_sources_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x.py").write_text("1")
    (tmp_path / "c.py").write_text("1")
    whole, part = source_hash(tmp_path, ["."]), source_hash(tmp_path, ["a"])
    (tmp_path / "c.py").write_text("2")
    assert source_hash(tmp_path, ["a"]) == part and source_hash(tmp_path, ["."]) != whole
    (tmp_path / "a/b/x.py").write_text("2")
    assert source_hash(tmp_path, ["a"]) != part
    assert code_hash() != code_hash("lab/quant")


def test_classes_by_the_files_that_define_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    hashes = []
    for text in ("class Codec: ...", "class Codec: value = 1"):
        (tmp_path / "someones_codec.py").write_text(text)
        linecache.clearcache()
        sys.modules.pop("someones_codec", None)
        hashes.append(class_hash([importlib.import_module("someones_codec").Codec, torch.nn.Conv2d]))
    assert hashes[0] != hashes[1] == class_hash([sys.modules["someones_codec"].Codec])
    assert class_hash([type("Nowhere", (), {"__module__": "none"})]) != class_hash([])


def test_videos_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"1")
    (tmp_path / "a.txt").write_bytes(b"1")
    first = files_note(tmp_path)
    assert first["names"] == ["a.mkv"]
    (tmp_path / "a.mkv").write_bytes(b"2")
    assert files_note(tmp_path)["hash"] != first["hash"] and files_note(tmp_path, ["a*"])["names"] == []
