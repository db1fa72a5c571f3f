"""The network that draws tiles from codes: the decoder of the VAE and the generator of BiGAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

from histonic.core.errors import EncoderError
from histonic.nn.blocks import LEAK, DenseBlock, he_uniform_

START_PX = 4
MOST_DOUBLINGS = 6


def doublings(tile_px: int) -> int:
    """How often a map of 4 px is doubled to reach the side of a tile.

    Raises:
        EncoderError: The side is not 8, 16, 32, 64, 128 or 256 pixels.

    Example:
        >>> doublings(64)
        4
    """
    count = (tile_px // START_PX).bit_length() - 1
    if not 1 <= count <= MOST_DOUBLINGS or START_PX << count != tile_px:
        raise EncoderError(
            "Draw tiles from codes.",
            f"tile_px is {tile_px}, which up to six doublings of {START_PX} px do not reach.",
            "Use tiles of 8, 16, 32, 64, 128 or 256 pixels.",
        )
    return count


class DoublingConvolution(nn.Conv2d):
    """Doubling by repeating the nearest pixel, then 3x3 convolution; both in one step.

    A 3x3 convolution of a doubled map meets every pixel of the small map several times. Adding up its weights
    first gives a transposed 4x4 convolution with the same result and 4/9 of the multiplications, which halves
    the time of training a generator. Weights are those of the 3x3 convolution, without bias.

    Args:
        channels: Channels in.
        filters: Channels out.

    Example:
        >>> DoublingConvolution(3, 5)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 5, 8, 8])
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__(channels, filters, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, filters, 2H, 2W)``."""
        # A transposed convolution scatters where a convolution gathers: hence the flip.
        padded = pad(self.weight.flip(2, 3), (1, 1, 1, 1))
        rows = padded[:, :, 1:] + padded[:, :, :-1]
        folded = rows[..., 1:] + rows[..., :-1]
        return conv_transpose2d(maps, folded.transpose(0, 1), stride=2, padding=1)


class TileDecoder(nn.Module):
    """Codes to tiles: a dense layer shaped as a 4 px map, then doubling and 3x3 convolution, in turns.

    Every hidden layer is followed by batch normalisation and leaky ReLU; the last convolution to three
    channels by tanh. Doubling repeats the nearest pixel.

    Args:
        code_size: D.
        start_filters: Channels of the 4 px map.
        filters: Channels after each doubling; the tile's side is ``4 * 2 ** len(filters)``.

    Example:
        >>> TileDecoder(16, 64, (32, 32))(torch.zeros(2, 16)).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, code_size: int, start_filters: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        self.start_filters = start_filters
        self.dense = DenseBlock(code_size, start_filters * START_PX**2)
        layers: list[nn.Module] = []
        for before, after in zip((start_filters, *filters), filters, strict=False):
            layers += [
                DoublingConvolution(before, after),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(LEAK),
            ]
        self.body = nn.Sequential(*layers)
        self.colours = nn.Conv2d(filters[-1], 3, 3, padding=1)
        he_uniform_(self.body)

    def forward(self, codes: Tensor) -> Tensor:
        """Tiles ``(B, 3, H, W)`` of -1..1, float32, from codes ``(B, D)``."""
        vectors = self.dense(codes)
        # Channels last from the start: convolutions keep the layout of what they are given.
        maps = vectors.view(len(codes), START_PX, START_PX, self.start_filters).permute(0, 3, 1, 2)
        # tanh near -1 and 1 (white background) has no digits left in bfloat16.
        return torch.tanh(self.colours(self.body(maps)).float())
