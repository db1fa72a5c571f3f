"""Chance for a batch: values of which every tile draws its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """Random values for ``count`` tiles, shaped to meet tiles ``(B, 3, H, W)``.

    Example:
        >>> draws = Draws(4, torch.float32, torch.device("cpu"), torch.Generator().manual_seed(0))
        >>> factor = draws.around(1, 0.2)
        >>> factor.shape, bool(((factor >= 0.8) & (factor <= 1.2)).all())
        (torch.Size([4, 1, 1, 1]), True)
    """

    count: int
    dtype: torch.dtype
    device: torch.device
    generator: torch.Generator

    def between(self, low: float, high: float, columns: int = 1) -> Tensor:
        """Uniform ``(B, columns, 1, 1)`` of low..high."""
        shape = (self.count, columns, 1, 1)
        drawn = torch.rand(shape, generator=self.generator, dtype=self.dtype, device=self.device)
        return drawn.mul_(high - low).add_(low)

    def around(self, centre: float, reach: float, columns: int = 1) -> Tensor:
        """Uniform ``(B, columns, 1, 1)`` within ``reach`` of ``centre``."""
        return self.between(centre - reach, centre + reach, columns)

    def choice(self, options: int) -> Tensor:
        """Whole numbers 0..options - 1, ``(B, 1, 1, 1)``."""
        shape = (self.count, 1, 1, 1)
        return torch.randint(options, shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int, count: int | None = None) -> Tensor:
        """Standard normal ``(B, *shape)``, or ``(count, *shape)``."""
        whole = (self.count if count is None else count, *shape)
        return torch.randn(whole, generator=self.generator, dtype=self.dtype, device=self.device)
