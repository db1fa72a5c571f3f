"""The convolutional tile encoder of the NIC papers (Tellez et al. 2019 and 2020), 0.6 M parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.tile_network import FoldedConvolutions

FILTERS = 128
CONVOLUTIONS = 4
WORKING_PX = 64


class NicNetwork(nn.Module):
    """Tiles of 128 px at 0.5 µm/px to codes.

    The tile is averaged to 64 px; four times 3x3 convolution (stride 2, no padding), LeakyReLU 0.2,
    batch normalisation, *in this order*, as in the released files (the paper's text puts the
    normalisation first); then one linear layer.

    Args:
        code_size: D.
        tile_px: Side of the tiles; averaged down to 64 px, so a multiple of 64.

    Example:
        >>> NicNetwork()(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 128])
    """

    def __init__(self, code_size: int = 128, tile_px: int = 128) -> None:
        super().__init__()
        if tile_px % WORKING_PX:
            raise EncoderError(
                "Build the NIC encoder.", f"tile_px is {tile_px}.", "Give a multiple of 64 pixels."
            )
        layers: list[nn.Module] = [nn.AvgPool2d(tile_px // WORKING_PX)]
        for index in range(CONVOLUTIONS):
            layers += [
                nn.Conv2d(FILTERS if index else 3, FILTERS, 3, stride=2),
                nn.LeakyReLU(0.2),
                # Keras momentum 0.8 is the share that is kept, PyTorch's the share that is taken in.
                nn.BatchNorm2d(FILTERS, eps=1e-3, momentum=0.2),
            ]
        self.body = nn.Sequential(*layers)
        self.feature_size = FILTERS * 9
        self.code = nn.Linear(self.feature_size, code_size)

    def features(self, tiles: Tensor) -> Tensor:
        """The 1152 numbers below the code layer ``(B, 1152)``."""
        maps = self.body(tiles)
        # Channels last before flattening, as the released dense weights expect.
        return torch.as_tensor(maps.permute(0, 2, 3, 1).flatten(1))

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        return torch.as_tensor(self.code(self.features(tiles)))

    def running(self, half: bool) -> FoldedConvolutions:
        """The same, for tiles that are averaged to 64 px already, see :class:`FoldedConvolutions`."""
        return FoldedConvolutions(self.body, self.code, half)


class NicEncoder(NetworkEncoder):
    """A :class:`NicNetwork` with weights, as an encoder of uint8 tiles."""

    architecture = "nic"

    @classmethod
    def build(cls, spec: EncoderSpec) -> NicNetwork:
        """The network of a spec, with fresh weights."""
        return NicNetwork(spec.code_size, spec.tile_px)

    @classmethod
    def working_px(cls, spec: EncoderSpec) -> int:
        """64: the network begins by averaging its tiles down to that."""
        return WORKING_PX
