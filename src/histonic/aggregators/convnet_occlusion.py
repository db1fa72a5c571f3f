"""Occlusion of a convolutional slide network: only what a changed square can reach is computed anew.

A square of cells changes a patch of each layer that shrinks with the strides, so that thousands of squares
cost about as much as a few whole maps. The result is the same as that of whole maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

KERNEL = 3
SQUARES_AT_ONCE = 256


def pooled_without(
    blocks: Sequence[nn.Module],
    strides: Sequence[int],
    maps: Tensor,
    weight: Tensor,
    squares: Tensor,
    side: int,
) -> Tensor:
    """Weighted sums of the last layer, each with one square of the input's channels set to zero.

    Args:
        blocks: Layers with a kernel of 3 and without padding, ready to predict.
        strides: Of the layers.
        maps: ``(C + 1, R, K)``, the input; its last channel, the mask, stays as it is.
        weight: ``(r, k)`` of the positions of the last layer.
        squares: ``(W, 2)`` rows and columns of the lattice.
        side: Of a square, in cells.

    Returns:
        ``(W, F)``.
    """
    layers = [maps]
    for block in blocks:
        layers.append(block(layers[-1][None])[0])
    layers = [layer.permute(1, 2, 0).contiguous().permute(2, 0, 1) for layer in layers]
    whole = (layers[-1] * weight).sum(dim=(1, 2))
    parts = [
        _changes(blocks, strides, layers, weight, squares[start : start + SQUARES_AT_ONCE] * side, side)
        for start in range(0, len(squares), SQUARES_AT_ONCE)
    ]
    return whole + torch.cat(parts)


def _changes(
    blocks: Sequence[nn.Module],
    strides: Sequence[int],
    layers: Sequence[Tensor],
    weight: Tensor,
    corners: Tensor,
    side: int,
) -> Tensor:
    """``(W, F)``: what squares at ``corners`` ``(W, 2)`` of the input add to the weighted sum."""
    height, width = layers[0].shape[1:]
    extent = (min(side, height), min(side, width))
    # At the border a square keeps its size and lies further in; what it covers too much is put back below.
    starts = torch.stack([corners[:, 0], corners[:, 1]], dim=1)
    limit = torch.tensor([height - extent[0], width - extent[1]])
    inside = torch.minimum(starts, limit)
    patch = _cut(layers[0], inside, extent)
    rows = torch.arange(extent[0]) + inside[:, :1]
    cols = torch.arange(extent[1]) + inside[:, 1:]
    hidden = (rows >= starts[:, :1])[:, :, None] & (cols >= starts[:, 1:])[:, None, :]
    codes = patch[:, :-1].masked_fill(hidden[:, None], 0)
    patch = torch.cat([codes, patch[:, -1:]], dim=1)
    for block, stride, below, above in zip(blocks, strides, layers, layers[1:], strict=False):
        reach, first = [], []
        for axis in (0, 1):
            room = above.shape[axis + 1]
            size = min((extent[axis] + KERNEL - 2) // stride + 1, room)
            low = -((KERNEL - 1 - inside[:, axis]) // stride)
            reach.append(size)
            first.append(low.clamp(0, room - size))
        begin = torch.stack(first, dim=1)
        needed = ((reach[0] - 1) * stride + KERNEL, (reach[1] - 1) * stride + KERNEL)
        field = _paste(_cut(below, begin * stride, needed), patch, inside - begin * stride)
        patch, inside, extent = block(field), begin, (reach[0], reach[1])
    change = patch - _cut(layers[-1], inside, extent)
    return (change * _cut(weight[None], inside, extent)).sum(dim=(2, 3))


def _cut(maps: Tensor, corners: Tensor, extent: tuple[int, int]) -> Tensor:
    """``(C, R, K)`` at corners ``(W, 2)`` to ``(W, C, *extent)``, quick where channels lie side by side."""
    rows = (corners[:, :1] + torch.arange(extent[0]))[:, :, None]
    cols = (corners[:, 1:] + torch.arange(extent[1]))[:, None, :]
    places = (rows * maps.shape[2] + cols).flatten()
    found = maps.permute(1, 2, 0).flatten(0, 1).index_select(0, places)
    return found.view(len(corners), *extent, -1).permute(0, 3, 1, 2)


def _paste(fields: Tensor, patches: Tensor, places: Tensor) -> Tensor:
    """Fields with each patch in its field where they overlap, the patch's corner at ``places`` ``(W, 2)``."""
    high, wide = fields.shape[2:]
    tall, broad = patches.shape[2:]
    rows = torch.arange(high) - places[:, :1]
    cols = torch.arange(wide) - places[:, 1:]
    known = ((rows >= 0) & (rows < tall))[:, :, None] & ((cols >= 0) & (cols < broad))[:, None, :]
    which = torch.arange(len(fields))[:, None, None] * (tall * broad)
    inside = which + rows.clamp(0, tall - 1)[:, :, None] * broad + cols.clamp(0, broad - 1)[:, None, :]
    source = patches.permute(0, 2, 3, 1).flatten(0, 2)
    target = fields.permute(0, 2, 3, 1).flatten(0, 2)
    target[known.flatten()] = source.index_select(0, inside[known])
    return target.view(len(fields), high, wide, -1).permute(0, 3, 1, 2)
