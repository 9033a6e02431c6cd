"""Quaver's own codec and other people's, for functions that take either."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quaver.errors import UsageError
from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import run
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.score import QUALITIES
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.modules import module_layers
from quaver.lab.costs.workload import Workload
from quaver.lab.manifest import model_hash
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import Bits, QuantPlan
from quaver.lab.quant.sites import call_sites
from quaver.runtime.model import load_model

AnyCodec = Codec | CodecAdapter


def load_codec(weights: Path | str, skeleton: str = "skeleton") -> Codec:
    """Quaver's codec from a .safetensors that `quaver train` wrote."""
    return read_codec(Path(weights), load_model(skeleton))


def own_codec(codec: AnyCodec) -> Codec | None:
    """Quaver's codec, also behind its adapter; None for other people's."""
    inner = codec.module if isinstance(codec, QuaverAdapter) else codec
    return inner if isinstance(inner, Codec) else None


def adapter_of(codec: AnyCodec) -> CodecAdapter:
    """As the laboratory sees it: Quaver's own in the arithmetic it is in, at qualities 12, 32 and 52."""
    own = own_codec(codec)
    if own is None:
        assert not isinstance(codec, Codec)
        return codec
    qualities = codec.qualities if isinstance(codec, QuaverAdapter) else QUALITIES
    return QuaverAdapter(own, qualities, integer=own.plan is not None)


def layers_of(codec: AnyCodec, *patterns: str) -> list[str]:
    """Names of the layers that a plan may name, or of those that match one of the shell patterns."""
    own = own_codec(codec)
    if own is None:
        return call_sites(adapter_of(codec).module, *patterns)
    run = wiring(own)
    return [name for name in call_sites(own, *patterns) if name in run]


def uniform(codec: AnyCodec, w: Bits = 7, a: Bits = 8, name: str = "") -> QuantPlan:
    """The same bits in all layers of a codec."""
    return QuantPlan.uniform(layers_of(codec), w, a, name)


def check_plan(codec: AnyCodec, plan: QuantPlan) -> None:
    """UsageError where the plan was made for other weights."""
    own = model_hash(adapter_of(codec).module)
    if plan.model_hash not in ("", own):
        raise UsageError(f"plan {plan.name!r} was made for weights {plan.model_hash[:16]}; these are {own[:16]}")


def cost_layers(codec: AnyCodec, clips: ClipSet) -> list[Layer]:
    """Rows to cost, a mean frame's: of Quaver's codec for a 640x360 video, of others for two frames of the first
    clip, one for each role of a layer."""
    own = own_codec(codec)
    if own is not None:
        return codec_layers(own, Workload())
    adapter = adapter_of(codec)
    layers = module_layers(adapter.module, lambda: run(adapter, clips.one(0), 2, points=(0,)), adapter.role)
    return [replace(layer, share=layer.share / 2) for layer in layers]
