"""Maps side by side: every cell once, empty between, and any window as if they were one array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.stores import made_by
from histonic.core.compressed import CompressedSlide
from histonic.core.grid import TileGrid
from histonic.core.units import Shape
from histonic.data.maps.fusion import GAP_CELLS, lay_out, side_by_side


def slide(name: str, rows: int, cols: int, rng: np.random.Generator, turned: bool) -> CompressedSlide:
    mask = rng.random((rows, cols)) < 0.7
    codes = (rng.normal(size=(8, 3, rows, cols)) * mask).astype(np.float16)
    grid = TileGrid.over((cols * 128, rows * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    return CompressedSlide(name, codes[0], mask, grid, made_by(), orientations=codes if turned else None)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=7),
    window=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12), st.integers(0, 12)),
    seed=st.integers(0, 999),
)
def test_any_window_reads_as_from_one_array(sizes, window, seed):
    rng = np.random.default_rng(seed)
    slides = [slide(str(k), *size, rng, turned=True) for k, size in enumerate(sizes)]
    joined = side_by_side("P", slides)
    whole, turned = joined.features[:], joined.orientations[:]
    assert whole.shape == joined.features.shape == (3, *joined.mask.shape)
    top, left, rows, cols = window
    cut = (slice(top, top + rows), slice(left, left + cols))
    np.testing.assert_array_equal(joined.features[(..., *cut)], whole[(..., *cut)])
    np.testing.assert_array_equal(joined.orientations[(5, ..., *cut)], turned[(5, ..., *cut)])
    np.testing.assert_array_equal(joined.orientations[3], turned[3])
    # Every code and every cell of tissue is there once, and nothing else.
    assert joined.mask.sum() == sum(each.mask.sum() for each in slides)
    assert np.sort(whole[whole != 0]).tolist() == sorted(
        value for each in slides for value in each.features[each.features != 0].tolist()
    )
    assert not whole[:, ~joined.mask].any()


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=9))
def test_maps_keep_their_distance(sizes):
    places, size = lay_out([Shape(*each) for each in sizes])
    held = np.zeros(size, int)
    for place, (rows, cols) in zip(places, sizes, strict=True):
        top, left = max(place.row - GAP_CELLS, 0), max(place.col - GAP_CELLS, 0)
        assert not held[top : place.row + rows + GAP_CELLS, left : place.col + cols + GAP_CELLS].any()
        held[place.row : place.row + rows, place.col : place.col + cols] = 1
    assert held.any(axis=1)[-1] and held.any(axis=0)[-1]


def test_maps_without_orientations_have_none_together():
    rng = np.random.default_rng(0)
    mixed = [slide("a", 2, 2, rng, turned=True), slide("b", 2, 2, rng, turned=False)]
    assert side_by_side("P", mixed).orientations is None


@settings(max_examples=40, deadline=None)
@given(
    glass=st.tuples(*[st.integers(0, 5)] * 4),
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=5),
    seed=st.integers(0, 999),
)
def test_glass_around_a_slide_changes_nothing(glass, sizes, seed):
    rng = np.random.default_rng(seed)
    slides = [slide(str(k), *size, rng, turned=True) for k, size in enumerate(sizes)]
    for each in slides:
        each.mask[0, 0] = True  # A map without tissue is never made.
    edges = (glass[:2], glass[2:])
    around = [(0, 0)] * 2 + list(edges)
    wide = [
        replace(
            each,
            mask=np.pad(each.mask, edges),
            features=np.pad(each.features, around[1:]),
            orientations=np.pad(each.orientations, around),
        )
        for each in slides
    ]
    narrow, broad = (side_by_side("P", each) for each in (slides, [slides[0], *wide[1:]]))
    np.testing.assert_array_equal(narrow.mask, broad.mask)
    np.testing.assert_array_equal(narrow.features[:], broad.features[:])
    np.testing.assert_array_equal(narrow.orientations[:], broad.orientations[:])
