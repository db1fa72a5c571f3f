"""One number per cell is read as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fixtures.damage import ABSENT, NO_DOCUMENTS, damage
from histonic.core.compressed import CellMap
from histonic.core.errors import StoreError
from histonic.core.grid import TileGrid
from histonic.data.maps.cell_maps import read_cell_map, write_cell_map

GRID = TileGrid.over((384, 256), slide_mpp=0.5, tile_px=128, mpp=0.5)
VALUES = np.array([[1.5, np.nan, -2.0], [0.0, np.nan, 3.0]], np.float32)


def test_a_round_trip(tmp_path: Path) -> None:
    write_cell_map(tmp_path / "a.zarr", CellMap("s1", VALUES, GRID, "evidence"), {"target": "msi"})
    again = read_cell_map(tmp_path / "a.zarr")
    assert np.array_equal(again.values, VALUES, equal_nan=True)
    assert (again.slide_id, again.grid, again.meaning) == ("s1", GRID, "evidence")
    assert zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs["target"] == "msi"


def test_what_is_no_such_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="histonic explain"):
        read_cell_map(tmp_path / "absent.zarr")
    zarr.create_group(store=str(tmp_path / "other.zarr"), zarr_format=3)
    with pytest.raises(StoreError, match="format"):
        read_cell_map(tmp_path / "other.zarr")


def test_values_that_are_gone_are_not_read_as_empty_cells(tmp_path: Path) -> None:
    write_cell_map(tmp_path / "a.zarr", CellMap("s1", VALUES, GRID, "evidence"), {})
    (tmp_path / "a.zarr/values/c/0/0").unlink()
    with pytest.raises(StoreError, match="absent"):
        read_cell_map(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("format", "histonic-cells-0", "older than"),
        ("format", "histonic-cells-2", "newer than"),
        ("format", "histonic-map-1", "no file of the format"),
        ("slide_id", ABSENT, "slide_id is absent"),
        ("meaning", 3, "meaning is 3"),
        ("grid.tile_px", "a", r"grid\.tile_px is 'a'"),
        ("grid.shape", [3, 2], "differ"),
    ],
)
def test_damaged_attributes_are_refused_by_their_field(
    place: str, value: Any, words: str, tmp_path: Path
) -> None:
    write_cell_map(tmp_path / "a.zarr", CellMap("s1", VALUES, GRID, "evidence"), {"target": "msi"})
    damage(tmp_path / "a.zarr" / "zarr.json", f"attributes.{place}", value)
    with pytest.raises(StoreError, match=words) as error:
        read_cell_map(tmp_path / "a.zarr")
    assert "a.zarr" in error.value.asked


@pytest.mark.parametrize("content", NO_DOCUMENTS)
@pytest.mark.parametrize("name", ["zarr.json", "values/zarr.json", "values/c/0/0"])
def test_what_is_no_map_of_numbers_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    write_cell_map(tmp_path / "a.zarr", CellMap("s1", VALUES, GRID, "evidence"), {})
    (tmp_path / "a.zarr" / name).write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.zarr"):
        read_cell_map(tmp_path / "a.zarr")
