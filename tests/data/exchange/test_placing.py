"""Tiles on a grid: frames and scales, and what is refused by the slide's name."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.compressed import EncoderDescription, EncoderSpec, MapSettings
from histonic.core.errors import MissingMppError, NoTissueError, SettingsError, SlideError
from histonic.core.units import WH
from histonic.data.exchange.carried import carried_text, read_carried, require_same_rows
from histonic.data.exchange.hdf5 import plain, positions, positive
from histonic.data.exchange.packages import needed
from histonic.data.exchange.placing import nominal_mpp, place_tiles, require_same_code
from histonic.data.exchange.tile_features import TileFeatures, half_rows
from histonic.data.maps.facts import MapFacts

SQUARE = np.array([[0, 0], [448, 0], [0, 448], [448, 448]])


def tiles(xy: Any = SQUARE, values: Any = None, **more: Any) -> TileFeatures:
    places = np.asarray(xy, float).reshape(-1, 2)
    rows = np.ones((len(places), 3), np.float32) if values is None else np.asarray(values)
    return TileFeatures(
        **{
            "slide_id": "s1", "path": Path("s1.h5"), "encoder": "e", "shape": rows.shape,
            "open": lambda: nullcontext(rows), "xy": places, "side": 448.0, "tile_px": 224, **more,
        }
    )  # fmt: skip


def test_microns_need_no_resolution_of_the_slide() -> None:
    um = tiles(SQUARE / 4, unit="um", side=112.0)
    known = place_tiles(um, 0.25, WH(1000, 900))
    assert known.grid.mpp == 0.5 and known.grid.cell_xy((1, 1)) == (448, 448)
    assert known.grid.slide_wh == (1000, 900) and tuple(known.grid.shape) == (3, 3)
    alone = place_tiles(um, None, None)
    assert alone.grid.mpp == alone.grid.slide_mpp == 0.5 and alone.grid.cell_xy((1, 1)) == (224, 224)
    assert alone.grid.cell_um == known.grid.cell_um == 112


def test_a_lattice_that_begins_elsewhere_keeps_its_place() -> None:
    placed = place_tiles(tiles(SQUARE + np.array((100, 900))), 0.25, WH(3000, 2000))
    assert placed.grid.cell_xy(tuple(placed.cells[0])) == (100, 900)
    assert placed.grid.origin_xy == (100, 4) and placed.mask.sum() == 4


@pytest.mark.parametrize(
    ("given", "mpp", "words"),
    [
        (tiles(), None, "Neither the file nor a slide table"),
        (tiles(step=224.0), 0.25, "tiles overlap"),
        (tiles([[0, 0], [448, 0], [200, 448]]), 0.25, "no one lattice"),
        (tiles([[0, 0], [0, 0]]), 0.25, "Several tiles lie in one place"),
        (tiles(side=None), 0.25, "how large its tiles are"),
        (tiles(tile_px=None), 0.25, "how many pixels"),
        (tiles([[-448, 0], [0, 0]]), 0.25, "beside the slide"),
        (tiles(SQUARE + 4000), 0.25, "beside the slide"),
        (tiles([[0, 0], [224, 0], [448, 0]], in_pieces=True), 0.25, "come to a cell"),
        (tiles([]), 0.25, "no tile"),
    ],
)
def test_what_makes_no_map_is_refused_by_the_name_of_the_slide(
    given: TileFeatures, mpp: float | None, words: str
) -> None:
    with pytest.raises(SlideError, match=words) as raised:
        place_tiles(given, mpp, WH(3000, 2000))
    assert "'s1'" in raised.value.asked
    kinds = {"Neither the file nor a slide table": MissingMppError, "no tile": NoTissueError}
    assert isinstance(raised.value, kinds.get(words, SlideError))


def test_tiles_of_several_lattices_are_moved_and_counted() -> None:
    row = np.array([[448 * col, 0] for col in range(30)])
    piece = np.array([[448 * col + 100, 1000] for col in range(10)])
    placed = place_tiles(tiles(np.vstack([row, piece]), in_pieces=True), 0.25, None)
    assert placed.kept.all() and placed.shifted == 10
    assert placed.largest_shift == pytest.approx(104 / 448)
    assert "10 of 40 tiles (25.0%) moved" in placed.words()
    assert place_tiles(tiles(row, in_pieces=True), 0.25, None).words() == ""
    with pytest.raises(SlideError, match="no one lattice"):
        place_tiles(tiles(np.vstack([row, piece]), in_pieces=True), 0.25, None, "one")


@pytest.mark.parametrize(
    ("wrong", "words"), [(np.nan, "Row 2 holds NaN"), (np.inf, "Row 2 holds NaN"), (7e4, "holds 7e\\+04")]
)
def test_numbers_that_float16_does_not_hold_are_refused(wrong: float, words: str) -> None:
    values = np.ones((4, 3), np.float64)
    values[2, 1] = wrong
    with pytest.raises(SlideError, match=words) as raised:
        half_rows(tiles(values=values))
    assert "'s1'" in raised.value.asked
    with pytest.raises(SlideError, match="int64"):
        half_rows(tiles(values=np.ones((4, 3), np.int64)))


def test_features_of_another_kind_than_the_stores_are_refused() -> None:
    require_same_code(tiles(), 3, 224)
    for size, px, words in ((5, 224, "3 numbers, those of the other slides 5"), (3, 256, "224 px")):
        with pytest.raises(SlideError, match=words):
            require_same_code(tiles(), size, px)


def test_resolutions_are_called_by_what_scanners_mean() -> None:
    assert [nominal_mpp(each) for each in (0.2273, 0.2528, 0.4991, 0.33, 1.1)] == [0.25, 0.25, 0.5, 0.33, 1.0]


def facts() -> MapFacts:
    spec = EncoderSpec("e", "example", 224, 0.5, 3)
    return MapFacts(
        slide_id="s1",
        grid=place_tiles(tiles(), 0.25, None).grid,
        slide={},
        reader={},
        encoder=EncoderDescription(name="e", fingerprint="f", spec=spec),
        settings=MapSettings(orientations=8),
        versions={},
    )


def test_what_is_carried_comes_back_and_changes_are_noticed() -> None:
    rows = half_rows(tiles())
    text = carried_text(facts(), SQUARE, rows)
    carried = read_carried(text, "s1", Path("s1.h5"))
    assert carried is not None and carried.facts.settings.orientations == 1
    assert carried.facts.grid == facts().grid and carried.facts.encoder == facts().encoder
    placed = place_tiles(tiles(carried=carried), None, None)
    assert placed.cells.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    require_same_rows(carried, SQUARE, rows, "s1", Path("s1.h5"))
    changed = rows.copy()
    changed[0, 0] += 1
    with pytest.raises(SlideError, match="not those that histonic exported"):
        require_same_rows(carried, SQUARE, changed, "s1", Path("s1.h5"))
    with pytest.raises(SlideError, match="not those that histonic exported"):
        place_tiles(tiles(SQUARE[:3] + 4000, carried=carried), None, None)
    for damaged in ("{", "[]", '{"format": "histonic-exchange-9", "rows": ""}'):
        with pytest.raises(SlideError, match="'histonic'"):
            read_carried(damaged, "s1", Path("s1.h5"))
    assert read_carried(None, "s1", Path("s1.h5")) is None


def test_attributes_become_plain_values() -> None:
    told = plain({"a": b"x", "b": np.float32(2), "c": "None", "d": np.array([1, 2])})
    assert told == {"a": "x", "b": 2.0, "c": None, "d": [1, 2]}
    assert positive(told, "b", "s1", Path("f")) == 2 and positive(told, "c", "s1", Path("f")) is None
    with pytest.raises(SlideError, match="'a' is 'x'"):
        positive(told, "a", "s1", Path("f"))
    assert positions(np.empty((0,)), "s1", Path("f")).shape == (0, 2)
    with pytest.raises(SlideError, match="no finite numbers"):
        positions([[np.nan, 1]], "s1", Path("f"))


def test_an_absent_package_is_named_with_its_extra() -> None:
    with pytest.raises(SettingsError, match=r"histonic\[onnx\]"):
        needed("there_is_no_such_package", "onnx", "Try.")
