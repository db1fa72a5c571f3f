"""A map as a bag of cells: what the aggregators have in common that do not see where a cell lies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def cells_of(codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of a batch of maps, one after the other, those with tissue first.

    N is the number of tissue cells of the map that has most of them: glass, which is often more than half
    of a map, costs no arithmetic. A graph for any mask (``torch.export``) takes all cells as they lie.

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
    if torch.compiler.is_compiling():
        return codes.flatten(2).mT, tissue
    places = _tissue_first(tissue, max(1, int(tissue.sum(dim=1).max())))
    if codes.stride(1) == 1:
        # Cell by cell in memory, as maps_of makes them.
        rows = codes.permute(0, 2, 3, 1).reshape(tissue.numel(), -1)
        cells: Tensor = _Taken.apply(rows, _rows_of(places, tissue), 0).view(*places.shape, -1)  # type: ignore[no-untyped-call]
    elif len(codes) == 1:
        cells = _Taken.apply(codes[0].flatten(1), places[0], 1).mT[None]  # type: ignore[no-untyped-call]
    else:
        cells = codes.flatten(2).gather(2, places[:, None].expand(-1, codes.shape[1], -1)).mT
    return cells, tissue.gather(1, places)


def cells_to_maps(values: Tensor, mask: Tensor) -> Tensor:
    """Values ``(B, N, C)`` of the cells of :func:`cells_of` back in their places ``(B, C, R, K)``.

    What stands for glass comes to lie on glass, so it should be 0.
    """
    if torch.compiler.is_compiling():
        return torch.unflatten(values.mT, 2, tuple(mask.shape[1:]))
    tissue = mask.flatten(1) > 0
    rows = _rows_of(_tissue_first(tissue, values.shape[1]), tissue)
    maps: Tensor = _Put.apply(values.flatten(0, 1), rows, tissue.numel())  # type: ignore[no-untyped-call]
    # Numbers of a cell lie side by side in memory, as convolutions and cells_of like them.
    return maps.view(*mask.shape, -1).permute(0, 3, 1, 2)


class _Taken(torch.autograd.Function):
    """``index_select`` with places that are all different, so that its gradient need not be summed up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, axis: int) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape, ctx.axis = values.shape, axis
        return values.index_select(axis, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).index_copy_(ctx.axis, places, gradient), None, None


class _Put(torch.autograd.Function):
    """Rows at places that are all different, among rows of zeros."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(count, rows.shape[1]).index_copy_(0, places, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


def _rows_of(places: Tensor, tissue: Tensor) -> Tensor:
    """Places ``(B, N)`` within maps as places within all cells of the batch, one after the other."""
    first = torch.arange(len(places), device=places.device) * tissue.shape[1]
    return (places + first[:, None]).flatten()


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
