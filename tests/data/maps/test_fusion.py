"""Maps side by side: every cell once, empty between, and any window as if they were one array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.stores import made_by, make_map
from histonic.core.cohort import Patient
from histonic.core.compressed import CompressedSlide, MapSettings, PatientPart
from histonic.core.grid import TileGrid
from histonic.core.progress import Silent
from histonic.core.units import RC, Shape
from histonic.data.maps.fusion import GAP_CELLS, lay_out, maps_of, parts_side_by_side, side_by_side
from histonic.data.maps.memory import Maps
from histonic.data.maps.views import View


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


def test_parts_lie_side_by_side_and_are_known_by_number() -> None:
    """Codes of the shorter part are filled up with zeros; an absent part leaves its number out."""
    parts = [
        PatientPart(name=name, encoder=made_by(name, size), compress_settings=MapSettings(), code_size=size)
        for name, size in (("he", 2), ("ki67", 3))
    ]
    one = replace(make_map("a", 2, 3, code=2, turned=True), slide_id="he/a")
    other = replace(make_map("b", 4, 2, code=3, turned=True), slide_id="ki67/b")
    both = parts_side_by_side("patient/P", [one, other], parts)
    assert both.parts is not None
    assert both.features.shape == (3, *both.mask.shape)
    assert np.array_equal(both.parts > 0, both.mask)
    assert [int((both.parts == number).sum()) for number in (1, 2)] == [
        int(one.mask.sum()),
        int(other.mask.sum()),
    ]
    codes = np.asarray(both.features[:])
    assert np.array_equal(codes[:2][:, both.parts == 1], np.asarray(one.features)[:, one.mask])
    assert not codes[2, both.parts == 1].any()
    assert np.array_equal(codes[:, both.parts == 2], np.asarray(other.features)[:, other.mask])
    turned = np.asarray(both.orientations[(3, ..., slice(0, 9), slice(0, 9))])
    inner = np.asarray(other.orientations)[3]
    assert np.array_equal(turned[:, both.parts[:9, :9] == 2], inner[:, other.mask])
    alone = parts_side_by_side("patient/P", [other], parts)
    assert set(np.unique(alone.parts)) <= {0, 2}


def test_crops_of_joined_maps_say_which_part_a_cell_is_of() -> None:
    parts = [
        PatientPart(name=name, encoder=made_by(name, 3), compress_settings=MapSettings(), code_size=3)
        for name in ("he", "ki67")
    ]
    slides = {f"{part}/a": replace(make_map("a", 3, 3), slide_id=f"{part}/a") for part in ("he", "ki67")}
    patient = Patient("P", tuple(slides))
    maps = Maps(maps_of([patient], "parts", slides.__getitem__, parts), Silent())
    name = "patient/P"
    codes, mask = maps.crops([View(name, RC(0, 0), turn) for turn in range(2)], 12)
    assert set(np.unique(mask)) == {0, 1, 2}
    assert np.array_equal(mask[1], np.rot90(mask[0], 1))
    for number in (1, 2):
        mean, std = maps.code_scale([name], number)
        own = codes[0][:, mask[0] == number].astype(float)
        assert np.allclose(mean, own.mean(axis=1), atol=1e-3)
        assert np.allclose(std, own.std(axis=1), atol=1e-3)
        assert maps.has_part(name, number)
    assert not maps.has_part(name, 3)
