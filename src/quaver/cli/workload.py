"""What several commands ask for: the picture size that costs are counted for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from quaver.errors import UsageError

if TYPE_CHECKING:
    from quaver.lab.costs.workload import Workload


def workload_of(size: str, side: str = "decode") -> Workload:
    """From WIDTHxHEIGHT and decode or encode."""
    from quaver.lab.costs.workload import Workload

    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None:
        raise UsageError(f"--size {size}: legal is WIDTHxHEIGHT, such as 640x360")
    return Workload(int(match[1]), int(match[2]), side=side)
