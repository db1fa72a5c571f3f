"""A map as a bag of cells: what the aggregators have in common that do not see where a cell lies."""

from __future__ import annotations

import torch
from torch import Tensor


def cells_of(codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of a batch of maps, one after the other, those with tissue first.

    N is the number of tissue cells of the map that has most of them: glass, which is often more than half
    of a map, costs no arithmetic.

    Args:
        codes: ``(B, D, R, K)``.
        mask: ``(B, R, K)`` 1 where a cell holds tissue, else 0.

    Returns:
        Cells ``(B, N, D)``, N at least 1, and where they hold tissue, bool ``(B, N)``.

    Example:
        >>> cells, tissue = cells_of(torch.zeros(2, 5, 3, 4), torch.tensor([[[1.0, 0, 1, 0]] * 3] * 2))
        >>> cells.shape, tissue.shape
        (torch.Size([2, 6, 5]), torch.Size([2, 6]))
    """
    tissue = mask.flatten(1) > 0
    places = _tissue_first(tissue, max(1, int(tissue.sum(dim=1).max())))
    cells = codes.flatten(2).gather(2, places[:, None].expand(-1, codes.shape[1], -1))
    return cells.transpose(1, 2), tissue.gather(1, places)


def maps_of(values: Tensor, mask: Tensor) -> Tensor:
    """Values ``(B, N, C)`` of the cells of :func:`cells_of` back in their places ``(B, C, R, K)``.

    What stands for glass comes to lie on glass, so it should be 0.
    """
    places = _tissue_first(mask.flatten(1) > 0, values.shape[1])
    places = places[:, None].expand(-1, values.shape[2], -1)
    maps = values.new_zeros(len(values), values.shape[2], mask[0].numel())
    return maps.scatter(2, places, values.transpose(1, 2)).view(*maps.shape[:2], *mask.shape[1:])


def _tissue_first(tissue: Tensor, count: int) -> Tensor:
    """Places ``(B, count)`` of cells in their order, but those with tissue first."""
    return tissue.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]


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
