"""python -m examples.compressai.run --codec hyperprior --data VIDEOS --out results/other_codecs.tsv

Needs CompressAI (../README.md says how). All codecs here are narrower than published: minutes of one core each.
"""

from __future__ import annotations

from ..study import Study, main
from .adapter import CompressAIAdapter, ImageAdapter, ScaleSpaceFlowAdapter
from .flow import INSIDE, LATENTS, narrow_flow

LAMBDA = 0.01  # bits per luma sample and unit of squared error on 0..255
N, M = 16, 24  # channels of image models; published: 128 to 192, 192 to 320
NARROWER = f"narrower than published: {INSIDE} channels inside and {LATENTS} of latents for 128 and 192"


def hyperprior() -> CompressAIAdapter:
    from compressai.models import ScaleHyperprior

    return ImageAdapter(ScaleHyperprior(N, M), LAMBDA)


def context() -> CompressAIAdapter:
    from compressai.models import JointAutoregressiveHierarchicalPriors

    return ImageAdapter(JointAutoregressiveHierarchicalPriors(N, M), LAMBDA)


def flow() -> CompressAIAdapter:
    return ScaleSpaceFlowAdapter(narrow_flow(), LAMBDA)


STUDIES = {
    "hyperprior": Study(hyperprior, 3000, batch=4, unroll=1, frames=2, clips=4),
    "context": Study(context, 3000, batch=4, unroll=1, frames=2, clips=4),
    "flow": Study(flow, 700, size=128, batch=1, unroll=2, frames=4, clips=4, note=NARROWER),
}

if __name__ == "__main__":
    main(STUDIES)
