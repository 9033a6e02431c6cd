"""python -m examples.dcvc_shaped.run --data VIDEOS --out results/other_codecs.tsv"""

from __future__ import annotations

from ..study import Study, main
from .adapter import DcvcAdapter
from .model import DcvcShaped
from .training import motion_first

LAMBDA = 0.03  # bits per luma sample and unit of squared error on 0..255

if __name__ == "__main__":
    main({"dcvc-shaped": Study(lambda: DcvcAdapter(DcvcShaped(), LAMBDA), 900, before=motion_first)})
