"""Bit-widths as real numbers: quantizers between two widths, and what widths between two cost.

    Q_b(x) = (1 - f) Q_n(x) + f Q_(n+1)(x),  b = n + f

Source: Yang & Jin, FracBits, AAAI 2021, section 3.2; one convolution of interpolated weights and inputs, as Cai &
Vasconcelos (EdMIPS, CVPR 2020) mix all widths at once, which costs a quantization for each. Costs are exact at whole
widths and bilinear between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant.error import mean_error, quantization_error
from quaver.lab.quant.scale import Scale


class Widths(nn.Module):
    """Real bit-widths of call sites, `weights` and `inputs` (n,), within the first and last of a range each."""

    def __init__(self, sites: Sequence[str], weight_bits: range, activation_bits: range, start: float = 1.0) -> None:
        """start: where in its range each begins, 0 to 1."""
        super().__init__()
        self.sites, self.ranges = tuple(sites), {"w": weight_bits, "a": activation_bits}
        for kind, widths in self.ranges.items():
            if len(widths) < 2 or widths.step != 1:
                raise UsageError(f"widths {list(widths)}: at least two in a row are legal")
            value = widths[0] + start * (widths[-1] - widths[0])
            self.register_parameter(kind, nn.Parameter(torch.full((len(sites),), value)))

    def of(self, kind: str) -> Tensor:
        """(n,) weights ("w") or inputs ("a")."""
        found: Tensor = getattr(self, kind)
        return found

    def split(self, kind: str) -> tuple[Tensor, Tensor]:
        """(n,) number of the lower width in its range, and the share f of the one above it."""
        widths, bits = self.ranges[kind], self.of(kind)
        lower = (bits.detach() - widths[0]).floor().clamp(0, len(widths) - 2)
        return lower.long(), bits - widths[0] - lower

    @torch.no_grad()
    def limit(self) -> None:
        """Back into the ranges, after a step."""
        for kind, widths in self.ranges.items():
            self.of(kind).clamp_(widths[0], widths[-1])

    @torch.no_grad()
    def hard(self, threshold: float = 0.5) -> dict[str, tuple[int, int]]:
        """Whole (weight, activation) bits by call site: up where f is at least the threshold. From 0.5 to above 1 bits
        fall layer by layer, those first that were nearest to the width below; beyond, all fall by whole bits."""

        def whole(kind: str) -> list[int]:
            widths = self.ranges[kind]
            rounded = [math.floor(bits + 1 - threshold) for bits in self.of(kind).tolist()]
            return [min(max(bits, widths[0]), widths[-1]) for bits in rounded]

        return dict(zip(self.sites, zip(whole("w"), whole("a"), strict=True), strict=True))


class Tape:
    """Quantization errors of a forward pass."""

    def __init__(self) -> None:
        self.errors: list[Tensor] = []

    def take(self) -> Tensor:
        """Their mean, and an empty tape."""
        total = mean_error(self.errors)
        self.errors = []
        return total


class Relaxed:
    """A quantizer of one call site's weight or input between two widths. grids: by width, as in the range."""

    def __init__(self, widths: Widths, kind: str, place: int, grids: Sequence[Scale], tape: Tape) -> None:
        self._widths, self._kind, self._place = widths, kind, place
        self._grids, self._tape = grids, tape
        self._fixed: dict[int, Tensor] = {}  # of a weight that is not trained, by number of the width

    @property
    def current(self) -> Scale:
        """Of the lower width."""
        return self._grids[int(self._widths.split(self._kind)[0][self._place])]

    def __call__(self, x: Tensor, /) -> Tensor:
        lower, share = (part[self._place] for part in self._widths.split(self._kind))
        narrow, wide = (self._on_grid(int(lower) + up, x) for up in (0, 1))
        result = torch.lerp(narrow, wide, share)
        self._tape.errors.append(quantization_error(x, result))
        return result

    def _on_grid(self, number: int, x: Tensor) -> Tensor:
        if self._kind == "a" or x.requires_grad:
            return self._grids[number].fake_quantize(x)
        if number not in self._fixed:
            self._fixed[number] = self._grids[number].fake_quantize(x)
        return self._fixed[number]


class CostTables:
    """Budgets' costs of every call site at every pair of widths, as shares of `full`; `fixed`: what no width changes.

    tables: by budget (n, weight widths, activation widths).
    """

    def __init__(self, tables: Mapping[str, Tensor], fixed: Mapping[str, float], full: Mapping[str, float]) -> None:
        self.full = dict(full)
        self._tables = {key: (table.double() / full[key]).float() for key, table in tables.items()}
        self._fixed = {key: value / full[key] for key, value in fixed.items()}

    def shares(self, widths: Widths) -> dict[str, Tensor]:
        """By budget: a scalar, differentiable in the widths."""
        (w, f), (a, g) = widths.split("w"), widths.split("a")
        row = torch.arange(len(w))
        found = {}
        for key, table in self._tables.items():
            low = torch.lerp(table[row, w, a], table[row, w + 1, a], f)
            high = torch.lerp(table[row, w, a + 1], table[row, w + 1, a + 1], f)
            found[key] = torch.lerp(low, high, g).sum() + self._fixed[key]
        return found
