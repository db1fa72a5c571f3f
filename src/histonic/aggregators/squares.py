"""Slide vectors of a map with one square of cells replaced by average tissue, without computing all anew.

Occlusion (Zeiler and Fergus, ECCV 2014) asks for one slide vector per square. An aggregator that can give
them cheaply has a method ``occluded(codes, mask, squares, side)``; the others are simply asked again.
Average tissue is the code 0, since codes are normalised; the cell still counts as tissue.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def squares_of(mask: Tensor, side: int) -> Tensor:
    """The squares of a lattice that hold tissue.

    Args:
        mask: ``(R, K)`` 1 where a cell holds tissue, else 0.
        side: Of a square, in cells.

    Returns:
        int64 ``(W, 2)``: rows and columns of the lattice.

    Example:
        >>> squares_of(torch.tensor([[1, 0, 0], [0, 0, 1]]), 2).tolist()
        [[0, 0], [0, 1]]
    """
    return torch.nonzero(largest_in_squares(mask[None].float(), side)[0] > 0)


def sums_in_squares(values: Tensor, side: int) -> Tensor:
    """``(C, R, K)`` to the sums in squares of a lattice from the top-left corner, ``(C, r, k)``.

    Example:
        >>> sums_in_squares(torch.ones(1, 3, 2), 2).tolist()
        [[[4.0], [2.0]]]
    """
    return F.avg_pool2d(_whole_squares(values, side, 0.0)[None], side)[0] * side**2


def largest_in_squares(values: Tensor, side: int) -> Tensor:
    """``(C, R, K)`` to the largest values in squares, ``(C, r, k)``."""
    lowest = torch.finfo(values.dtype).min
    return F.max_pool2d(_whole_squares(values, side, lowest)[None], side)[0]


def _whole_squares(values: Tensor, side: int, fill: float) -> Tensor:
    down, right = -values.shape[-2] % side, -values.shape[-1] % side
    return F.pad(values, (0, right, 0, down), value=fill)


def at_squares(values: Tensor, squares: Tensor) -> Tensor:
    """Values ``(C, r, k)`` of the lattice at squares ``(W, 2)``, as ``(W, C)``."""
    return values[:, squares[:, 0], squares[:, 1]].T


def weighted_mean_without(
    scores: Tensor, values: Tensor, average: tuple[Tensor, Tensor], mask: Tensor, squares: Tensor, side: int
) -> Tensor:
    """The mean of values weighted by softmax of scores, with each square replaced by an average cell.

    Args:
        scores: ``(R, K)``.
        values: ``(E, R, K)``.
        average: Score ``()`` and value ``(E,)`` of the average cell.
        mask: ``(R, K)`` 1 where a cell holds tissue, else 0.
        squares: ``(W, 2)``.
        side: Of a square, in cells.

    Returns:
        ``(W, E)``.

    Example:
        >>> mask, values = torch.ones(1, 2), torch.tensor([[[1.0, 3.0]]])
        >>> average = (torch.zeros(()), torch.tensor([5.0]))
        >>> weighted_mean_without(torch.zeros(1, 2), values, average, mask, squares_of(mask, 1), 1).tolist()
        [[4.0], [3.0]]
    """
    score, value = average
    tissue = mask > 0
    highest = torch.maximum(scores[tissue].amax(), score)
    weights = (scores - highest).exp() * tissue
    both = torch.cat([values * weights, weights[None], tissue[None].to(values.dtype)])
    parts = at_squares(sums_in_squares(both, side), squares)
    filled = parts[:, -1:] * (score - highest).exp()
    total = both.sum(dim=(1, 2))
    top = total[:-2] - parts[:, :-2] + filled * value
    below = total[-2] - parts[:, -2:-1] + filled
    return top / below
