"""Bytes to numbers: exact averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from histonic.nn.pixels import tensor_of, unit_pixels


@pytest.mark.parametrize("step", [1, 2, 3, 5, 16])
def test_averages_are_those_of_pooling(step: int) -> None:
    drawn = torch.Generator().manual_seed(0)
    tiles = torch.randint(256, (3, 6 * step, 6 * step, 3), dtype=torch.uint8, generator=drawn)
    wanted = F.avg_pool2d(tiles.permute(0, 3, 1, 2).double(), step) / 255
    found = unit_pixels(tiles, 6)
    assert found.dtype == torch.float32 and found.shape == (3, 3, 6, 6)
    assert torch.allclose(found, wanted.float(), atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_mapped_tiles_are_copied_and_others_are_not() -> None:
    tiles = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert tensor_of(tiles).data_ptr() == tiles.ctypes.data
    tiles.flags.writeable = False
    found = tensor_of(tiles)
    assert found.data_ptr() != tiles.ctypes.data and (found.numpy() == tiles).all()


def test_white_is_one_and_the_input_stays() -> None:
    tiles = torch.full((1, 64, 64, 3), 255, dtype=torch.uint8)
    assert torch.equal(unit_pixels(tiles, 4), torch.ones(1, 3, 4, 4))
    assert (tiles == 255).all()


def test_left_over_pixels_are_left_out() -> None:
    tiles = torch.zeros(1, 5, 5, 3, dtype=torch.uint8)
    tiles[:, 4] = 255
    assert not unit_pixels(tiles, 2).any()
