"""What an interrupted run goes on from: a file beside the one that the run is to write."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from quaver.evaluate.output import replacing


class Unfinished:
    """The state of a run that is to write `out`, in OUT.state.

    key: a hash of all that the run depends on, its code among it. A state with another key, or one that cannot be read,
    is left aside: `say` is told so in one line, and the run begins anew.
    """

    def __init__(self, out: Path, key: str, say: Callable[[str], None] = lambda line: None) -> None:
        self.path = out.with_name(f"{out.name}.state")
        self._key, self._say = key, say

    def load(self) -> dict[str, Any]:
        """What was kept last; nothing where nothing of this run was."""
        if not self.path.exists():
            return {}
        try:
            found: dict[str, Any] = torch.load(self.path, weights_only=True)
            if found.pop("key") == self._key:
                return found
            reason = "of other settings, inputs or code"
        except Exception:  # of what is no state torch's reader makes a dozen different ones
            reason = "not a state, or damaged"
        self._say(f"{self.path}: {reason}; beginning anew")
        return {}

    def keep(self, **content: Any) -> None:
        """Numbers, texts, lists and tensors, in place of what was kept before; written beside and renamed. MediaError
        where it cannot be written."""
        whole = io.BytesIO()  # torch makes a RuntimeError of a full disk
        torch.save({"key": self._key, **content}, whole)
        with replacing(self.path) as part:
            part.write_bytes(whole.getvalue())

    def remove(self) -> None:
        """When `out` is written."""
        self.path.unlink(missing_ok=True)
