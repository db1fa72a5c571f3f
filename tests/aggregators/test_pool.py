"""Mean and maximum of the tissue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.aggregators.pool import MaxPool, MeanPool
from histonic.testing import BagContract


class TestMean(BagContract):
    def make(self) -> type[MeanPool]:
        return MeanPool


class TestMax(BagContract):
    def make(self) -> type[MaxPool]:
        return MaxPool


@pytest.fixture
def bag() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """One map of 2 x 3 cells with a hole, and its five cells as rows."""
    chance = torch.Generator().manual_seed(3)
    codes = torch.randn(1, 4, 2, 3, generator=chance)
    mask = torch.tensor([[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])
    return codes, mask, codes[0].permute(1, 2, 0)[mask[0] > 0].numpy()


def test_mean_and_max_of_the_tissue(bag: tuple[torch.Tensor, torch.Tensor, np.ndarray]) -> None:
    codes, mask, cells = bag
    assert np.allclose(MeanPool(4, 8)(codes, mask)[0], cells.mean(axis=0), atol=1e-6)
    assert np.allclose(MaxPool(4, 8)(codes, mask)[0], cells.max(axis=0))
