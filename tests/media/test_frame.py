"""The limits of a format and the colours of a frame."""

import numpy as np
import pytest

from quaver.errors import MediaError
from quaver.media.frame import Frame

from .samples import video_format


@pytest.mark.parametrize("size", [(15, 16), (16, 15), (16385, 16), (8193, 8192), (0, 0), (-16, 16)])
def test_sizes_outside_the_limits_are_refused_with_the_limits(size: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match=rf"{size[0]}x{size[1]} .* 16 to 16384 .* 67108864"):
        video_format(*size)


@pytest.mark.parametrize(
    ("ycc", "changes", "rgb"),
    [
        ((16, 128, 128), {}, (0, 0, 0)),
        ((235, 128, 128), {}, (255, 255, 255)),
        ((126, 128, 128), {"full_range": True}, (126, 126, 126)),
        ((81, 90, 240), {"matrix": 6}, (254, 0, 0)),
        ((63, 102, 240), {"matrix": 1}, (255, 1, 0)),
    ],
)
def test_rgb_follows_matrix_and_range(
    ycc: tuple[int, int, int], changes: dict[str, object], rgb: tuple[int, int, int]
) -> None:
    chosen = video_format(17, 19, **changes)
    shapes = (19, 17), (10, 9), (10, 9)
    frame = Frame(*(np.full(s, value, np.uint8) for s, value in zip(shapes, ycc, strict=True)), 0, chosen)
    picture = frame.to_rgb()
    assert picture.shape == (19, 17, 3)
    assert np.all(picture == np.array(rgb))
