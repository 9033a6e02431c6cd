"""Errors that a user can act on. Each prints as one line: what, where, what would be legal."""

from __future__ import annotations

from os import PathLike, fspath

PathName = str | PathLike[str] | None


class QuaverError(Exception):
    """Base of every error Quaver raises on purpose; its message is one line."""


class UsageError(QuaverError):
    """An argument is out of range or options contradict each other."""


class MediaError(QuaverError):
    """A video file cannot be read or written."""


class ModelError(QuaverError):
    """A model is missing, damaged, or not the one a stream was made with."""


class StreamError(QuaverError):
    """A Quaver stream is damaged; names the file and the byte offset where that was noticed."""

    def __init__(self, reason: str, path: PathName = None, offset: int | None = None) -> None:
        self.reason, self.path, self.offset = reason, path, offset
        where = fspath(path) if path is not None else "stream"
        at = f" at byte {offset}" if offset is not None else ""
        super().__init__(f"{where}{at}: {reason}")

    def located(self, path: PathName, offset: int | None) -> StreamError:
        """The same error with a place, for callers that know where the bytes came from."""
        return StreamError(self.reason, self.path or path, self.offset if self.offset is not None else offset)
