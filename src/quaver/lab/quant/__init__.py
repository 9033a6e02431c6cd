"""Quantization: plans, quantizers, observers, grouping. Numerics are pure functions; attaching is by layer name.

sites = call_sites(model)                                          # or call_sites(model, "decoder.*")
stats = observe(model, sites, lambda: model(clip))                 # ranges and histograms of their inputs
with quantized(model, QuantPlan.uniform(sites, w=7, a=8), Calibration(stats)) as attached:
    loss = task_loss(model(clip))
    with attached.changed("decoder.enter", LayerPlan(4, 8)):       # one layer at other bits
        worse = task_loss(model(clip))
"""

from quaver.lab.quant.attach import Attachment, attach, quantized
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import SiteStats, accumulate
from quaver.lab.quant.plan import FLOAT, LayerPlan, QuantPlan
from quaver.lab.quant.quantizers import ActivationQuantizer, WeightQuantizer
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose, choose_weight, search_by_loss
from quaver.lab.quant.sites import call_sites, observe

__all__ = [
    "FLOAT",
    "ActivationQuantizer",
    "Attachment",
    "Calibration",
    "LayerPlan",
    "QuantPlan",
    "Scale",
    "SiteStats",
    "WeightQuantizer",
    "accumulate",
    "attach",
    "call_sites",
    "choose",
    "choose_weight",
    "observe",
    "quantized",
    "search_by_loss",
]
