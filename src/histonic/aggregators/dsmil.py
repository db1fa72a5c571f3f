"""The most telling cell, and all cells by their likeness to it (Li, Li and Eliceiri, CVPR 2021)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from histonic.aggregators.bags import cells_of, maps_of, tissue_max, tissue_only, tissue_softmax

EMBEDDED = 128
CRITERIA = 4
"""Scores by which a cell can be the most telling one; one a class in the paper, but targets may have none."""


class DualStream(nn.Module):
    """The highest score of any cell, beside the mean of all cells weighted by likeness to that cell.

    Args:
        code_size: D.
        crop_cells: Not used; neither stream knows where cells lie.

    Example:
        >>> net = DualStream(5, 20)
        >>> net(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20)).shape
        torch.Size([2, 132])
    """

    size = CRITERIA + EMBEDDED
    learning_rate: ClassVar[float] = 3e-4
    sees_places: ClassVar[bool] = False

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(code_size, EMBEDDED), nn.ReLU())
        self.score = nn.Linear(EMBEDDED, CRITERIA)
        self.query = nn.Sequential(nn.Linear(EMBEDDED, EMBEDDED), nn.Tanh())
        self.value = nn.Linear(EMBEDDED, EMBEDDED)
        self.join = nn.Linear(CRITERIA * EMBEDDED, EMBEDDED)

    def _streams(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embedded cells, tissue, scores ``(B, N, C)`` and weights ``(B, N, C)``."""
        cells, tissue = cells_of(codes, mask)
        embedded = self.embed(cells)
        scores = self.score(embedded)
        top = tissue_only(scores, tissue).argmax(dim=1)
        queries = self.query(embedded)
        critical = queries.gather(1, top[..., None].expand(-1, -1, EMBEDDED))
        likeness = torch.einsum("bne,bce->bnc", queries, critical) / math.sqrt(EMBEDDED)
        return embedded, tissue, scores, tissue_softmax(likeness, tissue)

    def attention(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Weight of each cell, ``(B, R, K)``, the mean over the criteria; they sum to 1 over the tissue."""
        *_, weights = self._streams(codes, mask)
        return maps_of(weights.mean(dim=-1, keepdim=True), mask)[:, 0]

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 132)``."""
        embedded, tissue, scores, weights = self._streams(codes, mask)
        bag = torch.einsum("bnc,bne->bce", weights, self.value(embedded))
        # A map without tissue has no value; its bias must not look like one.
        bag = bag * tissue.any(dim=1)[:, None, None]
        return torch.cat([tissue_max(scores, tissue), self.join(bag.flatten(1))], dim=1)
