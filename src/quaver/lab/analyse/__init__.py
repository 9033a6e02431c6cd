"""Sensitivity of a codec's parts to low precision, in J = R + lambda D, in closed loop.

from quaver.lab.analyse import AnalyseConfig, QuaverAdapter, analyse, choose_clips

table = analyse(QuaverAdapter.load(checkpoint), choose_clips(cache, 4, 32, 128), out=folder)
table.to_polars(); table.heatmap()
"""

from quaver.lab.analyse.adapter import CodecAdapter, Step
from quaver.lab.analyse.analysis import analyse
from quaver.lab.analyse.clips import ClipSet, choose_clips
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.table import SensitivityTable

__all__ = [
    "AnalyseConfig",
    "ClipSet",
    "CodecAdapter",
    "QuaverAdapter",
    "SensitivityTable",
    "Step",
    "analyse",
    "choose_clips",
]
