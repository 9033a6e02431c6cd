"""Quaver: a neural video codec that runs in low-precision integers. See README.md.

``Encoder``, ``Decoder``, ``open``, ``Frame``, ``VideoFormat`` and the errors are the public interface of the
core; they are imported when first used, so that importing quaver costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quaver.codec.decoder import Decoder
    from quaver.codec.decoder import Decoder as open
    from quaver.codec.encoder import Encoder
    from quaver.errors import QuaverError
    from quaver.media.frame import Frame, VideoFormat

__all__ = ["Decoder", "Encoder", "Frame", "QuaverError", "VideoFormat", "open"]

_WHERE = {
    "Decoder": ("quaver.codec.decoder", "Decoder"),
    "Encoder": ("quaver.codec.encoder", "Encoder"),
    "Frame": ("quaver.media.frame", "Frame"),
    "QuaverError": ("quaver.errors", "QuaverError"),
    "VideoFormat": ("quaver.media.frame", "VideoFormat"),
    "open": ("quaver.codec.decoder", "Decoder"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("quaver")
    if name not in _WHERE:
        raise AttributeError(f"module 'quaver' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
