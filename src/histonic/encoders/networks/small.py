"""The small trunk of the synthetic task of Tellez et al. (2019): two strided convolutions, for tiny tiles."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.nn.blocks import DenseBlock, halving_layers, he_uniform_

FILTERS = (32, 64)
FEATURES = 64


class SmallNetwork(nn.Module):
    """Tiles of a few pixels to codes: two strided 3x3 convolutions, a dense layer of 64, a linear code layer.

    Every layer but the last is followed by batch normalisation and leaky ReLU.

    Args:
        code_size: D.
        tile_px: Side of the tiles, a multiple of 4.

    Raises:
        EncoderError: The tile cannot be halved twice.

    Example:
        >>> SmallNetwork(16, 16)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 16])
    """

    def __init__(self, code_size: int = 16, tile_px: int = 16) -> None:
        super().__init__()
        if tile_px < 8 or tile_px % 4:
            raise EncoderError(
                "Build the encoder 'nic-small'.",
                f"tile_px is {tile_px}.",
                "Give a multiple of 4 pixels from 8.",
            )
        self.body = halving_layers(FILTERS)
        self.dense = DenseBlock(FILTERS[-1] * (tile_px // 4) ** 2, FEATURES)
        self.feature_size = FEATURES
        self.code = nn.Linear(FEATURES, code_size)
        he_uniform_(self.body)

    def features(self, tiles: Tensor) -> Tensor:
        """The 64 numbers below the code layer ``(B, 64)``."""
        maps = self.body(tiles)
        return torch.as_tensor(self.dense(maps.permute(0, 2, 3, 1).flatten(1)))

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        return torch.as_tensor(self.code(self.features(tiles)))


class SmallEncoder(NetworkEncoder):
    """A :class:`SmallNetwork` with weights, as an encoder of uint8 tiles."""

    architecture = "nic-small"

    @classmethod
    def build(cls, spec: EncoderSpec) -> SmallNetwork:
        """The network of a spec, with fresh weights."""
        return SmallNetwork(spec.code_size, spec.tile_px)
