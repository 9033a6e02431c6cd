"""Convolutions that know the 8-bit grids they run on.

In float mode a target site (`models.sites`) clips what a convolution makes; in integer mode it computes what the
runtime computes (`quaver.runtime.graph`), on integer-valued float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.lab.models.sites import Site, broadcast
from quaver.lab.models.weight_grid import WeightGrid
from quaver.lab.twin.rounding import round_ste

WEIGHT_BITS = 7  # where no plan says otherwise; most that the runtime takes
SPLIT_GAIN = 32  # weight of an entry's split or moved channels: fine enough for a quarter of a step, and 7 bits
_LEAST_RESCALE = 2.0**-9  # of an entry that moves codes, which thereby stay below 2**24 in the accumulator
_MOST_MOVED = 2.0**21  # what is added to accumulators so that channels have zero-points of their own


class Conv(nn.Module):
    """A convolution from one site to another; a target with zero-point 0 is a clamped ReLU.

    ``bits``: of the weights, one number or one per output channel (0: pruned). ``log_clip``: (O,) logarithm of the
    share of a channel's largest weight that the codes reach to. ``entry``: a site with fewer bits or other scales
    than the source, which the input is brought to first. ``given``: weight codes from elsewhere: a search.
    """

    weight_limit: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, groups: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.kernel, self.groups, self.integer = kernel, groups, False
        fan = inputs // groups * kernel * kernel
        self.weight = nn.Parameter(torch.randn(outputs, inputs // groups, kernel, kernel) * gain / fan**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.log_clip = nn.Parameter(torch.zeros(outputs))
        self.entry: Site | None = None
        self.given: Callable[[], Tensor] | None = None
        self.register_buffer("weight_limit", torch.empty(outputs), persistent=False)
        self.set_bits(WEIGHT_BITS)

    def set_bits(self, bits: int | tuple[int, ...]) -> None:
        """|q| <= 2**(bits - 1) - 1, for all output channels or each."""
        each = torch.tensor(bits, device=self.weight_limit.device).expand(self.weight_limit.shape)
        self.weight_limit.copy_(torch.where(each > 0, 2.0 ** (each - 1) - 1, 0.0))

    def forward(self, x: Tensor, source: Site, target: Site) -> Tensor:
        if not self.integer:
            y = F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2, groups=self.groups)
            if target.observing:
                # The peak that 99.99 % of the values stay below, as the largest over calls.
                flat = y.detach().float().abs().flatten()
                peak = flat.kthvalue(max(1, int(flat.numel() * 0.9999))).values
                target.peak.copy_(torch.maximum(target.peak, peak))
            return target.clip(y)
        sums, multiplier = self.accumulate(x, source, target)
        return target.requantize(sums, multiplier) * broadcast(target.steps())

    def accumulate(self, x: Tensor, source: Site, target: Site) -> tuple[Tensor, Tensor]:
        """(accumulators, float32 multipliers per output channel); their products are in steps of the target."""
        codes = source.codes(x)
        if self.entry is not None:
            gain, rescale = self.entry_integers(source)
            codes = self.entry.requantize(codes * broadcast(gain), rescale)
            source = self.entry
        weight, bias, multiplier = self.integers(source, target)
        return (self._byte_sums if source.wide else self._sums)(codes, weight, bias), multiplier

    def _sums(self, codes: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(codes, weight, bias, padding=self.kernel // 2, groups=self.groups)

    def _byte_sums(self, codes: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """float32(acc) of codes of 16 bits: either byte's sum is exact, and their one addition rounds."""
        high, biases = torch.floor(codes.detach() / 256), torch.floor(bias.detach() / 256)
        low = self._sums(codes - 256 * high, weight, bias - 256 * biases)
        return 256 * self._sums(high, weight, biases) + low

    def entry_integers(self, source: Site) -> tuple[Tensor, Tensor]:
        """(weights, float32 multipliers), each (I,): from the source's codes to the entry's."""
        assert self.entry is not None
        inputs = self.weight.shape[1] * self.groups
        rescale = (source.steps() / self.entry.steps()).expand(inputs)
        gain = torch.ones_like(rescale)
        if self.entry.pieces is not None:
            gain = 1 + (SPLIT_GAIN - 1) * (self.entry.pieces - 1)
        if self.entry.apart() is not None:
            # Of what is less than half a step at 128 codes every code is zero, with any such factor.
            gain, rescale = torch.full_like(rescale, SPLIT_GAIN), rescale.clamp(min=_LEAST_RESCALE)
        return gain.detach(), rescale / gain.detach()

    def per_input(self, values: Tensor) -> Tensor:
        """(I,) values of input channels in the shape that broadcasts against the weight; () as it is."""
        if not values.ndim:
            return values
        return values[:, None, None, None] if self.groups > 1 else values[None, :, None, None]

    def grid(self, source: Site, target: Site) -> WeightGrid:
        """Where the weights are rounded. Of targets whose channels lie apart, weights that hardly count have larger
        steps."""
        inputs, apart = self.per_input(source.steps()), target.apart()
        least = None if apart is None else apart.abs() * target.steps() / _MOST_MOVED
        return WeightGrid.of(self.weight, inputs, self.log_clip, self.weight_limit, least)

    @torch.no_grad()
    def take_codes(self, codes: Tensor, source: Site, target: Site) -> None:
        """Have weights whose `integers` are these codes, on the grid that there is."""
        grid, inputs = self.grid(source, target), self.per_input(source.steps())
        self.weight.copy_(grid.values(codes, inputs))
        largest = self.grid(source, target).largest
        self.log_clip.copy_(torch.log(grid.step * self.weight_limit.clamp(min=1) / largest))

    def integers(self, source: Site, target: Site) -> tuple[Tensor, Tensor, Tensor]:
        """(weight codes, biases, float32 multipliers per output channel), integer-valued float32. Scales per input
        channel are folded into the weights before those are quantized."""
        limit, grid = self.weight_limit, self.grid(source, target)
        edge = limit[:, None, None, None]
        if self.given is None:
            codes = round_ste(grid.weight / grid.step[:, None, None, None])
            codes = torch.maximum(torch.minimum(codes, edge), -edge)
        else:
            codes = self.given()
        unit = grid.step * grid.common
        most = 2.0**29 if source.wide else 2.0**22  # a quarter of what an accumulator may be
        bias = round_ste(self.bias / unit).clamp(-most, most)
        return codes, bias * (limit > 0), unit / target.steps()
