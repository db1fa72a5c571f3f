"""Gated attention over the cells of a map (Ilse, Tomczak and Welling, ICML 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.bags import cells_of, cells_to_maps, tissue_softmax
from histonic.aggregators.squares import weighted_mean_without

EMBEDDED = 128
HIDDEN = 64


class GatedAttention(nn.Module):
    """Scores ``w^T (tanh(V h) * sigmoid(U h))`` of cells, equation 9 of the paper.

    Args:
        size: Length of a cell's vector.

    Example:
        >>> GatedAttention(8)(torch.zeros(2, 10, 8)).shape
        torch.Size([2, 10, 1])
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.content = nn.Linear(size, HIDDEN)
        self.gate = nn.Linear(size, HIDDEN)
        # A bias would shift all scores alike, and softmax would take it away again.
        self.score = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, cells: Tensor) -> Tensor:
        """``(B, N, size)`` to ``(B, N, 1)``."""
        # One product of matrices instead of two narrow ones.
        weight = torch.cat([self.content.weight, self.gate.weight])
        both = F.linear(cells, weight, torch.cat([self.content.bias, self.gate.bias]))
        content, gate = both.chunk(2, dim=-1)
        scores: Tensor = self.score(content.tanh() * gate.sigmoid())
        return scores


class AttentionPool(nn.Module):
    """A weighted mean of embedded cells; the weights are learned from each cell alone.

    Args:
        code_size: D.
        crop_cells: Not used; attention does not know where cells lie.

    Example:
        >>> net = AttentionPool(5, 20)
        >>> net(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20)).shape
        torch.Size([2, 128])
    """

    size = EMBEDDED
    learning_rate: ClassVar[float] = 1e-3
    sees_places: ClassVar[bool] = False
    takes_rounded: ClassVar[bool] = True

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(code_size, EMBEDDED), nn.ReLU())
        self.attend = GatedAttention(EMBEDDED)

    def _weighted(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded cells ``(B, N, 128)`` and their weights ``(B, N, 1)``."""
        cells, tissue = cells_of(codes, mask)
        embedded = self.embed(cells)
        return embedded, tissue_softmax(self.attend(embedded), tissue)

    def attention(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Weight of each cell, ``(B, R, K)``; they sum to 1 over the tissue."""
        _, weights = self._weighted(codes, mask)
        return cells_to_maps(weights, mask)[:, 0]

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 128)``; 0 for a map without tissue."""
        embedded, weights = self._weighted(codes, mask)
        return torch.einsum("bnc,bne->be", weights, embedded)

    def occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, 128)`` of one map, each with a square of average tissue; see ``squares``."""
        cells = codes.flatten(1).T
        embedded = self.embed(torch.cat([cells, cells.new_zeros(1, len(codes))]))
        scores = self.attend(embedded[None])[0, :, 0]
        values = embedded[:-1].T.reshape(-1, *mask.shape)
        average = (scores[-1], embedded[-1])
        return weighted_mean_without(scores[:-1].view_as(mask), values, average, mask, squares, side)
