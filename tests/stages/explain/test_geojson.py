"""GeoJSON for QuPath: level-0 pixels, classes, and a file that stays small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from histonic.core.compressed import CellMap
from histonic.core.grid import TileGrid
from histonic.core.units import WH, XY, Shape
from histonic.data.annotations.reading import read_annotations
from histonic.stages.explain import geojson as explain_geojson
from histonic.stages.explain.geojson import (
    ATTENTION_LEVELS,
    cells_geojson,
    level_cells,
    signed_levels,
    tiles_geojson,
)


def cell_map(values: np.ndarray) -> CellMap:
    rows, cols = values.shape
    grid = TileGrid.over((cols * 256 - 20, rows * 256), slide_mpp=0.25, tile_px=128, mpp=0.5)
    assert tuple(grid.shape) == values.shape
    return CellMap("s1", values.astype(np.float32), grid, "evidence")


def test_polygons_cover_the_cells_of_their_level(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(12, 15))
    values[:3] = np.nan
    cells = cell_map(values)
    content = cells_geojson(cells, signed_levels("G3"))
    file = tmp_path / "cells.geojson"
    file.write_text(json.dumps(content, allow_nan=False))
    regions = read_annotations(file).regions
    for level in signed_levels("G3"):
        inside = level_cells(cells.values, level)
        own = [f for f in content["features"] if f["properties"]["classification"]["name"] == level.name]
        assert inside.sum() == sum(f["properties"]["measurements"]["cells"] for f in own) > 0
        for feature in own:
            measured = feature["properties"]["measurements"]
            assert measured["least value"] <= measured["mean value"] <= measured["greatest value"]
            assert measured["area mm^2"] == pytest.approx(measured["cells"] * 0.064**2)
            assert (measured["least value"] > 0) == (level.sign > 0)
        assert sum(region.label == level.name for region in regions) == len(own)


def test_corners_are_level_0_pixels_within_the_slide() -> None:
    values = np.full((4, 5), np.nan)
    values[1, 4] = 1.0
    (feature,) = cells_geojson(cell_map(values), signed_levels("x"))["features"]
    assert feature["geometry"]["coordinates"] == [
        [[1024, 256], [1260, 256], [1260, 512], [1024, 512], [1024, 256]]
    ]
    assert feature["properties"]["isLocked"] and feature["properties"]["objectType"] == "annotation"


def test_an_origin_is_kept() -> None:
    grid = TileGrid(XY(100, 50), 128, 128, 0.5, 0.5, WH(1000, 1000), Shape(2, 2))
    cells = CellMap("s", np.array([[1, -1], [np.nan, np.nan]], np.float32), grid, "")
    first = cells_geojson(cells, signed_levels("x"))["features"][0]
    assert first["geometry"]["coordinates"][0][0] == [100, 50]


@pytest.mark.parametrize(("stride", "left", "right"), [(64, 160, 224), (128, 256, 384), (192, 352, 544)])
def test_cells_are_drawn_around_the_middles_of_their_tiles(stride: int, left: int, right: int) -> None:
    """Of tiles of 128 px the third begins at two strides; its square is a stride wide around its middle."""
    grid = TileGrid.over((1000, 128), slide_mpp=0.5, tile_px=128, mpp=0.5, stride_px=stride)
    values = np.full(grid.shape, np.nan, np.float32)
    values[0, 2] = 1.0
    (feature,) = cells_geojson(CellMap("s", values, grid, ""), signed_levels("x"))["features"]
    xs = {x for x, _ in feature["geometry"]["coordinates"][0]}
    assert xs == {left, right} and (left + right) / 2 == 2 * stride + 64
    assert feature["properties"]["measurements"]["area mm^2"] == pytest.approx((stride / 2000) ** 2)
    assert min(y for _, y in feature["geometry"]["coordinates"][0]) == max(0, (128 - stride) // 2)


def test_levels_have_their_share_and_their_sign() -> None:
    values = np.arange(1.0, 101).reshape(10, 10)
    sizes = [int(level_cells(values.astype(np.float32), level).sum()) for level in signed_levels("x")]
    assert sizes == [5, 15, 0, 0]
    sizes = [int(level_cells(-values.astype(np.float32), level).sum()) for level in signed_levels("x")]
    assert sizes == [0, 0, 15, 5]
    assert [int(level_cells(values.astype(np.float32), each).sum()) for each in ATTENTION_LEVELS] == [5, 15]
    assert not level_cells(np.zeros((4, 4), np.float32), signed_levels("x")[0]).any()


def test_no_levels_and_no_cells_give_no_polygons() -> None:
    cells = cell_map(np.full((4, 5), np.nan))
    assert cells_geojson(cells, ())["features"] == cells_geojson(cells, signed_levels("x"))["features"] == []


def test_a_scattered_map_gives_a_bounded_file(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(40, 40))
    everything = cells_geojson(cell_map(values), signed_levels("x"))["features"]
    monkeypatch.setattr(explain_geojson, "MOST_POLYGONS", 7)
    features = cells_geojson(cell_map(values), signed_levels("x"))["features"]
    counts = [feature["properties"]["measurements"]["cells"] for feature in features]
    assert len(features) == 7 and counts == sorted(counts, reverse=True)
    assert features == everything[:7]
    assert len({feature["id"] for feature in features}) == 7


def test_every_cell_is_a_tile_object_with_its_value_and_rank() -> None:
    values = np.array([[np.nan, 2.0, -1.0], [0.5, np.nan, 0.5]], np.float32)
    features = tiles_geojson(cell_map(values), "msi: for yes")["features"]
    assert [each["properties"]["objectType"] for each in features] == ["tile"] * 4
    told = [each["properties"]["measurements"] for each in features]
    assert [each["msi: for yes"] for each in told] == [2.0, -1.0, 0.5, 0.5]
    # Shares of the four cells with a lower or equal value.
    assert [each["msi: for yes, rank"] for each in told] == [1.0, 0.25, 0.75, 0.75]
    assert len({each["id"] for each in features}) == 4
    grid = cell_map(values).grid
    left, top = features[0]["geometry"]["coordinates"][0][0]
    assert (left, top) == tuple(grid.cell_xy((0, 1)))
    # In the order of the clock, closed, and never beyond the slide.
    for each in features:
        (ring,) = each["geometry"]["coordinates"]
        assert ring[0] == ring[-1] and len(ring) == 5
        assert all(0 <= x <= grid.slide_wh.w and 0 <= y <= grid.slide_wh.h for x, y in ring)
