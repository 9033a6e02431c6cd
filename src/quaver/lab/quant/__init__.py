"""Quantization: plans, quantizers, observers, rounding. Numerics are pure functions; attaching is by layer name.

>>> sites = call_sites(model)                                     # or call_sites(model, "decoder.*")
>>> plan = QuantPlan.uniform(sites, w=7, a=8)
>>> calibration = calibrate(model, plan, lambda: model(clip))     # ranges and histograms of the sites' inputs
>>> with quantized(model, plan, calibration) as attached:
...     loss = task_loss(model(clip))
...     with attached.changed("decoder.enter", LayerPlan(4, 8)):  # one layer at other bits
...         worse = task_loss(model(clip))
...     round_by_loss(attached, lambda: task_loss(model(clip)))   # or learned = learn(attached), then train
"""

from quaver.lab.quant.attach import Attachment, attach, quantized
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import SiteStats, accumulate
from quaver.lab.quant.plan import FLOAT, LayerPlan, QuantPlan
from quaver.lab.quant.ptq import calibrate, correct_biases, equalize
from quaver.lab.quant.qat import Learned, learn
from quaver.lab.quant.quantizers import ActivationQuantizer, WeightQuantizer
from quaver.lab.quant.rounding import Rounded, round_by_loss
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose, choose_weight, search_by_loss
from quaver.lab.quant.sites import call_sites, observe
from quaver.lab.quant.weights import WeightGrids

__all__ = [
    "FLOAT",
    "ActivationQuantizer",
    "Attachment",
    "Calibration",
    "LayerPlan",
    "Learned",
    "QuantPlan",
    "Rounded",
    "Scale",
    "SiteStats",
    "WeightGrids",
    "WeightQuantizer",
    "accumulate",
    "attach",
    "calibrate",
    "call_sites",
    "choose",
    "choose_weight",
    "correct_biases",
    "equalize",
    "learn",
    "observe",
    "quantized",
    "round_by_loss",
    "search_by_loss",
]
