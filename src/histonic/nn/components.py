"""Principal components as a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_DEVIATIONS = 5.0
LEAST_SPREAD = 1e-6
ROOT = 0.5
"""Power of a component's spread in a mixture, between what slides and what many labelled tiles like best."""


def standardised(
    numbers: Tensor, mean: Tensor, spread: Tensor, most: float | None = MOST_DEVIATIONS
) -> Tensor:
    """Numbers ``(B, S)`` in deviations from their mean, cut off at so many; None: at none."""
    found = (numbers - mean) / spread
    return found if most is None else found.clamp(-most, most)


@torch.no_grad()
def measure_components(numbers: Tensor, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ``(S,)``, spread ``(S,)`` and axes ``(S, kept)`` of numbers ``(N, S)``, in double precision.

    Standardised numbers times the axes are the principal components, of unit variance on these numbers.
    """
    found = numbers.double()
    mean, spread = found.mean(dim=0), found.std(dim=0).clamp_min(LEAST_SPREAD)
    axes, variances = largest_axes(torch.cov(standardised(found, mean, spread).T), kept)
    return mean, spread, axes / variances.clamp_min(LEAST_SPREAD).sqrt()


@torch.no_grad()
def largest_axes(covariance: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Principal axes of length 1, ``(S, kept)``, and the variances along them, the largest first.

    Args:
        covariance: ``(S, S)``.
        kept: How many.

    Example:
        >>> axes, variances = largest_axes(torch.diag(torch.tensor([1.0, 4.0])), 1)
        >>> axes.flatten(), variances
        (tensor([0., 1.]), tensor([4.]))
    """
    variances, axes = torch.linalg.eigh(covariance)
    largest = axes.flip(1)[:, :kept]
    # The sign of an axis is arbitrary; the largest weight made positive gives the same code each time.
    signs = torch.gather(largest, 0, largest.abs().argmax(dim=0, keepdim=True)).sign()
    return largest * signs, variances.flip(0)[:kept]


@torch.no_grad()
def turned(axes: Tensor, power: float = ROOT) -> Tensor:
    """Axes ``(S, K)`` that mix components, the first of them larger than the last.

    Whatever learns from codes standardises each number first. Of components of unit variance that makes the
    last ones, mostly noise, as loud as the first. Mixtures of all of them have about the same spread each,
    one on average, and so what the components have among each other is kept.

    Args:
        axes: Of components of unit variance, from :func:`measure_components`.
        power: Each component gets its own standard deviation to this power. 1: distances between codes are
            those between the components as they are; 0: of components of unit variance
            (``benchmarks/slide_encoders.md``).

    Returns:
        ``(S, K)``, the scaled axes times the orthogonal matrix of the discrete Hartley transform (Bracewell
        1983).

    Example:
        >>> turned(torch.eye(3)[:, :2], power=1.0).norm(dim=1).round(decimals=3)
        tensor([1., 1., 0.])
    """
    found = axes.double()
    size = found.norm(dim=0).pow(-power)
    steps = torch.arange(len(size), dtype=torch.float64)
    angles = 2 * torch.pi * steps[:, None] * steps / len(size)
    # The matrix of the Hartley transform is orthogonal at every size, and no draw of chance.
    hartley = (angles.cos() + angles.sin()) / len(size) ** 0.5
    mixed: Tensor = found * size / size.square().mean().sqrt() @ hartley
    return mixed.to(axes.dtype)


class Components(nn.Module):
    """Numbers to their principal components, or to mixtures of them.

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

    def fit(self, numbers: Tensor, *, mixed: bool = False) -> None:
        """Measure mean, spread and axes of numbers ``(N, size)``.

        Args:
            numbers: What the components are of.
            mixed: Give mixtures of the components (:func:`turned`), not components of unit variance.
        """
        mean, spread, axes = measure_components(numbers, self.axes.shape[1])
        measured = (mean, spread, turned(axes) if mixed else axes)
        for own, value in zip((self.mean, self.spread, self.axes), measured, strict=True):
            own.copy_(value)

    def forward(self, numbers: Tensor) -> Tensor:
        """``(B, size)`` to ``(B, kept)``."""
        return standardised(numbers, self.mean, self.spread) @ self.axes
