"""Painting a mosaic: tiles keep their place, seams meet, glass has no tissue."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.simulate.mosaic_layout import FINE, Outline
from histonic.simulate.mosaic_render import Shade, draw_shade, fill_cells, paint, turn_tile

PLAIN = Shade((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (240.0, 240.0, 240.0))


def square(cells: np.ndarray) -> Outline:
    return Outline(np.kron(cells, np.ones((FINE, FINE), bool)), cells)


def painted(tiles: np.ndarray, chosen: list[list[int]], seam_px: int, shade: Shade = PLAIN) -> np.ndarray:
    rows = np.array(chosen)
    rng = np.random.default_rng(0)
    return paint(tiles, rows, np.zeros_like(rows), square(rows >= 0), shade, rng, seam_px)


def test_tiles_lie_where_they_were_chosen_and_glass_elsewhere() -> None:
    tiles = np.random.default_rng(1).integers(60, 200, (2, 32, 32, 3)).astype(np.uint8)
    picture = painted(tiles, [[0, -1], [-1, 1]], seam_px=8)
    assert np.abs(picture[:32, :32].astype(int) - tiles[0]).max() <= 1
    assert np.abs(picture[32:, 32:].astype(int) - tiles[1]).max() <= 1
    assert abs(picture[:32, 32:].mean() - 240) < 1 and picture[:32, 32:].std() < 2


def test_seams_meet_and_reach_no_further_than_asked() -> None:
    tiles = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (50, 150)])
    row = painted(tiles, [[0, 1], [0, 1]], seam_px=4)[8, :, 0].astype(int)
    assert (np.abs(row[:28] - 50) <= 1).all() and (np.abs(row[36:] - 150) <= 1).all()
    assert (np.diff(row[27:37]) >= 0).all() and np.diff(row).max() <= 100 / 8 + 2
    sharp = painted(tiles, [[0, 1], [0, 1]], seam_px=0)[8, :, 0].astype(int)
    assert (np.abs(sharp[:32] - 50) <= 1).all() and (np.abs(sharp[32:] - 150) <= 1).all()
    # Down as across.
    assert np.array_equal(painted(tiles, [[0, 0], [1, 1]], seam_px=4)[:, 8, 0], row)


def test_eight_orientations_differ_and_keep_the_pixels() -> None:
    tile = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    seen = {turn_tile(tile, number).tobytes() for number in range(8)}
    assert len(seen) == 8 and np.array_equal(turn_tile(tile, 0), tile)
    assert all(sorted(each) == sorted(tile.tobytes()) for each in seen)


def test_tiles_of_a_kind_are_shown_equally_often_and_in_their_places() -> None:
    cells = np.ones((6, 6), bool)
    cells[0] = False
    lesion = np.zeros((6, 6), bool)
    lesion[2, :5] = True
    chosen, turned = fill_cells(
        lesion, square(cells), np.array([3, 4]), np.array([7, 8, 9]), np.random.default_rng(0)
    )
    assert (chosen[0] == -1).all() and set(chosen[lesion]) == {3, 4}
    counts = np.bincount(chosen[cells & ~lesion], minlength=10)[7:]
    assert counts.sum() == 25 and counts.max() - counts.min() <= 1 and set(turned.ravel()) <= set(range(8))
    # No lesion, no lesion tiles needed.
    none, _ = fill_cells(~cells, square(cells), np.array([], int), np.array([1]), np.random.default_rng(0))
    assert set(none[cells]) == {1}


def test_the_site_decides_most_of_the_shade() -> None:
    def shade(site: int, slide: int) -> np.ndarray:
        drawn = draw_shade(np.random.default_rng([1, site]), np.random.default_rng([2, slide]), 1.0)
        return np.log(drawn.factor)

    values = np.array([[shade(site, 50 * site + slide) for slide in range(40)] for site in range(40)])
    assert values.mean(axis=1).std() == pytest.approx(0.12, rel=0.2)
    assert values.std(axis=1).mean() == pytest.approx(0.04, rel=0.1)
