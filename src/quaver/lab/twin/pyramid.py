"""Twin of `quaver.runtime.pyramid`, batched: a residual's gradient also reaches the neighbours it is predicted from."""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.runtime.pyramid import visits


def residual(values: Tensor, temporal: Tensor) -> Tensor:
    """What is coded of `values` (..., h, w) beside the last frame's `temporal`; integers in floating point."""
    result = torch.empty_like(values)
    for step in visits(*values.shape[-2:]):
        here = (..., torch.from_numpy(step.rows), torch.from_numpy(step.columns))
        predicted = temporal[here]
        if step.around:
            around = [values[..., torch.from_numpy(r), torch.from_numpy(c)] for r, c in step.around]
            predicted = torch.stack([*around, predicted]).sort(0).values[2]
        result[here] = values[here] - predicted
    return result
