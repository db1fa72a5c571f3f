"""A plain convolutional network over whole maps, also of single pixels, trained end to end by streaming."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.convnet import at_least, in_frames, inside_frames
from histonic.nn.blocks import he_uniform_
from histonic.nn.streaming.streamed import stream

WIDTHS = (16, 32, 64, 96, 128, 128)
"""Channels after each halving."""
LEAST_SIDE = 16
"""Side of the map that the halvings leave at least."""
STREAM_CELLS = 512
"""Longer sides are streamed: about where a batch of maps would no longer fit into common memory."""


def count_halvings(crop_cells: int) -> int:
    """How often a crop is halved: until 16 positions are left, six times at most.

    Example:
        >>> [count_halvings(side) for side in (24, 400, 2048, 8192)]
        [0, 4, 6, 6]
    """
    count = 0
    while count < len(WIDTHS) and crop_cells >> (count + 1) >= LEAST_SIDE:
        count += 1
    return count


class Refined(nn.Module):
    """Two 3x3 convolutions whose result is added to their map; at first they add nothing.

    So deep networks without normalisation begin as shallow ones (Zhang et al., "Fixup", ICLR 2019).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        he_uniform_(self)
        nn.init.zeros_(self.second.weight)

    def forward(self, maps: Tensor, inside: Tensor | None = None) -> Tensor:
        """``(B, C, R, K)`` to the same; where given, as if the map ended beyond ``inside``, its frame."""
        change = torch.relu(self.first(maps))
        return torch.relu(maps + self.second(change if inside is None else change * inside))


class LocalLayers(nn.Module):
    """Convolutions that halve the map, and at the end refine it; no layer looks at more than its window.

    There is no normalisation: one over the batch or the map could not be streamed (Pinckaers et al. used
    none in the streamed layers either).

    Args:
        channels: Of the maps, the mask among them.
        halvings: Convolutions with a stride of 2; without one, a single one of stride 1.
    """

    def __init__(self, channels: int, halvings: int) -> None:
        super().__init__()
        widths = (channels, *WIDTHS[: max(1, halvings)])
        # Codes have more channels than pixels, which the first layers should not squeeze.
        wide = tuple(max(width, min(channels, WIDTHS[-1])) for width in widths[1:])
        self.size = wide[-1]
        layers: list[nn.Module] = []
        for entering, leaving in zip((channels, *wide), wide, strict=False):
            layers += [nn.Conv2d(entering, leaving, 3, 2 if halvings else 1, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        he_uniform_(self)
        self.refined = Refined(self.size)

    @property
    def convolutions(self) -> list[nn.Module]:
        """Those before the last two, each followed by a ReLU."""
        return [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, 1, R, K)`` to ``(B, F, r, k)``."""
        return cast(Tensor, self.refined(self.layers(torch.cat([codes, mask], 1))))


class StreamingNet(nn.Module):
    """A convolutional network from whole maps, down to maps of pixels, to slide vectors.

    After Pinckaers et al. (TPAMI 2020): convolutions over the whole map and one global pooling, trained end
    to end with the slide's label, however large the map is. Maps beyond ``stream_cells`` are streamed, with
    the same values and gradients up to rounding (:func:`histonic.nn.streaming.streamed.stream`).

    A slide vector is the largest and the mean value of each channel over the tissue. As in
    :class:`~histonic.aggregators.convnet.ConvNet`, a map of another size is brought to that of the crops at
    its right and bottom border.

    Args:
        code_size: D; 3 for pixels.
        crop_cells: Side of the crops in cells.

    Attributes:
        stream_cells: Sides longer than this are streamed.

    Example:
        >>> net = StreamingNet(3, 64)
        >>> net(torch.zeros(2, 3, 64, 64), torch.ones(2, 64, 64)).shape
        torch.Size([2, 64])
    """

    learning_rate: ClassVar[float] = 5e-4
    streams: ClassVar[bool] = True

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.crop_cells = crop_cells
        self.stream_cells = STREAM_CELLS
        self.halvings = count_halvings(crop_cells)
        self.local = LocalLayers(code_size + 1, self.halvings)
        self.size = 2 * self.local.size

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, E)``."""
        if torch.compiler.is_compiling():
            return self._of_all_frames(*(at_least(each, self.crop_cells) for each in (codes, mask)))
        return in_frames(self._vectors, codes, mask, self.crop_cells)

    def _vectors(self, codes: Tensor, mask: Tensor) -> Tensor:
        tissue = mask[:, None].to(codes.dtype)
        if max(mask.shape[1:]) > self.stream_cells:
            maps = stream(self.local, codes, tissue)
        else:
            maps = self.local(codes, tissue)
        return self._pooled(maps, self._halved(tissue))

    def _of_all_frames(self, codes: Tensor, mask: Tensor) -> Tensor:
        """The same of maps whose frames are not cut out: beyond them every layer gives 0, as padding is."""
        strides = [2] * self.halvings or [1]
        inside = [each[:, None] for each in inside_frames(mask, self.crop_cells, strides, padding=1)]
        tissue = mask[:, None].to(codes.dtype)
        maps = torch.cat([codes, tissue], 1)
        for layer, here in zip(self.local.convolutions, inside, strict=True):
            maps = torch.relu(layer(maps)) * here
        return self._pooled(self.local.refined(maps, inside[-1]), self._halved(tissue) * inside[-1])

    def _halved(self, tissue: Tensor) -> Tensor:
        for _ in range(self.halvings):
            tissue = F.avg_pool2d(tissue, 3, 2, 1)
        return tissue

    def _pooled(self, maps: Tensor, tissue: Tensor) -> Tensor:
        weight = tissue / tissue.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        mean = (maps * weight.to(maps.dtype)).sum(dim=(2, 3))
        # No value is below 0, so that a map without tissue has the vector 0.
        return torch.cat([(maps * (tissue > 0)).amax(dim=(2, 3)), mean], dim=1)
