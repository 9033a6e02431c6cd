"""Every torch twin equals its integer definition bit for bit on random legal input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaver.lab.twin import companding as companding_twin
from quaver.lab.twin import transform as transform_twin
from quaver.lab.twin import warp as warp_twin
from quaver.runtime import companding, transform, warp
from quaver.runtime.picture import Picture


def _planes(rng: np.random.Generator, low: int, high: int, height: int, width: int) -> list[np.ndarray]:
    shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    return [rng.integers(low, high, shape).astype(np.int32) for shape in shapes]


@pytest.mark.parametrize("seed", range(4))
def test_transform_both_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limit = (4096, 60, 16, 40000)[seed]
    y, u, v = _planes(rng, -limit, limit, 48, 64)
    expected = transform.forward((y, u, v))
    got = transform_twin.forward(tuple(torch.from_numpy(p)[None] for p in (y, u, v)))
    np.testing.assert_array_equal(got[0].numpy(), expected)
    coefficients = rng.integers(-limit, limit, (96, 6, 8)).astype(np.int32)
    inverse = transform_twin.inverse(torch.from_numpy(coefficients)[None])
    for plane, wanted in zip(inverse, transform.inverse(coefficients), strict=True):
        np.testing.assert_array_equal(plane[0].numpy(), wanted)


@pytest.mark.parametrize("reach", [3, 40, 1023])
def test_motion_compensation(reach: int) -> None:
    rng = np.random.default_rng(reach)
    pictures, vectors = [], []
    for _ in range(2):
        pictures.append(Picture(*(p.astype(np.uint8) for p in _planes(rng, 0, 256, 32, 48))))
        vectors.append(rng.integers(-reach, reach + 1, (4, 6, 2)).astype(np.int16))
    planes = [torch.from_numpy(np.stack([getattr(p, name) for p in pictures])).double() for name in "yuv"]
    got = warp_twin.compensate(tuple(planes), torch.from_numpy(np.stack(vectors)))
    for number in range(2):
        for plane, wanted in zip(got, warp.compensate(pictures[number], vectors[number]), strict=True):
            np.testing.assert_array_equal(plane[number].numpy(), wanted)


def test_motion_compensation_is_differentiable_in_the_reference() -> None:
    planes = [torch.rand(1, *shape, dtype=torch.float64) * 255 for shape in ((16, 32), (8, 16), (8, 16))]
    planes[0].requires_grad_()
    y, _, _ = warp_twin.compensate(tuple(planes), torch.ones(1, 2, 4, 2, dtype=torch.int16))
    (gradient,) = torch.autograd.grad(y.sum(), planes[0])
    # The filters' gain is 16 (four fractional bits) at every inner sample.
    assert gradient[0, 8, 16].item() == pytest.approx(16, abs=1e-3)


def test_expansion_of_codes() -> None:
    codes = np.arange(1, 256, dtype=np.uint8)
    got = companding_twin.expand(torch.from_numpy(codes.astype(np.float32)) - 128)
    np.testing.assert_array_equal(got.numpy(), companding.expand(codes))
    slope = torch.linspace(-120, 120, 31, requires_grad=True)
    companding_twin.expand(slope).sum().backward()
    assert (slope.grad >= 3.9).all()
