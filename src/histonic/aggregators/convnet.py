"""The slide network of Neural Image Compression (Tellez et al., TPAMI 2019)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.convnet_occlusion import pooled_without
from histonic.nn.blocks import DenseBlock, SeparableBlock

FILTERS = 128
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


class ConvNet(nn.Module):
    """Depthwise-separable convolutions over the map and its mask, averaged over tissue, then a dense layer.

    At 400 cells the convolutions end in a single cell and this is the network of the paper, except that
    the mask is one more input channel. Smaller crops have fewer layers of stride 2, and the cells that
    remain are averaged, each weighted by the tissue in its field.

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

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.strides = plan_strides(crop_cells)
        channels = [code_size + 1] + [FILTERS] * len(self.strides)
        self.blocks = nn.ModuleList(
            SeparableBlock(entering, FILTERS, stride)
            for entering, stride in zip(channels, self.strides, strict=False)
        )
        self.dense = DenseBlock(FILTERS, FILTERS)

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 128)``."""
        tissue = mask[:, None].to(codes.dtype)
        maps = torch.cat([codes, tissue], dim=1)
        for block, stride in zip(self.blocks, self.strides, strict=True):
            maps = block(maps)
            tissue = F.avg_pool2d(tissue, 3, stride)
        weight = tissue / tissue.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        vectors: Tensor = self.dense((maps * weight.to(maps.dtype)).sum(dim=(2, 3)))
        return vectors

    @property
    def cam_layers(self) -> tuple[nn.Module, ...]:
        """Layers whose maps explain a prediction: the first one, which has the most cells."""
        return (self.blocks[0],)

    def occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, 128)`` of one map, each with a square of average tissue; see ``squares``."""
        tissue = mask[None, None].to(codes.dtype)
        maps = torch.cat([codes, tissue[0]])
        for stride in self.strides:
            tissue = F.avg_pool2d(tissue, 3, stride)
        weight = tissue[0, 0] / tissue.sum().clamp_min(1e-6)
        pooled = pooled_without(list(self.blocks), self.strides, maps, weight, squares, side)
        vectors: Tensor = self.dense(pooled)
        return vectors
