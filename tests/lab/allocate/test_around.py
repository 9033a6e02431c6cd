"""Scores that are corrected by what a trained codec shows around its plan."""

from __future__ import annotations

import pytest
import torch

from lab.analyse.toy import toy_clips
from quaver.errors import UsageError
from quaver.lab.allocate.around import module_losses, ratios, rescaled
from quaver.lab.allocate.scores import Scores
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.precision import shape_for
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import load_model

from .samples import PRESET


def test_scores_follow_what_was_measured() -> None:
    layers = {("a.b.x", "w", 3): 0.5, ("a.b.x", "w", 4): 0.1, ("a.b.x", "a", 8): 0.2, ("a.c.y", "w", 4): 0.3}
    scores = Scores("m", layers)
    plan = QuantPlan({"a.b.x": LayerPlan(4, 8), "a.c.y": LayerPlan(4, 8)})
    found = ratios(scores, plan, {"a.b": 0.1, "a.c": 0.1}, {"a.b": 2.0})
    assert found == {"a.b": pytest.approx(0.5)}  # expected 0.4; of a.c nothing is known to compare with
    assert ratios(scores, plan, {"a.b": -1.0}, {}) == {"a.b": 1 / 8} and ratios(scores, plan, {}, {}) == {}
    changed = rescaled(scores, found).layers
    assert changed["a.b.x", "w", 3] == pytest.approx(0.25) and changed["a.b.x", "a", 8] == 0.2
    assert changed["a.c.y", "w", 4] == 0.3


def test_the_codec_keeps_its_plan() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    codec = Codec(PRESET, load_model("skeleton"))
    for parameter in codec.parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=0.2)
    with pytest.raises(UsageError, match="no plan"):
        module_losses(codec, toy_clips(2, 2, 32))
    sites = [name for name, module in codec.named_modules() if isinstance(module, Conv)]
    plan = QuantPlan.uniform([name for name in sites if name.startswith("inter.decoder")], 3, 8)
    shape_for(codec, plan)
    limits = {name: codec.get_submodule(name).weight_limit.clone() for name in plan.layers}  # type: ignore[operator]
    losses = module_losses(codec, toy_clips(2, 2, 32), (32,))
    assert set(losses) == {"inter.decoder"} and losses["inter.decoder"] != 0
    assert all(torch.equal(codec.get_submodule(name).weight_limit, limit) for name, limit in limits.items())  # type: ignore[arg-type]
