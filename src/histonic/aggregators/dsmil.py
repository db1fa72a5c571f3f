"""The most telling cell, and all cells by their likeness to it (Li, Li and Eliceiri, CVPR 2021)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from histonic.aggregators.bags import cells_of, cells_to_maps, tissue_max, tissue_only, tissue_softmax
from histonic.aggregators.squares import at_squares, largest_in_squares, weighted_mean_without

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
    learning_rate: ClassVar[float] = 1e-3
    sees_places: ClassVar[bool] = False
    path_cost: ClassVar[float] = 1.5

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
        return cells_to_maps(weights.mean(dim=-1, keepdim=True), mask)[:, 0]

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 132)``."""
        embedded, tissue, scores, weights = self._streams(codes, mask)
        bag = torch.einsum("bnc,bne->bce", weights, self.value(embedded))
        # A map without tissue has no value; its bias must not look like one.
        bag = bag * tissue.any(dim=1)[:, None, None]
        return torch.cat([tissue_max(scores, tissue), self.join(bag.flatten(1))], dim=1)

    def occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, 132)`` of one map, each with a square of average tissue; see ``squares``.

        A square without the most telling cell leaves that cell in its place; of the one with it, the most
        telling of the rest takes over.
        """
        cells = codes.flatten(1).T
        embedded = self.embed(torch.cat([cells, cells.new_zeros(1, len(codes))]))
        scores = self.score(embedded)
        lowest = torch.finfo(scores.dtype).min
        tissue = torch.cat([mask.flatten() > 0, mask.new_ones(1) > 0])
        scores = scores.masked_fill(~tissue[:, None], lowest)
        queries, values = self.query(embedded), self.value(embedded)
        tops, bags = [], []
        for column in scores.T:
            best = int(column.argmax())
            without = column.clone()
            if best < mask.numel():
                row, col = (index // side * side for index in divmod(best, mask.shape[1]))
                without[:-1].view_as(mask)[row : row + side, col : col + side] = lowest
            hit = at_squares(largest_in_squares(column[:-1].view(1, *mask.shape), side), squares)[:, 0]
            hit = (hit >= column[best]) if best < mask.numel() else torch.zeros_like(hit) > 0
            pair = [
                self._bag_without(queries, values, int(each.argmax()), mask, squares, side)
                for each in (column, without)
            ]
            tops.append(torch.where(hit, without.amax(), column[best]))
            bags.append(torch.where(hit[:, None], pair[1], pair[0]))
        return torch.cat([torch.stack(tops, dim=1), self.join(torch.cat(bags, dim=1))], dim=1)

    def _bag_without(
        self, queries: Tensor, values: Tensor, critical: int, mask: Tensor, squares: Tensor, side: int
    ) -> Tensor:
        """``(W, 128)``: values weighted by likeness to one cell; the last of the cells is the average one."""
        likeness = queries @ queries[critical] / math.sqrt(EMBEDDED)
        maps = values[:-1].T.reshape(-1, *mask.shape)
        average = (likeness[-1], values[-1])
        return weighted_mean_without(likeness[:-1].view_as(mask), maps, average, mask, squares, side)
