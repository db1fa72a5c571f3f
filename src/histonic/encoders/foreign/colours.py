"""The change from the -1..1 of our tiles to the colours that weights from elsewhere were trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def scale_and_shift(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """What tiles ``(B, 3, H, W)`` of -1..1 are multiplied by and what is added, each ``(1, 3, 1, 1)``.

    ``(x + 1) / 2`` is the tile in 0..1, of which a network takes ``(... - mean) / std``.

    Example:
        >>> scale, shift = scale_and_shift((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        >>> scale.flatten().tolist(), shift.flatten().tolist()
        ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """
    means, stds = (torch.tensor(values, dtype=torch.float32) for values in (mean, std))
    return (0.5 / stds).view(1, -1, 1, 1), ((0.5 - means) / stds).view(1, -1, 1, 1)
