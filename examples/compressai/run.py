"""python -m examples.compressai.run --codec hyperprior --data VIDEOS --out results/other_codecs.tsv

Needs CompressAI (`pip install compressai`). Scale-space flow has its published width and takes hours on a processor.
"""

from __future__ import annotations

from ..study import Study, main
from .adapter import CompressAIAdapter, ImageAdapter, ScaleSpaceFlowAdapter

LAMBDA = 0.01  # bits per luma sample and unit of squared error on 0..255
N, M = 16, 24  # channels of image models; published: 128 to 192, 192 to 320


def hyperprior() -> CompressAIAdapter:
    from compressai.models import ScaleHyperprior

    return ImageAdapter(ScaleHyperprior(N, M), LAMBDA)


def context() -> CompressAIAdapter:
    from compressai.models import JointAutoregressiveHierarchicalPriors

    return ImageAdapter(JointAutoregressiveHierarchicalPriors(N, M), LAMBDA)


def flow() -> CompressAIAdapter:
    from compressai.models.video.google import ScaleSpaceFlow

    return ScaleSpaceFlowAdapter(ScaleSpaceFlow(), LAMBDA)


STUDIES = {
    "hyperprior": Study(hyperprior, 3000, batch=4, unroll=1, frames=2, clips=4),
    "context": Study(context, 3000, batch=4, unroll=1, frames=2, clips=4),
    "flow": Study(flow, 60, size=128, batch=1, unroll=2, frames=4),
}

if __name__ == "__main__":
    main(STUDIES)
