"""Small tiles and small trunks for the tests of encoders and their objectives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from histonic.simulate.patients import Latents
from histonic.simulate.slides import simulate_tissue


@pytest.fixture(scope="session")
def tissue() -> Tensor:
    """640 tiles of ten simulated tumours ``(640, 3, 16, 16)`` at 4 microns per pixel, scaled to -1..1."""
    rng = np.random.default_rng(0)
    pieces = []
    for index in range(10):
        latents = Latents(*rng.uniform(0, 1, 3))
        image = simulate_tissue(1024, rng, latents, ("north", "south")[index % 2])
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1
        coarse = nn.functional.avg_pool2d(pixels, 8)
        pieces.append(coarse.unfold(1, 16, 16).unfold(2, 16, 16).flatten(1, 2).transpose(0, 1))
    tiles = torch.cat(pieces)
    order = torch.randperm(len(tiles), generator=torch.Generator().manual_seed(0))
    return tiles[order].contiguous(memory_format=torch.channels_last)


@pytest.fixture
def trunk() -> Callable[..., nn.Module]:
    """A way to make a small trunk for tiles of 16 px."""

    def make(code_size: int = 8) -> nn.Module:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for channels in (3, 16):
            layers += [nn.Conv2d(channels, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, code_size))

    return make


@pytest.fixture
def views() -> Callable[[Tensor], Tensor]:
    """A way to look at tiles anew: mirrored, shifted in colour, noisy; draws from the global generator."""

    def look(tiles: Tensor) -> Tensor:
        flip = torch.rand(len(tiles), 1, 1, 1) < 0.5
        shift = torch.randn(len(tiles), 3, 1, 1) * 0.03
        return torch.where(flip, tiles.flip(3), tiles) + shift + torch.randn_like(tiles) * 0.02

    return look
