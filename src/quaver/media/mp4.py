"""H.264 in MP4, through FFmpeg and x264: lossy, for showing pictures to programs that read nothing else."""

from __future__ import annotations

from typing import BinaryIO

import av

from quaver.media.frame import Frame, VideoFormat
from quaver.media.planes import picture_of, tag

_SITING = ("left", "center", "topleft", "top", "bottomleft", "bottom")  # FFmpeg's names, by H.273 ChromaLocType
_LARGEST_TIMESCALE = 2**31 - 1


class Mp4Writer:
    """Encodes even-sized frames at constant quality (CRF 16) and writes them to a seekable `file`."""

    def __init__(self, file: BinaryIO, video_format: VideoFormat) -> None:
        self._format = video_format
        rate = video_format.frame_rate.limit_denominator(100_000)
        timescale = str(min(video_format.time_base.denominator, _LARGEST_TIMESCALE))
        options = {"video_track_timescale": timescale, "movie_timescale": timescale}
        self._container = av.open(file, "w", format="mp4", options=options)
        self._stream = self._container.add_stream(
            "libx264",
            rate=rate,
            options={"crf": "16", "chroma_sample_location": _SITING[video_format.chroma_location]},
            width=video_format.width,
            height=video_format.height,
            time_base=video_format.time_base,
        )
        self._stream.codec_context.sample_aspect_ratio = video_format.sample_aspect.limit_denominator(65535)
        if video_format.rotation:  # FFmpeg counts counter-clockwise
            self._stream.set_display_rotation(-video_format.rotation)
        tag(self._stream.codec_context, video_format)

    def write(self, frame: Frame) -> None:
        picture = picture_of((frame.y, frame.u, frame.v), self._format)
        picture.pts, picture.time_base = frame.pts, self._format.time_base
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds and the index."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
