"""Rows whose precision no plan changes: residual sums, GDN, and the skeleton's steps.

Operations are multiplications per call, from the map's rows and columns (luma samples for the skeleton), and widths
are those of the widest operands (docs/format/arithmetic.md).
"""

from __future__ import annotations

from fractions import Fraction

from quaver.lab.costs.layers import Layer
from quaver.lab.costs.workload import Workload


def add(call_site: str, channels: int, map: tuple[int, int], share: Fraction = Fraction(1)) -> Layer:
    """channels x positions additions of 8 bits, 8 bit operations each."""
    return Layer(call_site, "add", channels * map[0] * map[1], *map, share, channels, channels, bits=(1, 8))


def gdn(call_site: str, channels: int, map: tuple[int, int], share: Fraction = Fraction(1)) -> Layer:
    """Per position channels^2 multiplications for the norm and 3 channels for square, inverse root and product; in
    floating point. Source: Balle, Laparra, Simoncelli 2016."""
    operations = (channels**2 + 3 * channels) * map[0] * map[1]
    return Layer(call_site, "gdn", operations, *map, share, channels, channels, bits=(32, 32))


def skeleton(workload: Workload) -> list[Layer]:
    """Warp, transforms and entropy coding of a frame."""
    height, width = workload.padded
    inter, encode = 1 - workload.intra, workload.side == "encode"
    return [
        _whole("skeleton.warp", "warp", warp_operations(height, width), (height, width), inter, (8, 16)),
        # The decoder transforms back the residual, and transforms the prediction for the networks; the encoder also
        # the picture and the residual.
        _whole(
            "skeleton.transform",
            "transform",
            transform_operations(height, width),
            (height, width),
            Fraction(4 if encode else 2),
            (13, 16),
        ),
        _whole(
            "skeleton.entropy", "entropy", entropy_operations(height, width), (height, width), Fraction(1), (24, 32)
        ),
    ]


def warp_operations(height: int, width: int) -> int:
    """Motion compensation where every vector has two fractional components: each 8x8 luma block 15 rows of 8 samples
    by 8 taps, then 64 samples by 8 taps (23 per sample); each 4x4 chroma block 7 x 4 x 4 + 16 x 4 (11 per sample).
    Taps have 8 bits, sums between the directions 16."""
    return height * width * 23 + height * width // 2 * 11


def transform_operations(height: int, width: int) -> int:
    """One direction of the DCT as the matrices it is defined by: 64 per luma sample, 16 per chroma sample; entries of
    13 bits, samples of 16."""
    return height * width * 64 + height * width // 2 * 16


def entropy_operations(height: int, width: int) -> int:
    """At most 1.5 coefficients per luma sample, 8 vector components and 2 levels per 16x16 area; per symbol two
    products of a 32-bit range with a 24-bit probability. Certain zeros cost less: a bound."""
    return 2 * (height * width * 3 // 2 + height * width // 256 * 10)


def _whole(name: str, op: str, operations: int, map: tuple[int, int], share: Fraction, bits: tuple[int, int]) -> Layer:
    return Layer(name, op, operations, *map, share, bits=bits)
