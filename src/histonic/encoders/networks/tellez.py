"""The larger trunk of Tellez et al. (2019): their encoder for the VAE and the contrastive method."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.nn.blocks import DenseBlock, halving_layers, he_uniform_

FILTERS = (32, 64, 128, 256, 512)
FEATURES = 512


class TellezNetwork(nn.Module):
    """Tiles of 128 px to codes: five strided 3x3 convolutions, a dense layer of 512, a linear code layer.

    Every convolution has stride 2 and is followed by batch normalisation and leaky ReLU, as is the dense
    layer. With the default sizes there are 5.8 M parameters.

    Args:
        code_size: D.
        tile_px: Side of the tiles, a multiple of 32; the dense layer sees a map of ``tile_px / 32``.

    Raises:
        EncoderError: The tile cannot be halved five times.

    Example:
        >>> TellezNetwork(code_size=16)(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 16])
    """

    def __init__(self, code_size: int = 128, tile_px: int = 128) -> None:
        super().__init__()
        if tile_px < 32 or tile_px % 32:
            raise EncoderError(
                "Build the encoder 'tellez2019'.", f"tile_px is {tile_px}.", "Give a multiple of 32 pixels."
            )
        self.body = halving_layers(FILTERS)
        self.dense = DenseBlock(FILTERS[-1] * (tile_px // 32) ** 2, FEATURES)
        self.feature_size = FEATURES
        self.code = nn.Linear(FEATURES, code_size)
        he_uniform_(self.body)

    def features(self, tiles: Tensor) -> Tensor:
        """The 512 numbers below the code layer ``(B, 512)``."""
        maps = self.body(tiles)
        # Maps lie channels last in memory: this flattening copies nothing.
        return torch.as_tensor(self.dense(maps.permute(0, 2, 3, 1).flatten(1)))

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        return torch.as_tensor(self.code(self.features(tiles)))


class TellezEncoder(NetworkEncoder):
    """A :class:`TellezNetwork` with weights, as an encoder of uint8 tiles."""

    architecture = "tellez2019"

    @classmethod
    def build(cls, spec: EncoderSpec) -> TellezNetwork:
        """The network of a spec, with fresh weights."""
        return TellezNetwork(spec.code_size, spec.tile_px)
