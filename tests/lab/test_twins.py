"""Every torch twin equals its integer definition bit for bit on random legal input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaver.lab.twin import companding as companding_twin
from quaver.lab.twin import haar as haar_twin
from quaver.lab.twin import pyramid as pyramid_twin
from quaver.lab.twin import transform as transform_twin
from quaver.lab.twin import warp as warp_twin
from quaver.runtime import companding, haar, pyramid, transform, warp
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


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("reach", [3, 40, 1023])
def test_motion_compensation(reach: int, autocast: bool) -> None:
    rng = np.random.default_rng(reach)
    pictures, vectors = [], []
    for _ in range(2):
        pictures.append(Picture(*(p.astype(np.uint8) for p in _planes(rng, 0, 256, 32, 48))))
        vectors.append(rng.integers(-reach, reach + 1, (4, 6, 2)).astype(np.int16))
    planes = [torch.from_numpy(np.stack([getattr(p, name) for p in pictures])).double() for name in "yuv"]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):  # as training has it around everything
        got = warp_twin.compensate(tuple(planes), torch.from_numpy(np.stack(vectors)))
    for number in range(2):
        for plane, wanted in zip(got, warp.compensate(pictures[number], vectors[number]), strict=True):
            np.testing.assert_array_equal(plane[number].numpy(), wanted)


def test_slope_in_a_vector_is_the_central_difference() -> None:
    rng = np.random.default_rng(4)
    planes = tuple(torch.from_numpy(p)[None].double() for p in _planes(rng, 0, 256, 32, 48))
    vectors = torch.from_numpy(rng.integers(-30, 31, (1, 4, 6, 2))).float()
    weights = [torch.from_numpy(rng.normal(size=plane.shape)) for plane in planes]

    def total(moved: torch.Tensor) -> torch.Tensor:
        return sum((w * p).sum() for w, p in zip(weights, warp_twin.compensate(planes, moved), strict=True))

    moving = vectors.clone().requires_grad_()
    for plain, tracked in zip(warp_twin.compensate(planes, vectors), warp_twin.compensate(planes, moving), strict=True):
        assert torch.equal(plain, tracked)
    (gradient,) = torch.autograd.grad(total(moving), moving)
    for row, column, component in ((0, 0, 0), (2, 3, 1), (3, 5, 0)):
        step = torch.zeros_like(vectors)
        step[0, row, column, component] = 1
        wanted = (total(vectors + step) - total(vectors - step)) / 2
        assert gradient[0, row, column, component].item() == pytest.approx(wanted.item(), rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("reach", [2, 1023])
def test_haar_both_ways(reach: int) -> None:
    vectors = np.random.default_rng(reach).integers(-reach, reach + 1, (2, 6, 10, 2)).astype(np.int16)
    latents = haar_twin.forward(torch.from_numpy(vectors).float())
    np.testing.assert_array_equal(latents.numpy(), np.stack([haar.forward(v) for v in vectors]))
    np.testing.assert_array_equal(haar_twin.inverse(latents).numpy(), vectors)
    disturbed = latents + torch.randint(-5, 6, latents.shape)
    wanted = np.stack([haar.inverse(each.numpy().astype(np.int32)) for each in disturbed])
    np.testing.assert_array_equal(haar_twin.inverse(disturbed).numpy(), wanted)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 34)])
def test_pyramid_residual(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[1])
    values, past = rng.integers(-300, 300, (2, 2, 2, *shape)).astype(np.int32)
    known = torch.from_numpy(values).float().requires_grad_()
    got = pyramid_twin.residual(known, torch.from_numpy(past).float())
    np.testing.assert_array_equal(got.detach().numpy(), pyramid.residual(values, past))
    # A neighbour that is the median takes away what a position gains by it.
    (gradient,) = torch.autograd.grad(got.sum(), known)
    assert ((gradient - gradient.round()).abs() < 1e-6).all() and gradient.max() <= 1


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
