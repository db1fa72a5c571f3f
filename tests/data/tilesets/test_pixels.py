"""Tiles brought to another side and resolution: the right part of them, averaged by area."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.tilesets.pixels import Fit, WideTiles, bring, fit_by_mpp, fit_whole, fit_wide


def test_halving_averages_blocks() -> None:
    tile = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    wanted = np.floor(tile.reshape(4, 2, 4, 2, 3).mean((1, 3)) + 0.5).astype(np.uint8)
    assert np.array_equal(bring(tile, Fit(8, 4)), wanted)


def test_a_fraction_of_a_pixel_counts_as_much() -> None:
    # Three pixels to two: each result holds one whole pixel and half of the middle one.
    tile = np.zeros((3, 3, 3), np.uint8)
    tile[:, 0], tile[:, 1], tile[:, 2] = 90, 30, 240
    assert bring(tile, Fit(3, 2))[0, :, 0].tolist() == [70, 170]


def test_cropping_alone_changes_no_pixel() -> None:
    tile = np.random.default_rng(0).integers(0, 255, (10, 12, 3)).astype(np.uint8)
    assert np.array_equal(bring(tile, Fit(6, 6)), tile[2:8, 3:9])


def test_a_tile_is_never_stretched() -> None:
    tile = np.zeros((20, 40, 3), np.uint8)
    tile[:, 10:30] = 200  # the centre square
    assert (bring(tile, fit_whole(tile.shape, 8)) == 200).all()
    enlarged = bring(tile, fit_whole(tile.shape, 60))
    # Three for each pixel; between the first and last of the square lies nothing of what is beside it.
    assert enlarged.shape == (60, 60, 3) and (enlarged[:, 3:-3] == 200).all()


@given(
    side=st.integers(16, 300),
    tile_mpp=st.floats(0.1, 2),
    tile_px=st.sampled_from([16, 64, 128]),
    mpp=st.floats(0.2, 2),
)
def test_the_microns_are_those_asked_for(side: int, tile_mpp: float, tile_px: int, mpp: float) -> None:
    fit = fit_by_mpp((side, side + 7, 3), tile_mpp, tile_px, mpp)
    if fit is None:
        assert side * tile_mpp < tile_px * mpp
    else:
        assert fit.side_px <= side
        assert fit.side_px * tile_mpp == pytest.approx(tile_px * mpp, rel=0.021)


@given(st.integers(9, 40), st.integers(9, 40), st.integers(4, 60))
def test_a_tile_of_one_colour_keeps_it(height: int, width: int, tile_px: int) -> None:
    tile = np.full((height, width, 3), (10, 200, 77), np.uint8)
    assert (bring(tile, fit_whole(tile.shape, tile_px)) == (10, 200, 77)).all()


@given(side=st.integers(2, 24), tile_px=st.integers(1, 24), seed=st.integers(0, 99))
def test_averages_are_those_of_a_grid_that_both_share(side: int, tile_px: int, seed: int) -> None:
    if tile_px > side:
        side, tile_px = tile_px, side
    tile = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    # Every pixel cut into tile_px x tile_px pieces, of which side x side make one result: whole numbers.
    pieces = tile.astype(np.int64).repeat(tile_px, axis=0).repeat(tile_px, axis=1)
    sums = pieces.reshape(tile_px, side, tile_px, side, 3).sum(axis=(1, 3))
    # Rounded to the nearest, but for means that miss a half by less than a thousandth.
    assert np.abs(bring(tile, Fit(side, tile_px)) - sums / side**2).max() < 0.501


@pytest.mark.parametrize("side", [2, 6, 10, 14, 30])
def test_halves_are_rounded_up_whatever_the_share_of_a_pixel(side: int) -> None:
    tile = np.zeros((side, side, 3), np.uint8)
    tile[: side // 2] = 1
    assert bring(tile, Fit(side, 1)).tolist() == [[[1, 1, 1]]]


def test_a_crop_between_pixels_takes_its_share_of_them() -> None:
    # 3 of 4 pixels, centred: half of the first, all of the second; all of the third, half of the last.
    tile = np.zeros((4, 4, 3), np.uint8)
    tile[:] = np.array([30, 90, 150, 240], np.uint8)[:, None, None]
    assert bring(tile, Fit(3, 2))[..., 0].tolist() == [[70, 70], [180, 180]]


@given(
    side=st.integers(20, 90), tile_mpp=st.floats(0.25, 2), mpp=st.floats(0.25, 2), beside=st.integers(0, 20)
)
def test_the_centre_stays_the_centre(side: int, tile_mpp: float, mpp: float, beside: int) -> None:
    shape = (side, side + beside, 3)
    fit = fit_by_mpp(shape, tile_mpp, 8, mpp)
    if fit is None:
        return
    # A ramp from left to right, mirrored, gives the mirrored result.
    tile = np.zeros(shape, np.uint8)
    tile[:] = np.linspace(0, 250, side + beside).astype(np.uint8)[None, :, None]
    there, back = bring(tile, fit).astype(int), bring(tile[:, ::-1], fit)[:, ::-1].astype(int)
    assert np.abs(there - back).max() <= 1
    assert np.abs(there.mean() - tile.astype(float).mean()) < 3


def test_a_wide_tile_holds_the_centre_tile_in_its_middle() -> None:
    tile = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    fit = fit_wide(tile.shape, 0.5, 16, 0.5, 2.0)
    wide = bring(tile, fit)
    assert wide.shape == (32, 32, 3)
    assert np.array_equal(wide[8:24, 8:24], bring(tile, Fit(16, 16)))


@given(st.integers(16, 90), st.floats(0.25, 1.0), st.floats(1, 4))
def test_a_wide_tile_keeps_its_scale_and_fits_into_its_source(side: int, mpp: float, room: float) -> None:
    if fit_by_mpp((side, side), mpp, 16, 0.5) is None:
        return
    fit = fit_wide((side, side), mpp, 16, 0.5, room)
    assert 16 <= fit.tile_px <= round(room * 16) and fit.side_px <= side
    assert fit.tile_px * 0.5 == pytest.approx(fit.side_px * mpp, rel=0.021)


def test_squares_come_from_the_whole_of_each_tile_and_from_nothing_else() -> None:
    tiles = np.zeros((2, 12, 12, 3), np.uint8)
    tiles[0, :9, :9], tiles[1] = 100, 200  # the first is smaller; what lies beside it is padding
    wide = WideTiles(tiles, np.array([9, 12]), np.array([1, 0]), 8)
    rng = np.random.default_rng(0)
    assert all((wide.square(0, rng) == 200).all() and (wide.square(1, rng) == 100).all() for _ in range(50))
