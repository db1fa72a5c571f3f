"""The NIC encoder with half of its code given to statistics of colour, stain and texture."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.nic import WORKING_PX, NicNetwork
from histonic.encoders.networks.tile_network import FoldedConvolutions
from histonic.nn.appearance import STATISTICS, appearance
from histonic.nn.components import measure_components, standardised


class NicAppearanceNetwork(nn.Module):
    """A :class:`~histonic.encoders.networks.nic.NicNetwork` beside fixed statistics of the tile.

    What four convolutions learn from a few thousand tiles does not hold what 110 simple statistics tell, nor
    the other way round. The first half of the code is learned. The second half are the principal components
    of the statistics (:func:`histonic.nn.appearance.appearance`), of unit variance on the tiles given to
    :meth:`fit_appearance`.

    Args:
        code_size: D, even.
        tile_px: Side of the tiles; averaged down to 64 px, so a multiple of 64.

    Example:
        >>> NicAppearanceNetwork()(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 128])
    """

    mean: Tensor
    spread: Tensor
    components: Tensor

    def __init__(self, code_size: int = 128, tile_px: int = 128) -> None:
        super().__init__()
        self.looks = min(code_size // 2, STATISTICS)
        self.reduce = tile_px // WORKING_PX
        self.learned = NicNetwork(code_size - self.looks, tile_px)
        self.register_buffer("mean", torch.zeros(STATISTICS))
        self.register_buffer("spread", torch.ones(STATISTICS))
        self.register_buffer("components", torch.eye(STATISTICS)[:, : self.looks].clone())

    def _standard(self, tiles: Tensor) -> Tensor:
        pixels = F.avg_pool2d(tiles.float(), self.reduce) if self.reduce > 1 else tiles.float()
        return standardised(appearance((pixels + 1) / 2), self.mean, self.spread)

    @torch.no_grad()
    def fit_appearance(self, batches: Iterable[Tensor]) -> None:
        """Measure mean, spread and principal components of the statistics.

        Args:
            batches: Tiles ``(B, 3, H, W)`` scaled to -1..1, as the network takes them.
        """
        pixels = (F.avg_pool2d(batch.float(), self.reduce) for batch in batches)
        found = torch.cat([appearance((part + 1) / 2) for part in pixels])
        measured = measure_components(found, self.looks)
        for own, value in zip((self.mean, self.spread, self.components), measured, strict=True):
            own.copy_(value)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        learned = self.learned(tiles)
        with torch.no_grad(), torch.autocast(tiles.device.type, enabled=False):
            looks = self._standard(tiles) @ self.components
        return torch.cat([learned, looks.to(learned.dtype)], dim=1)

    def running(self, half: bool) -> RunningNicAppearance:
        """The same, for tiles that are averaged to 64 px already; statistics stay in single precision."""
        return RunningNicAppearance(self, half)


class RunningNicAppearance(nn.Module):
    """A :class:`NicAppearanceNetwork` for tiles at the working side, when nothing is learned any more."""

    mean: Tensor
    spread: Tensor
    components: Tensor

    def __init__(self, network: NicAppearanceNetwork, half: bool) -> None:
        super().__init__()
        self.learned: FoldedConvolutions = network.learned.running(half)
        for name in ("mean", "spread", "components"):
            self.register_buffer(name, getattr(network, name).clone())

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` float32 of tiles ``(B, 3, 64, 64)`` scaled to -1..1."""
        looks = standardised(appearance((tiles + 1) / 2), self.mean, self.spread) @ self.components
        return torch.cat([self.learned(tiles), looks], dim=1)


class NicAppearanceEncoder(NetworkEncoder):
    """A :class:`NicAppearanceNetwork` with weights, as an encoder of uint8 tiles."""

    architecture = "nic-appearance"

    @classmethod
    def build(cls, spec: EncoderSpec) -> NicAppearanceNetwork:
        """The network of a spec, with fresh weights."""
        return NicAppearanceNetwork(spec.code_size, spec.tile_px)

    @classmethod
    def working_px(cls, spec: EncoderSpec) -> int:
        """64: the network begins by averaging its tiles down to that."""
        return WORKING_PX
