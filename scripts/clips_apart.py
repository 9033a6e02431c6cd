"""Training clips in two halves that share no source: one to score, calibrate and train with, one to measure on."""

from __future__ import annotations

from quaver.lab.data.cache import ClipCache


def halves(cache: ClipCache) -> tuple[ClipCache, ClipCache]:
    """Sources in order of their names, every third for measuring."""
    sources = sorted({clip.source for clip in cache.clips})
    apart = set(sources[1::3])
    to_use = tuple(clip for clip in cache.clips if clip.source not in apart)
    to_measure = tuple(clip for clip in cache.clips if clip.source in apart)
    return ClipCache(to_use), ClipCache(to_measure)
