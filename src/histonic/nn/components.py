"""Principal components as a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_DEVIATIONS = 5.0
LEAST_SPREAD = 1e-6


def standardised(numbers: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Numbers ``(B, S)`` in deviations from their mean, at most five."""
    return ((numbers - mean) / spread).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)


@torch.no_grad()
def measure_components(numbers: Tensor, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ``(S,)``, spread ``(S,)`` and axes ``(S, kept)`` of numbers ``(N, S)``, in double precision.

    Standardised numbers times the axes are the principal components, of unit variance on these numbers.
    """
    found = numbers.double()
    mean, spread = found.mean(dim=0), found.std(dim=0).clamp_min(LEAST_SPREAD)
    variances, axes = torch.linalg.eigh(torch.cov(standardised(found, mean, spread).T))
    largest = axes.flip(1)[:, :kept]
    # The sign of an axis is arbitrary; the largest weight made positive gives the same code each time.
    signs = torch.gather(largest, 0, largest.abs().argmax(dim=0, keepdim=True)).sign()
    return mean, spread, largest * signs / variances.flip(0)[:kept].clamp_min(LEAST_SPREAD).sqrt()


class Components(nn.Module):
    """Numbers to their principal components, of unit variance where they were fitted.

    Each number is standardised first and cut off at five standard deviations.

    Args:
        size: Numbers that come in.
        kept: Components.

    Example:
        >>> layer = Components(5, 2)
        >>> layer.fit(torch.randn(100, 5, generator=torch.Generator().manual_seed(0)))
        >>> layer(torch.zeros(3, 5)).shape
        torch.Size([3, 2])
    """

    mean: Tensor
    spread: Tensor
    axes: Tensor

    def __init__(self, size: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("axes", torch.eye(size)[:, :kept].clone())

    def fit(self, numbers: Tensor) -> None:
        """Measure mean, spread and axes of numbers ``(N, size)``."""
        found = measure_components(numbers, self.axes.shape[1])
        for own, measured in zip((self.mean, self.spread, self.axes), found, strict=True):
            own.copy_(measured)

    def forward(self, numbers: Tensor) -> Tensor:
        """``(B, size)`` to ``(B, kept)``."""
        return standardised(numbers, self.mean, self.spread) @ self.axes
