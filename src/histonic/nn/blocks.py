"""The layers that networks of codes are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAK = 0.2
"""Slope of the leaky ReLU for negative input, as in the released encoders."""


def he_uniform_(module: nn.Module) -> None:
    """Set weights of convolutions and dense layers as He et al. (ICCV 2015), uniformly; biases to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class SeparableBlock(nn.Module):
    """Depthwise-separable 3x3 convolution without padding -> BN -> leaky ReLU -> spatial dropout.

    A layer of the slide network of Tellez et al. (TPAMI 2019). Spatial dropout drops whole channels.

    Args:
        channels: Channels in.
        filters: Channels out.
        stride: Step of the convolution.
        dropout: Share of channels dropped in training.

    Example:
        >>> SeparableBlock(5, 8, stride=2)(torch.zeros(2, 5, 9, 9)).shape
        torch.Size([2, 8, 4, 4])
    """

    def __init__(self, channels: int, filters: int, stride: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, filters, 1)
        self.norm = nn.BatchNorm2d(filters)
        self.act = nn.LeakyReLU(LEAK)
        self.dropout = nn.Dropout2d(dropout)
        he_uniform_(self)

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, R, K)`` to ``(B, filters, (R - 3) // stride + 1, (K - 3) // stride + 1)``."""
        maps = self.norm(self.pointwise(self.depthwise(maps)))
        return torch.as_tensor(self.dropout(self.act(maps)))


class DenseBlock(nn.Module):
    """Dense layer -> BN -> leaky ReLU.

    Example:
        >>> DenseBlock(8, 4)(torch.zeros(2, 8)).shape
        torch.Size([2, 4])
    """

    def __init__(self, size: int, units: int) -> None:
        super().__init__()
        self.dense = nn.Linear(size, units)
        self.norm = nn.BatchNorm1d(units)
        self.act = nn.LeakyReLU(LEAK)
        he_uniform_(self)

    def forward(self, vectors: Tensor) -> Tensor:
        """``(B, size)`` to ``(B, units)``."""
        return torch.as_tensor(self.act(self.norm(self.dense(vectors))))
