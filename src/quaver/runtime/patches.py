"""Patch bits: how finely each 32x32 patch of an inter frame enters its networks.

Both sides sort patches into classes by integers that they know before the networks run; a table of the model says with
how many bits each network reads its inputs in a class, 0 for no corrections at all. See docs/format/arithmetic.md,
Patch bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.errors import ModelError
from quaver.runtime.picture import Plane

FEATURES = ("levels", "motion", "gradient", "change")
NETWORKS = ("inter.entropy", "inter.decoder", "inter.loop")
SIDE = 4  # blocks of a patch in each direction
FULL = 8  # bits: nothing is rounded
CLASS_LIMIT = 256
_LARGEST = 1 << 30  # no feature reaches it
_VERSION = 1
_PREFIX = "patches."

PerPatch = NDArray[np.int32]  # (patch rows, patch columns)


@dataclass(frozen=True, eq=False)
class PatchTable:
    """thresholds: of each feature, ascending; a patch's class counts those that its values reach. bits: uint8
    (classes, 3), 0..8 for each of `NETWORKS`."""

    thresholds: Mapping[str, tuple[int, ...]]
    bits: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if set(self.thresholds) != set(FEATURES):
            raise ModelError(f"patch table: thresholds must be of {', '.join(FEATURES)}")
        for feature in FEATURES:
            own = self.thresholds[feature]
            if any(a >= b for a, b in zip((0, *own), (*own, _LARGEST), strict=True)):
                raise ModelError(f"patch table: thresholds of {feature!r} must ascend within 1..{_LARGEST - 1}")
        if self.classes > CLASS_LIMIT:
            raise ModelError(f"patch table: {self.classes} classes; at most {CLASS_LIMIT} are legal")
        if self.bits.dtype != np.uint8 or self.bits.shape != (self.classes, len(NETWORKS)):
            raise ModelError(
                f"patch table: bits are {self.bits.dtype} {self.bits.shape}, must be uint8 {(self.classes, 3)}"
            )
        if self.bits.max() > FULL:
            raise ModelError(f"patch table: {self.bits.max()} bits; 0..{FULL} are legal")

    @property
    def classes(self) -> int:
        """How many classes the thresholds make."""
        return int(np.prod([len(self.thresholds[feature]) + 1 for feature in FEATURES], dtype=object))

    def classify(self, features: Mapping[str, PerPatch]) -> NDArray[np.intp]:
        """Classes (patch rows, patch columns), the digits of FEATURES in mixed radix; a feature without thresholds
        may be missing."""
        result: Any = 0
        for feature in FEATURES:
            own = self.thresholds[feature]
            digit = np.searchsorted(own, features[feature], side="right") if own else 0
            result = result * (len(own) + 1) + digit
        return np.asarray(result, np.intp)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As a model file holds them."""
        own = {_PREFIX + feature: np.array(self.thresholds[feature], np.int32) for feature in FEATURES}
        return {_PREFIX + "bits": self.bits, **own}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PatchTable:
        """Inverse of `arrays`; ModelError where they are not all there or illegal."""
        thresholds = {}
        for feature in FEATURES:
            own = arrays.get(_PREFIX + feature)
            if own is None or own.dtype != np.int32 or own.ndim != 1 or len(own) >= CLASS_LIMIT:
                raise ModelError(f"array {_PREFIX + feature!r} is missing or not int32 (0..{CLASS_LIMIT - 1})")
            thresholds[feature] = tuple(int(value) for value in own)
        if _PREFIX + "bits" not in arrays:
            raise ModelError(f"array {_PREFIX + 'bits'!r} is missing")
        return cls(thresholds, arrays[_PREFIX + "bits"])

    def to_json(self) -> str:
        """For files of the laboratory."""
        thresholds = {feature: list(self.thresholds[feature]) for feature in FEATURES}
        return json.dumps({"version": _VERSION, "thresholds": thresholds, "bits": self.bits.tolist()})

    @classmethod
    def from_json(cls, text: str, where: str = "patch table") -> PatchTable:
        """ModelError says what is wrong with it."""
        try:
            plain = json.loads(text)
            if plain["version"] != _VERSION:
                raise ModelError(f"version {plain['version']}; this version reads {_VERSION}")
            bits = np.array(plain["bits"])
            if bits.dtype.kind != "i" or bits.min(initial=0) < 0 or bits.max(initial=0) > FULL:
                raise ModelError(f"bits must be whole numbers 0..{FULL}, as many in each class")
            thresholds = {str(name): tuple(int(each) for each in own) for name, own in plain["thresholds"].items()}
            return cls(thresholds, bits.astype(np.uint8))
        except (ModelError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ModelError(f"{where}: not a legal patch table: {error}") from error


def patch_bits(
    table: PatchTable,
    past: Plane,
    prediction: NDArray[np.int32],
    vectors: NDArray[np.int16],
    levels: NDArray[np.int32],
) -> NDArray[np.uint8]:
    """(3, patch rows, patch columns): bits with which each of NETWORKS reads each patch; arguments as for
    `patch_features`."""
    wanted = [feature for feature in FEATURES if table.thresholds[feature]]
    classes = table.classify(patch_features(past, prediction, vectors, levels, wanted))
    rows, columns = (-(-count // SIDE) for count in vectors.shape[:2])
    return table.bits[np.broadcast_to(classes, (rows, columns))].transpose(2, 0, 1)


def patch_features(
    past: Plane,
    prediction: NDArray[np.int32],
    vectors: NDArray[np.int16],
    levels: NDArray[np.int32],
    wanted: list[str] | tuple[str, ...] = FEATURES,
) -> dict[str, PerPatch]:
    """The `wanted` features of every patch. past, prediction: luma (Hp, Wp) of the last picture, 8 bits, and of the
    prediction, 4 fractional bits; vectors (h8, w8, 2); levels (2, h16, w16)."""
    found = {}
    if "gradient" in wanted or "change" in wanted:
        predicted = np.clip((prediction + 8) >> 4, 0, 255)
    for feature in wanted:
        if feature == "levels":
            blocks = levels.sum(0).repeat(2, 0).repeat(2, 1)
        elif feature == "motion":
            blocks = np.abs(vectors.astype(np.int32)).sum(2)
        elif feature == "gradient":
            blocks = _of_blocks(_gradient(predicted))
        else:
            blocks = _of_blocks(np.abs(predicted - past))
        found[feature] = _of_patches(blocks)
    return found


def _gradient(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    """|difference to the sample on the left| + |to the one above|; 0 where there is none."""
    result = np.zeros_like(samples)
    result[:, 1:] = np.abs(np.diff(samples, axis=1))
    result[1:] += np.abs(np.diff(samples, axis=0))
    return result


def _of_blocks(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over 8x8 samples; whole rows first, which is several times faster."""
    height, width = samples.shape
    rows = samples.reshape(height // 8, 8, width).sum(1, dtype=np.int32)
    return rows.reshape(height // 8, width // 8, 8).sum(2, dtype=np.int32)


def _of_patches(blocks: NDArray[np.int32]) -> PerPatch:
    """Sums over 4x4 blocks. The last row and column of patches may be 2 blocks wide: their sums count twice."""
    rows, columns = blocks.shape
    padded = np.pad(blocks, ((0, -rows % SIDE), (0, -columns % SIDE)))
    sums = padded.reshape(padded.shape[0] // SIDE, SIDE, -1, SIDE).sum((1, 3), dtype=np.int32)
    sums[-1:] *= SIDE // ((rows - 1) % SIDE + 1)
    sums[:, -1:] *= SIDE // ((columns - 1) % SIDE + 1)
    return sums


_HALF = np.array([128, *((1 << (FULL - bits)) >> 1 for bits in range(1, FULL + 1))], np.uint8)
_KEPT = np.array([128, *(256 - (1 << (FULL - bits)) for bits in range(1, FULL + 1))], np.uint8)


def round_codes(codes: NDArray[np.uint8], bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (C, h, w) with zero-point 128 at `bits` (h, w): for b of 1..8 the nearest 128 + k 2**(8-b) of 0..255, half
    a step upwards; 128 for b = 0."""
    return rounded(codes, *rounding(bits))


def rounding(bits: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(half a step, the bits that are kept). With 0 bits half a step is 128, and of 128..255 the upper bit is kept."""
    return _HALF[bits], _KEPT[bits]


def rounded(codes: NDArray[np.uint8], half: NDArray[np.uint8], kept: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `rounding` says."""
    result = np.minimum(codes, 255 - half)
    result += half
    result &= kept
    return result


def per_position(patches: NDArray[Any], side: int, shape: tuple[int, int]) -> NDArray[Any]:
    """A value per patch to one per position of a map on which a patch has `side` positions in each direction."""
    return patches.repeat(side, -2).repeat(side, -1)[..., : shape[0], : shape[1]]
