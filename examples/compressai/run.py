"""python -m examples.compressai.run --codec hyperprior --data VIDEOS --out results/other_codecs.tsv

Needs CompressAI (../README.md says how). All codecs here are narrower than published: minutes of one core each.
"""

from __future__ import annotations

from ..study import Study, main
from .adapter import CompressAIAdapter, ImageAdapter, ScaleSpaceFlowAdapter
from .flow import INSIDE, LATENTS, SLOW, narrow_flow
from .training import motion_first

LAMBDA = 0.01  # bits per luma sample and unit of squared error on 0..255
# CompressAI's for its quality 7. With 0.01 and as little training, bits make the latents of motion and residual zero.
FLOW_LAMBDA = 0.0932
N, M = 16, 24  # channels of image models; published: 128 to 192, 192 to 320
NARROWER = f"narrower than published: {INSIDE} channels inside and {LATENTS} of latents for 128 and 192"
# What `--export` writes.
NETWORKS = ("g_a", "h_a", "h_s", "g_s")
AFTER_CONTEXT = ("context_prediction", "entropy_parameters")
FLOW_NETWORKS = tuple(
    f"{kind}_{part}"
    for kind in ("img", "motion", "res")
    for part in (
        "encoder",
        "decoder",
        *(f"hyperprior.hyper_{own}" for own in ("encoder", "decoder_mean", "decoder_scale")),
    )
)


def hyperprior() -> CompressAIAdapter:
    from compressai.models import ScaleHyperprior

    return ImageAdapter(ScaleHyperprior(N, M), LAMBDA)


def context() -> CompressAIAdapter:
    from compressai.models import JointAutoregressiveHierarchicalPriors

    return ImageAdapter(JointAutoregressiveHierarchicalPriors(N, M), LAMBDA)


def flow() -> CompressAIAdapter:
    return ScaleSpaceFlowAdapter(narrow_flow(), FLOW_LAMBDA)


STUDIES = {
    "hyperprior": Study(hyperprior, 3000, batch=4, unroll=1, frames=2, clips=4, networks=NETWORKS),
    "context": Study(context, 3000, batch=4, unroll=1, frames=2, clips=4, networks=(*NETWORKS, *AFTER_CONTEXT)),
    "flow": Study(
        flow,
        2400,
        size=128,
        unroll=2,
        clips=4,
        before=motion_first,
        first=0.5,
        photos=True,
        slow=SLOW,
        late=0.1,
        note=NARROWER,
        networks=FLOW_NETWORKS,
    ),
}

if __name__ == "__main__":
    main(STUDIES)
