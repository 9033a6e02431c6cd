"""From a codec to a table and a report: the toy in full, Quaver's own where it differs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from quaver.errors import UsageError
from quaver.lab.analyse import AnalyseConfig, QuaverAdapter, SensitivityTable, analyse, analysis
from quaver.lab.analyse.closed_loop import AnalysisError, run
from quaver.lab.analyse.run import Estimate
from quaver.lab.analyse.table import MEAN
from quaver.lab.manifest import model_hash
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import weights_hash
from quaver.lab.train.objective import Sequence, run_sequence
from quaver.lab.train.recipes import Stage

from .toy import ToyAdapter, tiny_codec, toy_clips

CONFIG = AnalyseConfig(
    level="channel",
    bits=(3, 8),
    frames=4,
    drift_frames=6,
    impulse_frames=5,
    noise=3,
    channel_sample=12,
    slope_frames=2,
    probes=2,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SensitivityTable]:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("analysis")
    return out, analyse(ToyAdapter(), toy_clips(frames=6), CONFIG, out)


def test_the_table_has_every_level_and_mode(finished: tuple[Path, SensitivityTable]) -> None:
    out, table = finished
    found = set(table.rows.select("level", "mode", "source").unique().iter_rows())
    levels = {(level, mode, "measured") for level in ("module", "layer") for mode in ("add", "open", "drop")}
    others = {
        ("codec", "open noise", "measured"),
        ("module", "impulse", "measured"),
        ("pair", "add", "measured"),
        ("codec", "noise", "measured"),
    }
    assert found == levels | others | {("channel", "open", "measured"), ("channel", "open", "predicted")}
    kinds = set(table.rows.filter(level="module", mode="add")["kind"])
    assert kinds == {"w", "a", "wa", "state"}
    assert set(table.rows.filter(pl.col("encoder_only"))["module"]) == {"encoder"}
    drift = table.means.filter(frames=6, mode="add")
    assert drift["slope"].null_count() == 0 and drift["curve"].list.len().unique().to_list() == [6]
    assert_frame_equal(SensitivityTable.load(out).rows, table.rows)
    assert model_hash(ToyAdapter().module) == table.rows["model_hash"][0]


def test_channels_are_measured_at_the_fewest_bits_and_predicted_at_all(finished: tuple[Path, SensitivityTable]) -> None:
    channels = finished[1].rows.filter(level="channel")
    count = channels.filter(bits=3).height
    assert channels.filter(bits=8, source="predicted").height == count
    assert 12 <= channels.filter(bits=3, source="measured").height < count
    floors = finished[1].rows.filter(mode="open noise", clip=MEAN)
    for row in channels.filter(source="measured").iter_rows(named=True):
        assert row["floor"] == floors.filter(pl.col("lambda") == row["lambda"])["floor"].item()
    pruned = channels.filter(bits=0)
    assert set(pruned["kind"]) == {"w"} and pruned.height == channels.filter(bits=8, kind="w").height


def test_fewer_bits_change_more(finished: tuple[Path, SensitivityTable]) -> None:
    scores = finished[1].scores("module")
    for kind in ("w", "a", "wa", "state"):
        low, high = (scores.filter(kind=kind, bits=bits)["zeta"].abs().sum() for bits in (3, 8))
        assert low > high


def test_the_same_manifest_gives_the_same_table(finished: tuple[Path, SensitivityTable]) -> None:
    again = analyse(ToyAdapter(), toy_clips(frames=6), CONFIG)
    assert again.manifest == finished[1].manifest
    assert_frame_equal(again.rows, finished[1].rows)
    assert_frame_equal(again.proxies.drop("seconds"), finished[1].proxies.drop("seconds"))
    assert analyse(ToyAdapter(), toy_clips(frames=6), _short(seed=1)).manifest["hash"] != again.manifest["hash"]


def test_resuming_measures_what_is_missing(finished: tuple[Path, SensitivityTable]) -> None:
    out, table = finished
    kept = sorted((out / "cache").rglob("*.npz"))
    for path in kept[::3]:
        path.unlink()
    estimates: list[Estimate] = []
    again = analyse(ToyAdapter(), toy_clips(frames=6), CONFIG, out, announce=estimates.append)
    assert 0 < estimates[0].cached < estimates[0].jobs
    assert_frame_equal(again.rows, table.rows)
    assert sorted((out / "cache").rglob("*.npz")) == kept


def test_results_of_other_code_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the laboratory's nor of the codec's."""

    def cached() -> int:
        estimates: list[Estimate] = []
        analyse(ToyAdapter(), toy_clips(), _short(), tmp_path, announce=estimates.append)
        return estimates[0].cached

    assert cached() == 0 < cached()
    monkeypatch.setattr(analysis, "code_hash", lambda *folders: "changed")
    assert cached() == 0 < cached()
    monkeypatch.setattr(analysis, "class_hash", lambda classes: "changed")
    assert cached() == 0


def test_the_report_needs_nothing_else(finished: tuple[Path, SensitivityTable]) -> None:
    page = (finished[0] / "report.html").read_text()
    assert not re.search(r'<(?:script|link)[^>]+(?:src|href)="https?:', page)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0].replace("<\\/", "</"))
    maps = {f"{level}-{mode}" for level in ("module", "layer") for mode in ("estimate", "add", "open", "drop")}
    assert set(data["figures"]) == maps | {"drift", "impulse", "pairs"}
    assert "decoder.0@inter" in data["sites"] and data["channels"]["decoder.0"]["w"]
    bars = [bar for kinds in data["channels"].values() for own in kinds.values() for bar in own]
    assert {measured for _, _, measured in bars} == {False, True}
    assert all(f'value="{name}"' in page for name in maps)
    assert all(f'id="{name}"' in page for name in ("module-map", "layer-map", "drift", "impulse", "pairs", "channels"))
    assert json.loads((finished[0] / "manifest.json").read_text()) == finished[1].manifest


def test_proxies_are_audited(finished: tuple[Path, SensitivityTable]) -> None:
    proxies = finished[1].proxies
    expected = {"SQNR", "first order", "Fisher", "Hutchinson", "dw^T H dw", "truth, half of the clips"}
    for against in ("closed", "open"):
        assert set(proxies.filter(kind="w", level="layer", against=against)["proxy"]) == expected
    assert (
        proxies.filter(pl.col("lambda").is_null(), level="layer", modules="all").height * 3
        == proxies.filter(level="layer", modules="all").height
    )
    assert proxies["rank_correlation"].drop_nulls().abs().max() <= 1 and (proxies["seconds"] >= 0).all()
    assert set(proxies["surrogate"]) == {"additive uniform noise"}
    channels = proxies.filter(level="channel")
    assert {"w", "a"} == set(channels["kind"]) and {"open"} == set(channels["against"])
    assert set(channels["proxy"]) == expected - {"SQNR", "Hutchinson", "dw^T H dw"} | {"mixture, fitted to them"}


def _short(**changes: object) -> AnalyseConfig:
    plain: dict[str, object] = {"level": "module", "bits": (3,), "modes": ("add",), "frames": 2, "drift_frames": 0}
    plain |= {"impulse_frames": 0, "noise": 2, "pairs": False, "proxies": False}
    return AnalyseConfig(**plain | changes)  # type: ignore[arg-type]


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no call site is named 'lop'"):
        analyse(ToyAdapter(), toy_clips(), _short(only=("lop",)))
    with pytest.raises(UsageError, match="clips of 4 frames; this analysis needs 32"):
        analyse(ToyAdapter(), toy_clips(), _short(drift_frames=32))
    with pytest.raises(AnalysisError, match="not a number in frame 1 of clip toy 0"):
        analyse(ToyAdapter("nan"), toy_clips(), _short(), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.set_num_threads(1)
    return tiny_codec()


def test_quavers_step_is_its_objective(codec: Codec) -> None:
    """R is the codec's own bits and what no network touches; D and the path are training's."""
    clips = toy_clips(1, 3, 32)
    curves = run(QuaverAdapter(codec, (30,)), clips, 3)
    planes = (torch.from_numpy(plane) for plane in (clips.y, clips.u, clips.v))
    with torch.no_grad():
        outcome = run_sequence(codec, Sequence(*planes, torch.tensor([30])), Stage("test", 1, 3, encoder=True))
    assert curves.distortion.mean() == pytest.approx(outcome.distortion, rel=1e-6)
    assert outcome.rate < curves.rate.mean() < outcome.rate + 1.0


def test_quaver_in_closed_loop(codec: Codec, tmp_path: Path) -> None:
    adapter, before = QuaverAdapter(codec, (20, 44)), weights_hash(codec)
    kept = dict(codec.named_parameters())
    table = analyse(
        adapter,
        toy_clips(2, 4, 32),
        _short(level="layer", only=("*.entropy.context.enter", "*.entropy.mean"), frames=3),
    )
    assert weights_hash(codec) == before == table.rows["model_hash"][0]
    assert dict(codec.named_parameters()).keys() == kept.keys()
    assert set(table.rows.filter(level="module")["module"]) == {"intra.entropy", "inter.entropy", "state"}
    states = table.means.filter(module="state")
    assert set(states["call_site"]) == {"picture", "latents", "vectors"}
    assert table.rows["zeta"].drop_nulls().is_finite().all()
    assert {"intra.encoder", "inter.encoder"} <= set(adapter.encoder_only)


def test_weights_that_are_masked_as_they_run_have_one_hash() -> None:
    class Masking(ToyAdapter):
        def step(self, frame, state, points):  # type: ignore[no-untyped-def]
            self.module.context["memory"].weight.data[..., 0] = 0
            return super().step(frame, state, points)

    adapter = Masking()
    config = AnalyseConfig(
        "module", (8,), ("open",), ("w",), frames=2, drift_frames=0, impulse_frames=0, noise=2, pairs=False,
        proxies=False,
    )  # fmt: skip
    first, again = (analyse(adapter, toy_clips(frames=2), config) for _ in range(2))
    assert first.manifest["model_hash"] == again.manifest["model_hash"]
