"""Mean and maximum over the tissue: no weights of their own, so that the heads are linear models."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from histonic.aggregators.bags import cells_of, tissue_max
from histonic.aggregators.squares import at_squares, largest_in_squares, sums_in_squares


class MeanPool(nn.Module):
    """The mean code of the tissue.

    Args:
        code_size: D.
        crop_cells: Not used; a mean does not know where cells lie.

    Example:
        >>> import torch
        >>> MeanPool(3, 8)(torch.ones(2, 3, 8, 8), torch.ones(2, 8, 8)).tolist()[0]
        [1.0, 1.0, 1.0]
    """

    learning_rate: ClassVar[float] = 0.0  # nothing is learned by steps
    sees_places: ClassVar[bool] = False

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.size = code_size

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to ``(B, D)``; 0 for a map without tissue."""
        weight = mask[:, None].to(codes.dtype)
        return (codes * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1)

    def occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, D)`` of one map, each with a square of average tissue; see ``squares``."""
        tissue = codes * mask
        parts = at_squares(sums_in_squares(tissue, side), squares)
        return (tissue.sum(dim=(1, 2)) - parts) / mask.sum().clamp_min(1)


class MaxPool(nn.Module):
    """The largest value of each channel over the tissue.

    Args:
        code_size: D.
        crop_cells: Not used.

    Example:
        >>> import torch
        >>> MaxPool(3, 8)(torch.ones(2, 3, 8, 8), torch.ones(2, 8, 8)).shape
        torch.Size([2, 3])
    """

    learning_rate: ClassVar[float] = 0.0  # nothing is learned by steps
    sees_places: ClassVar[bool] = False

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.size = code_size

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to ``(B, D)``; 0 for a map without tissue."""
        return tissue_max(*cells_of(codes, mask))

    def occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, D)`` of one map, each with a square of average tissue; see ``squares``."""
        lowest = torch.finfo(codes.dtype).min
        lattice = largest_in_squares(codes.masked_fill(mask[None] == 0, lowest), side)
        if lattice[0].numel() == 1:
            return codes.new_zeros(len(squares), len(codes))
        best = lattice.flatten(1).topk(2, dim=1).values.T
        # Where the largest stands twice, the second is as large and nothing changes.
        rest = torch.where(at_squares(lattice, squares) >= best[0], best[1], best[0])
        return rest.clamp_min(0)
