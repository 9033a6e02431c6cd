"""Other codecs, through PyAV: one thread, PSNR-tuned, no B frames, no look-ahead, no scene cuts.

Their bytes are those of the elementary stream without user-data SEI (x264 and x265 write their settings there).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from quaver.media.frame import Frame
from quaver.media.planes import picture_of, planes_of

CRF = (18, 23, 28, 33, 38, 43)


@dataclass(frozen=True, slots=True)
class Peer:
    """An FFmpeg encoder and its options; ``{gop}`` stands for the distance of intra frames. ``rate``: the option that
    sets the rate; ``crf``: its usual values, which span the same qualities for every peer."""

    name: str
    encoder: str
    options: tuple[tuple[str, str], ...]
    nal: str | None  # "h264" or "hevc": whose SEI is left out
    rate: str = "crf"
    crf: tuple[float, ...] = CRF

    def settings(self, crf: float, gop: int) -> dict[str, str]:
        return {key: value.format(gop=gop) for key, value in self.options} | {self.rate: f"{crf:g}"}

    def describe(self, crf: float, gop: int) -> str:
        """One string that says everything."""
        pairs = " ".join(f"{key}={value}" for key, value in self.settings(crf, gop).items())
        return f"{self.encoder} {pairs} threads=1 bf=0 g={gop}"


def _x264(preset: str) -> Peer:
    options = (
        ("preset", preset),
        ("tune", "psnr,zerolatency"),
        ("x264-params", "keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:threads=1"),
    )
    return Peer(f"x264-{preset}", "libx264", options, "h264")


_X265 = "bframes=0:rc-lookahead=0:scenecut=0:open-gop=0:frame-threads=1:pools=none:keyint={gop}:min-keyint={gop}"
PEERS = {
    peer.name: peer
    for peer in (
        _x264("ultrafast"),
        _x264("medium"),
        Peer(
            "x265-medium",
            "libx265",
            (("preset", "medium"), ("tune", "psnr"), ("x265-params", _X265 + ":info=0:log-level=error")),
            "hevc",
        ),
        Peer(
            "svtav1-8",
            "libsvtav1",
            (("preset", "8"), ("svtav1-params", "tune=1:pred-struct=1:keyint={gop}:scd=0:lp=1:enable-overlays=0")),
            None,
            crf=(20, 30, 39, 47, 55, 63),
        ),
    )
}
GROUPS = {"x264": ("x264-ultrafast", "x264-medium"), "x265": ("x265-medium",), "svtav1": ("svtav1-8",)}


@dataclass(frozen=True, slots=True)
class Coded:
    """What a codec made of a clip."""

    frames: list[Frame]
    bytes: int
    encode_seconds: float
    decode_seconds: float


def available(peer: Peer) -> bool:
    """Whether this build of FFmpeg holds the encoder."""
    import av

    return peer.encoder in av.codecs_available


def code(peer: Peer, frames: Sequence[Frame], crf: float, gop: int) -> Coded:
    """Encode and decode a clip."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1: errors only

    format = frames[0].format
    rate = Fraction(round(format.frame_rate * 1000), 1000)
    encoder = av.CodecContext.create(peer.encoder, "w")
    encoder.width, encoder.height, encoder.pix_fmt = format.width, format.height, "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    encoder.gop_size, encoder.max_b_frames, encoder.thread_count = gop, 0, 1
    encoder.options = peer.settings(crf, gop)
    began = time.perf_counter()
    packets = []
    for number, frame in enumerate(frames):
        picture = picture_of((frame.y, frame.u, frame.v), format)
        picture.pts, picture.time_base = number, 1 / rate
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    encode_seconds = time.perf_counter() - began
    size = sum(payload_bytes(bytes(packet), peer.nal) for packet in packets)
    began = time.perf_counter()
    decoder = av.CodecContext.create({"h264": "h264", "hevc": "hevc"}.get(peer.nal or "", "libdav1d"), "r")
    decoder.thread_count = 1
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    pictures = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    decode_seconds = time.perf_counter() - began
    decoded = [Frame(*planes_of(picture), number, format) for number, picture in enumerate(pictures)]
    return Coded(decoded, size, encode_seconds, decode_seconds)


def payload_bytes(packet: bytes, nal: str | None) -> int:
    """Bytes of a packet in Annex B form without its SEI units; all bytes of other codecs."""
    if nal is None:
        return len(packet)
    sei = {6} if nal == "h264" else {39, 40}
    starts = []
    at = packet.find(b"\0\0\1")
    while at >= 0:
        starts.append(at - 1 if at > 0 and packet[at - 1] == 0 else at)
        at = packet.find(b"\0\0\1", at + 3)
    total = 0
    for start, end in zip(starts, [*starts[1:], len(packet)], strict=True):
        first = packet[packet.index(b"\1", start) + 1]
        kind = first & 31 if nal == "h264" else first >> 1 & 63
        total += 0 if kind in sei else end - start
    return total
