"""CompressAI's models through the laboratory, untrained: skipped where CompressAI is not installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

pytest.importorskip("compressai", reason="not among the extras: it pins old packages, see examples/README.md")

from examples.compressai.adapter import CompressAIAdapter, ImageAdapter, ScaleSpaceFlowAdapter
from examples.compressai.flow import INSIDE, SLOW, narrow_flow
from examples.compressai.run import STUDIES
from examples.compressai.training import motion_first
from examples.export import export_codec, give_weights
from examples.study import paces, uniform_and_allocated

from quaver.lab.analyse import AnalyseConfig, ClipSet, analyse
from quaver.lab.analyse.adapter import module_of, to_rgb
from quaver.lab.analyse.closed_loop import run
from quaver.lab.quant import Calibration, call_sites, observe, quantized

CONFIG = AnalyseConfig(
    bits=(3, 8), modes=("add",), kinds=("w", "state"), frames=2, drift_frames=0, impulse_frames=0, noise=2,
    pairs=False, proxies=False,
)  # fmt: skip
MODELS = {  # with the layers that are scored: scale-space flow's many would take long
    "FactorizedPrior": (),
    "ScaleHyperprior": (),
    "MeanScaleHyperprior": (),
    "JointAutoregressiveHierarchicalPriors": (),
    "ScaleSpaceFlow": ("motion_decoder.6", "res_decoder.6", "res_encoder.0"),
}


def adapter_of(name: str) -> CompressAIAdapter:
    import compressai.models as models

    torch.set_num_threads(1)
    torch.manual_seed(1)
    if name == "ScaleSpaceFlow":
        return ScaleSpaceFlowAdapter(narrow_flow(), 0.01)
    return ImageAdapter(getattr(models, name)(4, 6), 0.01)


def moving(side: int) -> ClipSet:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    t = np.arange(2)[:, None, None]
    luma = (128 + 60 * np.sin((x + 2 * t) / 3) * np.cos((y - t) / 4)).round().astype(np.uint8)[None]
    return ClipSet(("moving",), luma, luma[..., ::2, ::2] // 2 + 60, luma[..., ::2, ::2])


@pytest.mark.parametrize("name", MODELS)
def test_analysed_allocated_quantized_and_back(name: str) -> None:
    adapter, clips = adapter_of(name), moving(128 if name == "ScaleSpaceFlow" else 64)
    sites = call_sites(adapter.module)
    assert {module_of(adapter, site) for site in sites} == set(adapter.modules)
    before = run(adapter, clips, 2)
    table = analyse(adapter, clips, replace(CONFIG, only=MODELS[name]))
    scores = table.scores("module")
    assert scores["zeta"].is_finite().all()
    assert set(scores.filter(kind="state")["call_site"]) == ({"picture"} if name == "ScaleSpaceFlow" else set())
    _, plan = uniform_and_allocated(adapter, clips, table)
    assert set(plan.layers) == set(MODELS[name] or sites)
    stats = observe(adapter.module, list(plan.layers), lambda: run(adapter, clips, 2), adapter.role)
    with quantized(adapter.module, plan, Calibration(stats), role=adapter.role):
        inside = run(adapter, clips, 2)
    assert (inside.distortion[..., 1] != before.distortion[..., 1]).all()
    after = run(adapter, clips, 2)
    np.testing.assert_array_equal(after.rate, before.rate)
    np.testing.assert_array_equal(after.distortion, before.distortion)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ScaleSpaceFlow"])
def test_gradients(name: str) -> None:
    adapter = adapter_of(name)
    step = adapter.step(moving(64).frame(0), None, torch.zeros(1, dtype=torch.long))
    slopes = torch.autograd.grad((step.rate + step.distortion).sum(), adapter.module.g_a.parameters())
    assert all(bool(slope.isfinite().all()) for slope in slopes) and bool(slopes[0].any())


def test_flow_begins_with_live_latents_and_gradients_everywhere() -> None:
    adapter, clips, point = adapter_of("ScaleSpaceFlow"), moving(128), torch.zeros(1, dtype=torch.long)
    pictures = [to_rgb(clips.frame(t)) for t in (0, 1)]
    with torch.no_grad():
        for kind, seen in (("img", pictures[0]), ("motion", torch.cat(pictures, 1))):
            assert getattr(adapter.module, f"{kind}_encoder")(seen).round().ne(0).float().mean() > 1 / 4
    state, cost = None, torch.zeros(())
    for t in (0, 1):
        state, rate, distortion = adapter.step(clips.frame(t), state, point)
        cost = cost + (rate + distortion).sum()
    weights = [adapter.module.get_submodule(name).weight for name in call_sites(adapter.module)]
    slopes = torch.autograd.grad(cost, weights)
    assert all(bool(slope.isfinite().all()) and bool(slope.any()) for slope in slopes)


def test_motion_first_teaches_all_but_the_residual() -> None:
    adapter, clips = adapter_of("ScaleSpaceFlow"), moving(128)
    assert not is_live(adapter, motion_first(adapter, [clips.frame(0), clips.frame(1)], torch.zeros(1)), "res")
    for kind in ("img", "motion"):
        assert is_live(adapter, motion_first(adapter, [clips.frame(0), clips.frame(1)], torch.zeros(1)), kind)


def is_live(adapter: CompressAIAdapter, loss: torch.Tensor, kind: str) -> bool:
    """Whether all weights of encoder, decoder and hyperprior have a gradient; none of them has if it is False."""
    weights = [
        adapter.module.get_submodule(name).weight for name in call_sites(adapter.module) if name.startswith(kind)
    ]
    slopes = torch.autograd.grad(loss.sum(), weights, allow_unused=True)
    found = {slope is not None and bool(slope.isfinite().all()) and bool(slope.any()) for slope in slopes}
    assert len(found) == 1
    return found.pop()


def test_slow_names_weights_that_make_vectors() -> None:
    groups = dict(paces(adapter_of("ScaleSpaceFlow"), SLOW))
    assert [tuple(p.shape) for p in groups[0.03]] == [(INSIDE, 3, 5, 5), (3,)]
    assert sorted(groups) == [0.03, 0.3, 1.0] and len(groups[0.3]) == 14
    assert sum(map(len, groups.values())) == len(list(adapter_of("ScaleSpaceFlow").module.parameters()))


@pytest.mark.parametrize("name", STUDIES)
def test_networks_as_onnx(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    adapter = study.make()
    found = {each.network: each.difference for each in export_codec(adapter, study.networks, tmp_path)}
    assert {each.partition("/")[2] for each in found} == set(study.networks) and max(found.values()) < 1e-5
    if name != "flow":
        sides = {each.partition("/")[2]: each.partition("/")[0] for each in found}
        assert [sides[part] for part in ("g_a", "h_a", "h_s", "g_s")] == ["encoder"] * 2 + ["decoder"] * 2


def test_weights_of_another_width(tmp_path: Path) -> None:
    from compressai.models import ScaleHyperprior

    wide, adapter = ScaleHyperprior(8, 12), adapter_of("ScaleHyperprior")
    torch.save(wide.state_dict(), tmp_path / "wide.pt")
    give_weights(adapter, tmp_path / "wide.pt")
    assert torch.equal(adapter.module.g_a[0].weight, wide.g_a[0].weight)
