"""The layers that networks of codes are built of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
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

    def forward(self, *maps: Tensor) -> Tensor:
        """``(B, C, R, K)`` to ``(B, filters, (R - 3) // stride + 1, (K - 3) // stride + 1)``.

        The channels may come in parts, one tensor after the other. A filter sees one channel only and the
        pointwise layer is a sum over channels, so that they need not be copied into one.
        """
        sizes = [part.shape[1] for part in maps]
        filters = torch.split(self.depthwise.weight, sizes)
        mixes = torch.split(self.pointwise.weight, sizes, dim=1)
        found: Tensor | None = None
        for part, kernel, mix in zip(maps, filters, mixes, strict=True):
            deep = _filtered(part, kernel, self.depthwise.stride)
            found = _mixed(deep, mix, self.pointwise.bias) if found is None else _add_mixed(found, deep, mix)
        return torch.as_tensor(self.dropout(self.act(self.norm(found))))


def _filtered(maps: Tensor, weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Each channel of ``(B, C, R, K)`` filtered by its own kernel ``(C, 1, 3, 3)``."""
    if maps.requires_grad and maps.device.type == "cpu" and maps.dtype == torch.bfloat16:
        # Little arithmetic, of which CPUs compute the gradient ten times more slowly in half precision.
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(maps.float(), weight, stride=stride, groups=len(weight))
    return F.conv2d(maps, weight, stride=stride, groups=len(weight))


def _mixed(maps: Tensor, mix: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution by ``(O, C, 1, 1)``: a product of matrices where maps lie cell by cell."""
    if maps.device.type != "cpu" or maps.stride(1) != 1:
        return F.conv2d(maps, mix, bias)
    return F.linear(maps.permute(0, 2, 3, 1), mix.flatten(1), bias).permute(0, 3, 1, 2)


def _add_mixed(found: Tensor, maps: Tensor, mix: Tensor) -> Tensor:
    """The same of further channels, added to what was found."""
    if found.device.type != "cpu" or found.stride(1) != 1 or torch.compiler.is_compiling():
        return found + F.conv2d(maps, mix)
    rows = found.permute(0, 2, 3, 1).flatten(0, 2)
    more = maps.permute(0, 2, 3, 1).flatten(0, 2).to(found.dtype)
    rows = rows.addmm(more, mix.flatten(1).T.to(found.dtype))
    return rows.view(len(found), *found.shape[2:], -1).permute(0, 3, 1, 2)


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


def halving_layers(filters: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions of stride 2, each with normalisation and leaky ReLU.

    Args:
        filters: Of each layer; the first sees three channels.

    Returns:
        ``(B, 3, H, W)`` to ``(B, filters[-1], h, w)``, each side halved once a layer and rounded up.

    Example:
        >>> halving_layers((4, 8))(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 4, 4])
    """
    layers: list[nn.Module] = []
    for channels, own in zip((3, *filters), filters, strict=False):
        layers += [
            # Normalisation takes away any bias.
            nn.Conv2d(channels, own, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(own),
            nn.LeakyReLU(LEAK),
        ]
    return nn.Sequential(*layers)
