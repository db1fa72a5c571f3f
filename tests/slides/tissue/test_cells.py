"""Shares of cells add up to the area of a mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.grid import TileGrid
from histonic.slides.tissue.cells import cell_coverage, enough_tissue
from histonic.slides.tissue.rule import TissueMask


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([8.0, 5.3, 2.0]))
def test_coverage_adds_up(width: int, height: int, mask_mpp: float) -> None:
    rng = np.random.default_rng(width * 91 + height)
    mask = rng.random((height, width)) < 0.5
    slide_wh = (int(width * mask_mpp / 0.5), int(height * mask_mpp / 0.5))
    if min(slide_wh) == 0:
        return
    grid = TileGrid.over(slide_wh, slide_mpp=0.5, tile_px=32, mpp=0.5)
    coverage = cell_coverage(TissueMask(mask, mask_mpp), grid)
    assert coverage.shape == grid.shape and coverage.min() >= 0 and coverage.max() <= 1
    cell_um2 = (32 * 0.5) ** 2
    assert coverage.sum() * cell_um2 == pytest.approx(mask.sum() * mask_mpp**2, rel=0.05, abs=cell_um2 / 4)


def test_coverage_by_hand() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2, :3] = True  # pixels of 64 px at level 0: one cell is two of them
    grid = TileGrid.over((256, 256), slide_mpp=0.5, tile_px=128, mpp=0.5)
    assert np.allclose(cell_coverage(TissueMask(mask, 32.0), grid), [[1, 0.5], [0, 0]])


@given(st.integers(0, 199), st.integers(0, 299), st.sampled_from([0.7, 8.0, 37.0]))
def test_any_tissue_at_all_is_one_pixel_of_the_mask(row: int, col: int, mask_mpp: float) -> None:
    mask = np.zeros((200, 300), bool)
    mask[row, col] = True
    slide_wh = (int(300 * mask_mpp / 0.5), int(200 * mask_mpp / 0.5))
    grid = TileGrid.over(slide_wh, slide_mpp=0.5, tile_px=128, mpp=0.5)
    shares = cell_coverage(TissueMask(mask, mask_mpp), grid)
    kept = np.argwhere(enough_tissue(shares, 0))
    # By hand: the cells that the square of the pixel reaches into.
    first = np.floor(np.array([row, col]) * mask_mpp / 64 + 1e-5).astype(int)
    last = np.ceil((np.array([row, col]) + 1) * mask_mpp / 64 - 1e-5).astype(int)
    wanted = np.argwhere(np.ones(np.minimum(last, grid.shape) - first, bool)) + first
    assert kept.tolist() == wanted.tolist()
    assert not enough_tissue(np.zeros(3, np.float32), 0).any()
