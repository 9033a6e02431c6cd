"""What plans of one codec are compared on."""

from __future__ import annotations

import argparse
from pathlib import Path

from clips_apart import halves
from training_clips import clip_cache

from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.score import float_curves
from quaver.lab.costs import fixed
from quaver.lab.costs.measure import Timing, graph_ms, skeleton_entry
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import bring_to, layer_inputs
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at, train
from quaver.lab.train.recipes import Stage, load_recipe
from quaver.runtime.model import IntegerModel, load_model

WORKLOAD = Workload()
CALIBRATION = Stage("calibration", 4, 3, size=128, batch=2, encoder=True)


class Bench:
    """What all plans share: weights, clips, the float baseline, what layers read, how time is measured. clips: how many
    the loss is measured on, which neither calibration nor training sees."""

    def __init__(self, arguments: argparse.Namespace, clips: int = 6) -> None:
        self.checkpoint, self.skeleton = arguments.checkpoint, load_model("skeleton")
        self.to_use, apart = halves(clip_cache(arguments))
        self.apart = choose_clips(apart, clips, 8, 128)
        codec = self.codec()
        self.sites, self.model_hash = list(wiring(codec)), weights_hash(codec)
        self.baseline = float_curves(codec, self.apart)
        sequences = [sequence_at(self.to_use, 0, CALIBRATION, step) for step in range(CALIBRATION.steps)]
        self.inputs = layer_inputs(codec, sequences, CALIBRATION)
        self.timing = Timing(2, 9)
        self._skeleton_ms = sum(
            float(row.share) * skeleton_entry(row, self.timing).ms for row in fixed.skeleton(WORKLOAD) if row.share
        )

    def codec(self) -> Codec:
        return read_codec(self.checkpoint, self.skeleton)

    def quantized(self, plan: QuantPlan) -> Codec:
        codec = self.codec()
        bring_to(codec, plan, self.inputs)
        return codec

    def trained(self, plan: QuantPlan, recipe: str, folder: Path) -> Codec:
        out = folder / f"qat-{plan.hash}"
        return train(load_recipe(recipe), self.to_use, self.skeleton, out, True, self.checkpoint, plan=plan)

    def networks_ms(self, model: IntegerModel) -> float:
        """Of the networks in a mean frame at 640x360 that is decoded, on one thread."""
        networks = [(key, graph) for key, graph in model.graphs.items() if WORKLOAD.share(key)]
        return sum(
            float(WORKLOAD.share(key)) * graph_ms(graph, WORKLOAD.map(key), self.timing) for key, graph in networks
        )

    def ms(self, model: IntegerModel) -> float:
        """Of the networks and the skeleton's steps."""
        return self._skeleton_ms + self.networks_ms(model)
