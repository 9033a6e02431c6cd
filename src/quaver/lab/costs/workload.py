"""For which video, and for which side, costs are counted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from quaver.errors import UsageError
from quaver.runtime.model import ENCODER_GRAPHS

# Luma samples per position of a network's map, in each direction; the others work on 8x8 blocks.
_DOWN = {"loop": 2, "motion.average": 16, "motion.detail": 16, "motion.encoder": 16}


@dataclass(frozen=True, slots=True)
class Workload:
    """The mean frame of closed groups of `gop` frames, one of them intra.

    width, height: luma samples. side: "decode", or "encode", which runs the decoder's networks too.
    """

    width: int = 640
    height: int = 360
    gop: int = 32
    side: str = "decode"

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.gop) < 1:
            raise UsageError(f"a workload of {self.width}x{self.height} in groups of {self.gop}: all must be positive")
        if self.side not in ("decode", "encode"):
            raise UsageError(f"side {self.side!r}: decode and encode are known")

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of luma that are coded."""
        return -(-self.height // 16) * 16, -(-self.width // 16) * 16

    @property
    def intra(self) -> Fraction:
        return Fraction(1, self.gop)

    def map(self, network: str) -> tuple[int, int]:
        """(rows, columns) that a network, such as "inter.loop", works on."""
        down = _DOWN.get(network) or _DOWN.get(network.rpartition(".")[2], 8)
        rows, columns = self.padded
        return rows // down, columns // down

    def share(self, network: str) -> Fraction:
        """How often a network runs per frame."""
        if self.side == "decode" and network in ENCODER_GRAPHS:
            return Fraction(0)
        return self.intra if network.startswith("intra.") else 1 - self.intra
