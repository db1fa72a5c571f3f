"""A map as a bag of cells: what the aggregators have in common that do not see where a cell lies."""

from __future__ import annotations

import torch
from torch import Tensor


def cells_of(codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of a batch of maps, one after the other.

    Args:
        codes: ``(B, D, R, K)``.
        mask: ``(B, R, K)`` 1 where a cell holds tissue, else 0.

    Returns:
        Cells ``(B, N, D)`` with ``N = R * K``, and where they hold tissue, bool ``(B, N)``.

    Example:
        >>> cells, tissue = cells_of(torch.zeros(2, 5, 3, 4), torch.ones(2, 3, 4))
        >>> cells.shape, tissue.shape
        (torch.Size([2, 12, 5]), torch.Size([2, 12]))
    """
    return codes.flatten(2).transpose(1, 2), mask.flatten(1) > 0


def tissue_only(values: Tensor, tissue: Tensor) -> Tensor:
    """Values ``(B, N, C)`` with the lowest number there is on glass, so that no maximum lies there."""
    return values.masked_fill(~tissue[..., None], torch.finfo(values.dtype).min)


def tissue_softmax(scores: Tensor, tissue: Tensor) -> Tensor:
    """Weights over the cells that hold tissue; they sum to 1, or are all 0 where there is none.

    Args:
        scores: ``(B, N, C)``, a column a set of weights.
        tissue: bool ``(B, N)``.

    Example:
        >>> tissue_softmax(torch.zeros(1, 3, 1), torch.tensor([[True, True, False]])).flatten().tolist()
        [0.5, 0.5, 0.0]
    """
    return tissue_only(scores, tissue).softmax(dim=1) * tissue[..., None]


def tissue_max(values: Tensor, tissue: Tensor) -> Tensor:
    """The largest values over the tissue, ``(B, N, C)`` to ``(B, C)``; 0 where there is none."""
    largest = tissue_only(values, tissue).amax(dim=1)
    return torch.where(tissue.any(dim=1)[:, None], largest, torch.zeros_like(largest))
