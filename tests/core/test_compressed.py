"""The eight orientations: a group, and the same turn for tiles and for the grid."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import stores
from histonic.core.compressed import ORIENTATIONS, CompressedSlide, SlideDescription, orient
from histonic.core.grid import TileGrid
from histonic.core.units import WH

SQUARE = np.arange(9).reshape(3, 3)


def key(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def test_eight_orientations_form_the_dihedral_group():
    images = {key(orient(SQUARE, o)): o for o in range(ORIENTATIONS)}
    assert len(images) == 8
    table = np.array([[images[key(orient(orient(SQUARE, a), b))] for b in range(8)] for a in range(8)])
    assert all(sorted(row) == list(range(8)) for row in table)  # closed, with inverses
    assert all(sorted(column) == list(range(8)) for column in table.T)
    assert list(table[0]) == list(range(8))  # 0 is the identity
    assert not np.array_equal(table, table.T)  # turning and mirroring do not commute
    involutions = sum(table[o, o] == 0 for o in range(8))
    assert involutions == 6  # identity, half turn and four mirrors: D4, not another group of order 8


def test_orientations_by_hand():
    corner = np.array([[1, 2, 3], [4, 5, 6]])
    assert orient(corner, 1).tolist() == [[3, 6], [2, 5], [1, 4]]  # counter-clockwise
    assert orient(corner, 2).tolist() == [[6, 5, 4], [3, 2, 1]]
    assert orient(corner, 4).tolist() == [[3, 2, 1], [6, 5, 4]]  # left-right mirror
    assert orient(corner, 5).tolist() == [[1, 4], [2, 5], [3, 6]]  # mirror, then turn: transpose


@given(st.integers(0, 7), st.integers(1, 4), st.integers(1, 4))
def test_a_slide_of_turned_tiles_on_a_turned_grid_is_the_turned_slide(orientation, rows, cols):
    side = 3
    slide = np.arange(rows * side * cols * side).reshape(rows * side, cols * side)
    tiles = slide.reshape(rows, side, cols, side).swapaxes(1, 2)  # (R, K, side, side)
    turned = orient(orient(tiles, orientation, (2, 3)), orientation, (0, 1))
    again = turned.swapaxes(1, 2).reshape(turned.shape[0] * side, turned.shape[1] * side)
    np.testing.assert_array_equal(again, orient(slide, orientation))


def make_map(orientations: np.ndarray | None = None) -> CompressedSlide:
    grid = TileGrid.over((4 * 8, 3 * 8), slide_mpp=0.5, tile_px=8, mpp=0.5)
    features = np.arange(2 * 3 * 4, dtype=np.float16).reshape(2, 3, 4)
    mask = features[0] % 2 == 0
    return CompressedSlide("a", features, mask, grid, stores.made_by(), orientations=orientations)


def test_map_turns_features_and_mask_together():
    compressed = make_map()
    assert compressed.code_size == 2
    for orientation in range(8):
        codes, mask = compressed.oriented(orientation)
        np.testing.assert_array_equal(codes[0] % 2 == 0, mask)
        assert codes.shape[1:] == mask.shape == ((4, 3) if orientation % 2 else (3, 4))


def test_map_uses_codes_of_turned_tiles_where_there_are_some():
    stack = np.stack([np.full((2, 3, 4), o, np.float16) for o in range(8)])
    compressed = make_map(stack)
    for orientation in range(8):
        assert np.unique(compressed.oriented(orientation)[0]).tolist() == [orientation]


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3), 2)))
def test_any_two_axes_can_turn(axes):
    block = np.arange(24).reshape(2, 3, 4)
    turned = orient(orient(block, 1, axes), 3, axes)
    np.testing.assert_array_equal(turned, block)


def test_a_map_shows_what_it_is() -> None:
    told = SlideDescription(size_wh=WH(896, 640), mpp=0.25)
    slide = replace(stores.make_map("<s1>", turned=True), slide=told)
    kept = int(slide.mask.sum())
    assert repr(slide) == (
        "CompressedSlide '<s1>' (grid: 5 rows x 7 columns, 0.4 mm wide, 0.3 mm high, "
        f"cells with tissue: {kept} of 35 ({100 * kept / 35:.1f} %), "
        "cell: 64 µm, tiles of 128 px at 0.5 mpp, "
        f"encoder: {slide.encoder.name}, 3 numbers a cell, 8 orientations, slide: 896 x 640 px at 0.25 mpp)"
    )
    assert "&lt;s1&gt;" in slide._repr_html_() and "<s1>" not in slide._repr_html_()
