"""The residual network of Pawlowski et al. (2019), whose receptive field and pooling can be chosen.

Convolutions of 3x3 pixels stand in so many blocks of each stage as the receptive field asks for, others are
1x1 (as in BagNets, Brendel and Bethge, ICLR 2019). The middle layer of blocks without a 3x3 convolution is
two and a half times as wide, so that they have no fewer weights, but up to half more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from histonic.stages.study.needles.settings import Pooling

STRIDES = (2, 2, 2, 1)
EXPANSION = 4
POINTWISE_FACTOR = 2.5
ATTENTION_UNITS = 2
"""Units of the attention, by the width; the paper's 128 of a width of 64."""
Norm = Literal["instance", "batch"]


def receptive_px(blocks: Sequence[int], spatial: Sequence[int]) -> int:
    """Side of the field that a position of the last map sees.

    Args:
        blocks: Of each stage.
        spatial: Those of them with a 3x3 convolution.

    Example:
        >>> [receptive_px((1, 1, 1, 1), each) for each in ((1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 1))]
        [5, 9, 33]
        >>> receptive_px((3, 4, 6, 3), (3, 4, 6, 3))
        177
    """
    field, jump = 3, 1
    for count, wide, stride in zip(blocks, spatial, STRIDES, strict=True):
        for number in range(count):
            field += 2 * jump if number < wide else 0
            jump *= stride if number == 0 else 1
    return field


class Bottleneck(nn.Module):
    """1x1, then 3x3 or 1x1, then 1x1, each normalised; added to what came in.

    Args:
        channels: Channels in.
        width: Of the middle layer, where it is 3x3.
        stride: Step of the middle layer.
        spatial: Whether the middle layer is 3x3.
        norm: Normalisation.
    """

    def __init__(self, channels: int, width: int, stride: int, spatial: bool, norm: Norm) -> None:
        super().__init__()
        middle = width if spatial else round(width * POINTWISE_FACTOR)
        out = EXPANSION * width
        size = 3 if spatial else 1
        self.body = nn.Sequential(
            nn.Conv2d(channels, middle, 1, bias=False),
            make_norm(middle, norm),
            nn.ReLU(),
            nn.Conv2d(middle, middle, size, stride, padding=size // 2, bias=False),
            make_norm(middle, norm),
            nn.ReLU(),
            nn.Conv2d(middle, out, 1, bias=False),
            make_norm(out, norm),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), make_norm(out, norm)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, 4 * width, H / stride, W / stride)``."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


def make_norm(channels: int, norm: Norm) -> nn.Module:
    """An affine normalisation of maps."""
    return nn.InstanceNorm2d(channels, affine=True) if norm == "instance" else nn.BatchNorm2d(channels)


class NeedleNetwork(nn.Module):
    """Grey images to the logits of two classes.

    Args:
        width: Filters of the first stage; the paper's is 64.
        blocks: Of the four stages.
        spatial: Those of them with a 3x3 convolution.
        pooling: ``mean``, ``max``, ``lse`` (log of the mean of exponentials) or ``attention``.
        norm: Normalisation.

    Example:
        >>> NeedleNetwork(4, (1, 1, 1, 1), (1, 1, 0, 0), "max")(torch.zeros(2, 1, 37, 37)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        width: int,
        blocks: Sequence[int],
        spatial: Sequence[int],
        pooling: Pooling,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.pooling = pooling
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, 1, bias=False),
            nn.Conv2d(width, width, 3, bias=False),
            make_norm(width, norm),
            nn.ReLU(),
        ]
        channels = width
        for stage, (count, wide, stride) in enumerate(zip(blocks, spatial, STRIDES, strict=True)):
            for number in range(count):
                step = stride if number == 0 else 1
                layers.append(Bottleneck(channels, width * 2**stage, step, number < wide, norm))
                channels = EXPANSION * width * 2**stage
        self.body = nn.Sequential(*layers)
        self.attention: nn.Module | None = None
        if pooling == "attention":
            units = ATTENTION_UNITS * width
            self.attention = nn.Sequential(nn.Conv2d(channels, units, 1), nn.Tanh(), nn.Conv2d(units, 1, 1))
        self.classes = nn.Linear(channels, 2)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 1, H, W)`` of 0..1 to logits ``(B, 2)``."""
        maps = self.body(images).flatten(2)
        return torch.as_tensor(self.classes(self._pooled(maps, images)))

    def _pooled(self, maps: Tensor, images: Tensor) -> Tensor:
        if self.pooling == "mean":
            return maps.mean(dim=2)
        if self.pooling == "max":
            return maps.amax(dim=2)
        if self.pooling == "lse":
            count = torch.tensor(float(maps.shape[2]), device=maps.device)
            return maps.logsumexp(dim=2) - count.log()
        if self.attention is None:
            raise TypeError(f"{self.pooling} is no pooling")
        weights = self.attention(maps[..., None]).squeeze(1).squeeze(2).softmax(dim=1)
        return torch.einsum("bcn,bn->bc", maps, weights)


def spatial_blocks(blocks: Sequence[int], stages: int) -> tuple[int, ...]:
    """Blocks with a 3x3 convolution where the first ``stages`` stages have them.

    Example:
        >>> spatial_blocks((3, 4, 6, 3), 2)
        (3, 4, 0, 0)
    """
    return tuple(count if number < stages else 0 for number, count in enumerate(blocks))
