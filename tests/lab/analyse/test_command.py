"""`quaver analyse` on files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from quaver.errors import MediaError, ModelError, UsageError
from quaver.lab.analyse import AnalyseConfig, SensitivityTable
from quaver.lab.analyse.command import analyse_checkpoint
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.weights import save_weights
from quaver.runtime.model import load_model

from ..data.samples import random_planes, write_video

QUICK = AnalyseConfig(
    level="module",
    bits=(4,),
    modes=("add",),
    kinds=("w", "state"),
    frames=2,
    drift_frames=0,
    impulse_frames=0,
    noise=2,
    pairs=False,
    proxies=False,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint and a folder with a video."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(1)
    save_weights(Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton")), folder / "w.safetensors")
    write_video(folder / "clips" / "a.mkv", random_planes(3, 32, 32))
    return folder / "w.safetensors", folder / "clips"


def test_files_in_table_and_report_out(files: tuple[Path, Path], tmp_path: Path) -> None:
    table = analyse_checkpoint(files[0], files[1], tmp_path, QUICK, (30,), 2, 32)
    assert {path.name for path in tmp_path.iterdir()} == {
        "cache",
        "clips",
        "manifest.json",
        "report.html",
        "sensitivity.json",
        "sensitivity.parquet",
    }
    assert table.rows.equals(SensitivityTable.load(tmp_path).rows)
    assert {"picture", "latents", "vectors", "inter.decoder"} <= set(table.rows["call_site"])
    page = (tmp_path / "report.html").read_text()
    assert all(page.count(said) == 1 for said in QUICK.warnings) and QUICK.warnings
    assert "Drift over 2 frames: fewer than 32 say little about drift." in page


def test_what_is_not_there(files: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, clips = files
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.safetensors").write_text("no weights")
    out = tmp_path / "out"
    cases: list[tuple[Path, Path, AnalyseConfig, tuple[int, ...], int, str]] = [
        (tmp_path / "none.safetensors", clips, QUICK, (30,), 32, "none.safetensors"),
        (tmp_path / "text.safetensors", clips, QUICK, (30,), 32, "not weights of a Quaver codec"),
        (checkpoint, tmp_path / "empty", QUICK, (30,), 32, "no usable video"),
        (checkpoint, tmp_path / "missing", QUICK, (30,), 32, "not a folder"),
        (checkpoint, clips, QUICK, (30,), 64, "none of the 1 videos holds 2 frames of 64x64"),
        (checkpoint, clips, QUICK, (64,), 32, "qualities"),
        (
            checkpoint,
            clips,
            AnalyseConfig(only=("nothing",), drift_frames=0, impulse_frames=0, frames=2),
            (30,),
            32,
            "no",
        ),
    ]
    for weights, data, config, qualities, size, message in cases:
        with pytest.raises((UsageError, MediaError, ModelError), match=message):
            analyse_checkpoint(weights, data, out, config, qualities, 1, size)
        assert not out.exists() or not list(out.glob("sensitivity*"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--bits", "four"), "--bits four: legal are whole numbers with commas"),
        (("--mode", "both"), "mode 'both': legal are add, open, drop"),
        (("--level", "net"), "level 'net': legal are module, layer, channel"),
        (("--frames", "1"), "1 frames: at least 2"),
    ],
)
def test_options_are_checked_at_once(
    option: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from quaver.cli.app import main

    with pytest.raises(SystemExit) as exit:
        main(["analyse", "w.safetensors", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *option])
    assert exit.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), []),
        (("--frames", "8", "--drift-frames", "0"), []),
        (("--frames", "7"), ["Rankings over 7 frames: fewer than 8 hide what losses become in the loop."]),
        (("--drift-frames", "31"), ["Drift over 31 frames: fewer than 32 say little about drift."]),
    ],
)
def test_short_clips_are_said_where_measuring_begins(
    options: tuple[str, ...], said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quaver.cli.app import main
    from quaver.errors import UsageError
    from quaver.lab.analyse import command
    from quaver.lab.analyse.run import Estimate

    def measure(*arguments: Any) -> None:
        arguments[-2](Estimate(1, 0, 1.0, 1.0, 1))
        raise UsageError("enough")

    monkeypatch.setattr(command, "analyse_checkpoint", measure)
    with pytest.raises(SystemExit):
        main(["analyse", "w.safetensors", "--data", "videos", "--out", "out", *options])
    *lines, _, error = capsys.readouterr().err.splitlines()
    assert lines == said and "enough" in error


def test_refused_input_has_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from quaver.cli.app import main

    with pytest.raises(SystemExit):
        main(["analyse", "none.safetensors", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--frames", "7"])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_starting_is_light() -> None:
    code = "import sys, quaver.cli.app; print(sorted({'torch', 'polars', 'plotly', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
