"""The example codec through the laboratory, untrained and tiny: the whole way from its adapter to a plan and back."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from examples.dcvc_shaped.adapter import DcvcAdapter
from examples.dcvc_shaped.model import DcvcShaped
from examples.dcvc_shaped.run import STUDIES
from examples.dcvc_shaped.training import motion_first
from examples.study import correlations, main, uniform_and_allocated

from quaver.lab.analyse import AnalyseConfig, ClipSet, CodecAdapter, SensitivityTable, analyse
from quaver.lab.analyse.adapter import module_of
from quaver.lab.analyse.closed_loop import Curves, run
from quaver.lab.quant import Calibration, call_sites, observe, quantized

CONFIG = AnalyseConfig(
    bits=(3, 8), modes=("add",), kinds=("w", "state"), frames=2, drift_frames=0, impulse_frames=0, noise=2,
    pairs=False, proxies=False,
)  # fmt: skip


def moving(side: int = 16, frames: int = 2) -> ClipSet:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    t = np.arange(frames)[:, None, None]
    luma = (128 + 60 * np.sin((x + 2 * t) / 3) * np.cos((y - t) / 4)).round().astype(np.uint8)[None]
    return ClipSet(("moving",), luma, luma[..., ::2, ::2] // 2 + 60, luma[..., ::2, ::2])


@pytest.fixture(scope="module")
def adapter() -> CodecAdapter:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return DcvcAdapter(DcvcShaped(4), 0.01)


@pytest.fixture(scope="module")
def table(adapter: CodecAdapter) -> SensitivityTable:
    return analyse(adapter, moving(), CONFIG)


def assert_same(a: Curves, b: Curves) -> None:
    np.testing.assert_array_equal(a.rate, b.rate)
    np.testing.assert_array_equal(a.distortion, b.distortion)


def test_every_layer_has_a_module_and_every_module_a_layer(adapter: CodecAdapter) -> None:
    owners = [module_of(adapter, name) for name in call_sites(adapter.module)]
    assert set(owners) == set(adapter.modules)
    assert set(adapter.encoder_only) < set(adapter.modules)


def test_nothing_stays_in_the_codec(adapter: CodecAdapter) -> None:
    clips, point = moving(), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        first = adapter.step(clips.frame(0), None, point)
        second = adapter.step(clips.frame(1), first.state, point)
        adapter.step(clips.frame(0), None, point)
        again = pickle.loads(pickle.dumps(adapter)).step(clips.frame(1), first.state, point)
    assert torch.equal(second.rate, again.rate) and torch.equal(second.state.picture, again.state.picture)
    parts = adapter.state_parts(second.state)
    assert set(parts) == {"picture", "feature", "mv"}
    changed = adapter.with_state_parts(second.state, {"mv": parts["mv"] + 1})
    assert torch.equal(changed.mv, second.state.mv + 1) and changed.picture is second.state.picture


def test_gradients_reach_every_layer(adapter: CodecAdapter) -> None:
    state, cost = None, torch.zeros(())
    for t in (0, 1, 1):
        state, rate, distortion = adapter.step(moving().frame(t), state, torch.zeros(1, dtype=torch.long))
        cost = cost + (rate + distortion).sum()
    weights = [adapter.module.get_submodule(name).weight for name in call_sites(adapter.module)]
    assert all(bool(slope.any()) for slope in torch.autograd.grad(cost, weights))


def test_analysed(adapter: CodecAdapter, table: SensitivityTable) -> None:
    scores = table.scores("module")
    assert set(scores.filter(kind="w")["module"]) == set(adapter.modules)
    assert set(scores.filter(kind="state")["call_site"]) == {"picture", "feature", "mv"}
    assert scores["zeta"].is_finite().all()
    assert set(scores.filter(encoder_only=True)["module"]) == set(adapter.encoder_only)


def test_allocated_attached_and_taken_off(adapter: CodecAdapter, table: SensitivityTable) -> None:
    clips = moving()
    uniform, plan = uniform_and_allocated(adapter, clips, table)
    assert set(plan.layers) == set(uniform.layers) == set(call_sites(adapter.module))
    assert plan.predicted["bops"] <= plan.budget["bops"]
    before = run(adapter, clips, 2)
    stats = observe(adapter.module, list(plan.layers), lambda: run(adapter, clips, 2), adapter.role)
    with quantized(adapter.module, plan, Calibration(stats), role=adapter.role):
        inside = run(adapter, clips, 2)
    assert (inside.distortion != before.distortion).all()
    assert_same(run(adapter, clips, 2), before)


def test_motion_first_teaches_motion_and_what_codes_it(adapter: CodecAdapter) -> None:
    loss = motion_first(adapter, [moving().frame(0), moving().frame(1)], torch.zeros(1, dtype=torch.long))
    assert loss.shape == (1,)
    names = ("motion.scales.0.0", "mv_encoder.0", "mv_decoder.0", "mv_prior.fuse.0", "intra_encoder.0")
    weights = [adapter.module.get_submodule(name).weight for name in names]
    assert all(bool(slope.any()) for slope in torch.autograd.grad(loss.sum(), weights))


def test_latents_begin_wider_than_a_step() -> None:
    torch.manual_seed(1)
    flow, picture = torch.randn(1, 2, 32, 32), torch.randn(1, 3, 32, 32) / 2
    model = DcvcShaped(8)
    for latent in (model.mv_encoder(flow), model.intra_encoder(picture)):
        assert latent.std() > 1 / 2
        assert latent.round().ne(0).float().mean() > 1 / 4


def test_rank_correlation_of_two_seeds() -> None:
    def rows(zeta: tuple[float, ...]) -> list[dict[str, object]]:
        return [
            {"module": f"m{i}", "kind": "w", "bits": 3, "zeta": z, "closed": -z, "open": z} for i, z in enumerate(zeta)
        ]

    found = list(correlations(rows((1, 2, 3)), rows((10, 20, 30))))
    assert [(row["kind"], row["bits"], row["zeta"], row["closed"]) for row in found] == [("w", 3, 1.0, 1.0)]
    assert next(iter(correlations(rows((1, 2, 3)), rows((3, 2, 1)))))["zeta"] == -1.0


def test_networks_as_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the weights of a file, encoder and decoder apart; what GDN and motion compute is compared in export."""
    weights = DcvcShaped().state_dict()
    torch.save({"state_dict": weights}, tmp_path / "weights.pt")
    arguments = ["run", "--export", str(tmp_path / "out"), "--weights", str(tmp_path / "weights.pt")]
    monkeypatch.setattr(sys, "argv", arguments)
    main(STUDIES)
    networks = STUDIES["dcvc-shaped"].networks
    sides = {path.stem: path.parent.name for path in (tmp_path / "out").rglob("*.onnx")}
    assert set(sides) == set(networks)
    assert {name for name, side in sides.items() if side == "encoder"} == {
        name for name in networks if name == "motion" or name.endswith("encoder")
    }
    latents = torch.randn(1, 16, 3, 2)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "decoder" / "decoder.onnx"))
    (got,) = session.run(None, {"input": latents.numpy()})
    codec = DcvcShaped()
    codec.load_state_dict(weights)
    with torch.no_grad():
        np.testing.assert_allclose(got, codec.decoder(latents).numpy(), atol=1e-5)
