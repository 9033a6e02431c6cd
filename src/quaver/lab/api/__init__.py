"""The laboratory in Python: what a notebook needs, from one place.

    from quaver.lab.api import QuantPlan, allocate, analyse, clips_of, compare, load_codec, quantize, quantized

    codec, clips = load_codec("weights.safetensors"), clips_of("videos", count=4)
    table = analyse(codec, clips, level="layer", bits=(4, 6))       # table.to_polars(), table.heatmap()
    plan = allocate(codec, table, "avg_bits=4")                     # plan.with_bits("inter.decoder.*", w=6)
    compare(codec, plan, uniform(codec, w=4), clips)                # what each loses and costs
    with quantized(codec, plan, clips):
        worse = code(codec, clips)                                  # R and D of every frame
    with quantized(theirs, plan, clips, observer="loss", rounding="loss"):   # a codec behind an adapter: simulation
        better = code(theirs, held_out)                             # trained(theirs, plan, clips) learns the grids too
    save_model(quantize(codec, plan, clips, bias_correction=True), "mine.qvm")    # what `quaver encode --model` takes

A codec is Quaver's own, or anybody's behind a `CodecAdapter`. Without `clips` the package's demo clip is taken. The
core never imports this: torch comes with it.
"""

from quaver.lab.analyse.adapter import CodecAdapter, Step
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.api.clips import clips_of
from quaver.lab.api.codecs import adapter_of, layers_of, load_codec, uniform
from quaver.lab.api.comparison import Comparison, compare
from quaver.lab.api.precision import code, quantized
from quaver.lab.api.recipes import Recipe, simulated
from quaver.lab.api.steps import allocate, analyse, costs, quantize
from quaver.lab.api.training import Trained, trained
from quaver.lab.costs.report import CostTable
from quaver.lab.lower.refine import Refinement
from quaver.lab.models.untrained import random_codec
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import save_model

__all__ = [
    "AnalyseConfig",
    "ClipSet",
    "CodecAdapter",
    "Comparison",
    "CostTable",
    "LayerPlan",
    "QuantPlan",
    "QuaverAdapter",
    "Recipe",
    "Refinement",
    "SensitivityTable",
    "Step",
    "Trained",
    "adapter_of",
    "allocate",
    "analyse",
    "clips_of",
    "code",
    "compare",
    "costs",
    "layers_of",
    "load_codec",
    "quantize",
    "quantized",
    "random_codec",
    "save_model",
    "simulated",
    "trained",
    "uniform",
]
