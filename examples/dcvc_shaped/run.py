"""python -m examples.dcvc_shaped.run --data VIDEOS --out results/other_codecs.tsv"""

from __future__ import annotations

from ..study import Study, main
from .adapter import DcvcAdapter
from .model import DcvcShaped
from .training import motion_first

LAMBDA = 0.03  # bits per luma sample and unit of squared error on 0..255
PRIORS = ("intra_prior", "mv_prior", "prior")
NETWORKS = (  # what `--export` writes
    *("intra_encoder", "intra_decoder", "intra_out", "motion", "mv_encoder", "mv_decoder", "feature", "context"),
    *("encoder", "decoder", "temporal", "reconstruct", "out"),
    *(f"{prior}.{part}" for prior in PRIORS for part in ("encoder", "decoder", "fuse")),
)
STUDIES = {"dcvc-shaped": Study(lambda: DcvcAdapter(DcvcShaped(), LAMBDA), 900, before=motion_first, networks=NETWORKS)}

if __name__ == "__main__":
    main(STUDIES)
