"""A plan measured as a whole is measured as the analysis measures its parts."""

from __future__ import annotations

import pytest
import torch

from lab.analyse.toy import ToyAdapter, toy_clips
from quaver.lab.allocate.measured import measure_plan
from quaver.lab.analyse.analysis import analyse
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.quant.plan import LayerPlan, QuantPlan

CONFIG = AnalyseConfig(
    bits=(3,), modes=("add",), frames=4, drift_frames=0, impulse_frames=0, noise=2, pairs=False, proxies=False
)


def test_one_part_alone_is_its_row_of_the_table() -> None:
    torch.set_num_threads(1)
    adapter, clips = ToyAdapter(), toy_clips()
    rows = analyse(adapter, clips, CONFIG).scores("layer", "add").iter_rows(named=True)
    scores = {(row["call_site"], row["kind"]): row["zeta"] for row in rows}
    before = {name: value.clone() for name, value in adapter.module.state_dict().items()}
    for site, kind in (("encoder.0", "w"), ("decoder.2@inter", "a"), ("context.memory", "w")):
        plan = QuantPlan({site: LayerPlan(3, None) if kind == "w" else LayerPlan(None, 3)})
        found = measure_plan(adapter, clips, plan, CONFIG.frames)
        assert found["zeta"] == pytest.approx(scores[site, kind], rel=1e-6), (site, kind)
    both = measure_plan(adapter, clips, QuantPlan.uniform(["encoder.0", "decoder.2"], 3, 3), CONFIG.frames)
    assert both["zeta"] > found["zeta"] and both["stderr"] > 0 and both["clips"] == 2
    assert measure_plan(adapter, clips, QuantPlan({}), CONFIG.frames)["zeta"] == 0
    assert all(torch.equal(value, adapter.module.state_dict()[name]) for name, value in before.items())
