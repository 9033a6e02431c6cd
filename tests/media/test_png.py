"""PNG files hold the samples they were given."""

import io

import av
import numpy as np
import pytest

from quaver.media.png import encode_png


@pytest.mark.parametrize("shape", [(16, 16), (23, 17), (1, 33)])
def test_samples_come_back(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (*shape, 3), np.uint8)
    data = encode_png(rgb)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    with av.open(io.BytesIO(data)) as container:
        picture = next(container.decode(video=0))
    assert picture.format.name == "rgb24"
    rows = np.frombuffer(picture.planes[0], np.uint8).reshape(shape[0], -1)
    assert np.array_equal(rows[:, : 3 * shape[1]].reshape(rgb.shape), rgb)


def test_a_view_is_written_like_its_copy() -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (20, 30, 3), np.uint8)
    assert encode_png(rgb[::2, ::-1]) == encode_png(rgb[::2, ::-1].copy())
