"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quaver.errors import MediaError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name to write to, beside `path`; it is renamed when all went well, else removed. MediaError names `path`
    where it cannot be written."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
