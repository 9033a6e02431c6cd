"""A trained codec to an IntegerModel."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.lower import emit
from quaver.lab.lower.refine import CALIBRATED, Refined, Refinement, refine
from quaver.lab.lower.shrink import shrink
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import WEIGHT_BITS
from quaver.lab.models.precision import InputSamples, fit, shape_for
from quaver.lab.models.sites import ACTIVATION_BITS
from quaver.lab.models.weights import set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.objective import Sequence, run_sequence
from quaver.lab.train.recipes import Stage
from quaver.runtime.graph import IntegerGraph
from quaver.runtime.model import IntegerModel


@torch.no_grad()
def layer_inputs(codec: Codec, sequences: Iterable[Sequence], stage: Stage) -> dict[str, Tensor]:
    """What every layer of a codec in floating point reads in `sequences`: a sample, (channels, values) by name. It does
    not depend on a plan."""
    set_integer(codec, False)
    everything = replace(stage, trains=(*stage.trains, "motion"))
    with InputSamples(wiring(codec)) as inputs:
        for sequence in sequences:
            run_sequence(codec, sequence, everything)
    return inputs.values()


@torch.no_grad()
def bring_to(codec: Codec, plan: QuantPlan, inputs: Mapping[str, Tensor]) -> None:
    """Give a codec in floating point the bits of `plan`, with scales and clips of the least squared error over
    `inputs`."""
    fit(codec, shape_for(codec, plan), inputs)


def calibrate(
    codec: Codec,
    sequences: Iterable[Sequence],
    stage: Stage,
    plan: QuantPlan | None = None,
    refinement: Refinement = CALIBRATED,
) -> Refined | None:
    """Bring a codec in floating point to `plan`, by default 7 weight and 8 activation bits everywhere, with scales and
    clips of the least squared error over what its layers read in `sequences`; then refine it on these. Returns what
    that did."""
    seen = list(sequences)
    floating = copy.deepcopy(codec) if refinement.asked else None
    inputs = layer_inputs(codec, seen, stage)
    bring_to(codec, plan or QuantPlan.uniform(list(wiring(codec)), WEIGHT_BITS, ACTIVATION_BITS), inputs)
    return None if floating is None else refine(codec, floating, seen, refinement)


def lower(codec: Codec, name: str) -> IntegerModel:
    """The integer model: the skeleton's tables and one graph per network, pruned channels left out. Every accumulator's
    bound is proven; ModelError names a layer where it does not hold."""
    if codec.preset.activation != "relu":
        raise UsageError(f"activation {codec.preset.activation!r} has no integer form yet; 'relu' has")
    graphs: dict[str, IntegerGraph] = {}
    for kind, nets in (("intra", codec.intra), ("inter", codec.inter)):
        graphs[f"{kind}.entropy"] = emit.entropy_graph(f"{kind}.entropy", nets.entropy)
        graphs[f"{kind}.decoder"] = emit.decoder_graph(f"{kind}.decoder", nets.decoder, nets.entropy.context.stream)
        graphs[f"{kind}.loop"] = emit.loop_graph(f"{kind}.loop", nets.loop)
        graphs[f"{kind}.encoder"] = emit.encoder_graph(f"{kind}.encoder", nets.encoder)
    motion = codec.motion
    graphs["motion.average"] = emit.average_graph("motion.average", motion.average)
    graphs["motion.detail"] = emit.detail_graph("motion.detail", motion.detail)
    graphs["motion.encoder"] = emit.encoder_graph("motion.encoder", motion.encoder)
    graphs["motion.estimator"] = emit.estimator_graph("motion.estimator", motion.estimator)
    graphs = {key: shrink(graph) for key, graph in graphs.items()}
    skeleton = codec.skeleton
    arrays = skeleton.steps, skeleton.intra_levels, skeleton.inter_levels, skeleton.tables
    return IntegerModel(name, *arrays, graphs, codec.patches)
