"""The slide network of Neural Image Compression (Tellez et al., TPAMI 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.convnet_occlusion import pooled_without
from histonic.nn.blocks import DenseBlock, SeparableBlock
from histonic.nn.streaming.streamed import stream

FILTERS = 128
STREAM_CELLS = 1024
"""Longer sides are streamed where nothing is learned: all layers at once take several times the map."""
LEAST_CELLS = 5
"""Side that the strided layers leave to the last two layers."""


def plan_strides(crop_cells: int) -> tuple[int, ...]:
    """Strides of the 3x3 layers for a crop: as many of 2 as leave 5 cells, then two of 1.

    Args:
        crop_cells: Side of the crop in cells, 8 or more.

    Example:
        >>> plan_strides(400), plan_strides(20)  # 400-199-99-49-24-11-5-3-1 and 20-9-7-5
        ((2, 2, 2, 2, 2, 2, 1, 1), (2, 1, 1))
    """
    side, strides = crop_cells, []
    while (side - 3) // 2 + 1 >= LEAST_CELLS:
        side = (side - 3) // 2 + 1
        strides.append(2)
    return (*strides, 1, 1)


class PlainBlocks(nn.Module):
    """The blocks of a :class:`ConvNet` one after the other, layer by layer, in a form that can be streamed.

    Args:
        blocks: Each a :class:`~histonic.nn.blocks.SeparableBlock`.
    """

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, 1, R, K)`` to ``(B, 128, r, k)``."""
        maps = torch.cat([codes, mask], 1)
        for block in cast("Iterable[SeparableBlock]", self.blocks):
            maps = block.act(block.norm(block.pointwise(block.depthwise(maps))))
        return maps


class ConvNet(nn.Module):
    """Depthwise-separable convolutions over the map and its mask, averaged over tissue, then a dense layer.

    At 400 cells the convolutions end in a single cell and this is the network of the paper, except that
    the mask is one more input channel. Smaller crops have fewer layers of stride 2, and the cells that
    remain are averaged, each weighted by the tissue in its field.

    A map of another size is brought to that of the crops at its right and bottom border: glass is added, or
    taken away beyond the last tissue, so that padding changes nothing. Tissue that reaches further makes the
    frame larger.

    Maps with a side beyond ``stream_cells`` are streamed (:func:`histonic.nn.streaming.streamed.stream`) once
    the network is trained; in training its normalisation takes statistics over whole maps.

    Args:
        code_size: D.
        crop_cells: Side of the crops in cells, 8 or more.

    Example:
        >>> net = ConvNet(18, 20)
        >>> net(torch.zeros(2, 18, 20, 20), torch.ones(2, 20, 20)).shape
        torch.Size([2, 128])
    """

    size = FILTERS
    learning_rate: ClassVar[float] = 1e-2
    takes_rounded: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.crop_cells = crop_cells
        self.stream_cells = STREAM_CELLS
        self.strides = plan_strides(crop_cells)
        channels = [code_size + 1] + [FILTERS] * len(self.strides)
        self.blocks = nn.ModuleList(
            SeparableBlock(entering, FILTERS, stride)
            for entering, stride in zip(channels, self.strides, strict=False)
        )
        self.dense = DenseBlock(FILTERS, FILTERS)

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 128)``."""
        if torch.compiler.is_compiling():
            codes, mask = (at_least(each, self.crop_cells) for each in (codes, mask))
            return self._vectors(codes, mask, inside_frames(mask, self.crop_cells, self.strides)[-1])
        return in_frames(self._vectors, codes, mask, self.crop_cells)

    def _vectors(self, codes: Tensor, mask: Tensor, positions: Tensor | None = None) -> Tensor:
        # Shares of tissue are not rounded where codes are.
        tissue = mask[:, None].to(torch.promote_types(codes.dtype, torch.float32))
        maps: tuple[Tensor, ...] = (codes, tissue)
        streamed = not self.training and not torch.compiler.is_compiling()
        if streamed and max(mask.shape[1:]) > self.stream_cells:
            maps = (stream(PlainBlocks(self.blocks), codes, tissue.to(codes.dtype)),)
            for stride in self.strides:
                tissue = F.avg_pool2d(tissue, 3, stride)
        else:
            for block, stride in zip(self.blocks, self.strides, strict=True):
                maps = (block(*maps),)
                tissue = F.avg_pool2d(tissue, 3, stride)
        if positions is not None:
            tissue = tissue * positions[:, None]
        weight = tissue / tissue.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        vectors: Tensor = self.dense((maps[0] * weight.to(maps[0].dtype)).sum(dim=(2, 3)))
        return vectors

    @property
    def cam_layers(self) -> tuple[nn.Module, ...]:
        """Layers whose maps explain a prediction: the first one, which has the most cells."""
        return (self.blocks[0],)

    def occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, 128)`` of one map, each with a square of average tissue; see ``squares``."""
        codes, mask = (at_size(each, frame_of(mask, self.crop_cells)) for each in (codes, mask))
        tissue = mask[None, None].to(codes.dtype)
        maps = torch.cat([codes, tissue[0]])
        for stride in self.strides:
            tissue = F.avg_pool2d(tissue, 3, stride)
        weight = tissue[0, 0] / tissue.sum().clamp_min(1e-6)
        pooled = pooled_without(list(self.blocks), self.strides, maps, weight, squares, side)
        vectors: Tensor = self.dense(pooled)
        return vectors


def frame_of(mask: Tensor, crop_cells: int) -> tuple[int, int]:
    """Rows and columns of ``(R, K)`` that are looked at: those of a crop, more if tissue lies beyond.

    Example:
        >>> mask = torch.zeros(9, 4)
        >>> mask[6, 1] = 1
        >>> frame_of(mask, 5)
        (7, 5)
    """
    if mask.shape == (crop_cells, crop_cells):
        return crop_cells, crop_cells
    ends = [int(mask.amax(dim=axis).nonzero().max()) + 1 if mask.any() else 0 for axis in (1, 0)]
    return max(crop_cells, ends[0]), max(crop_cells, ends[1])


def inside_frames(mask: Tensor, crop_cells: int, strides: Sequence[int], padding: int = 0) -> list[Tensor]:
    """Which positions of 3x3 layers lie within the maps' frames: no graph for any mask cuts by a mask.

    Args:
        mask: ``(B, R, K)``, 1 on tissue, not smaller than a crop.
        crop_cells: Side of the crops in cells.
        strides: Of the layers, one after the other.
        padding: Zeros that each layer sees beyond a border.

    Returns:
        Per layer bool ``(B, r, k)``.

    Example:
        >>> mask = torch.zeros(1, 6, 9)
        >>> mask[0, 5, 2] = 1
        >>> frames = inside_frames(mask, 5, (2, 1), padding=1)
        >>> [each[0].sum(dim=axis).amax().item() for each in frames for axis in (0, 1)]  # of 6 x 5
        [3, 3, 3, 3]
    """
    beyond = 2 * padding - 3
    lines: list[list[Tensor]] = []
    for line in (mask.amax(dim=2), mask.amax(dim=1)):
        places = torch.arange(line.shape[1], device=mask.device)
        last, room = ((line > 0) * (places + 1)).amax(dim=1).clamp_min(crop_cells), line.shape[1]
        inside = []
        for stride in strides:
            last, room = (last + beyond) // stride + 1, (room + beyond) // stride + 1
            inside.append(places[:room] < last[:, None])
        lines.append(inside)
    return [rows[:, :, None] & cols[:, None] for rows, cols in zip(*lines, strict=True)]


def at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """``(..., R, K)`` with so many rows and columns: cut at the right and bottom, or zeros added there."""
    rows, cols = maps.shape[-2:]
    if (rows, cols) == size:
        return maps
    return F.pad(maps, (0, size[1] - cols, 0, size[0] - rows))


def at_least(maps: Tensor, side: int) -> Tensor:
    """``(..., R, K)`` with zeros up to so many rows and columns; one graph does it for maps of any size."""
    rows, cols = maps.shape[-2:]
    return F.pad(maps, (0, torch.sym_max(side - cols, 0), 0, torch.sym_max(side - rows, 0)))  # type: ignore[no-untyped-call]


def in_frames(
    vectors: Callable[[Tensor, Tensor], Tensor], codes: Tensor, mask: Tensor, crop_cells: int
) -> Tensor:
    """Slide vectors ``(B, E)`` of maps, each brought to its own frame (:func:`frame_of`).

    Args:
        vectors: From ``(B, D, R, K)`` and ``(B, R, K)`` of one size.
        codes: ``(B, D, R, K)``.
        mask: ``(B, R, K)``, 1 on tissue.
        crop_cells: Side of the crops in cells.
    """
    frames = [frame_of(each, crop_cells) for each in mask]
    if len(set(frames)) == 1:
        return vectors(at_size(codes, frames[0]), at_size(mask, frames[0]))
    alone = [
        vectors(at_size(code, frame)[None], at_size(tissue, frame)[None])
        for code, tissue, frame in zip(codes, mask, frames, strict=True)
    ]
    return torch.cat(alone)
