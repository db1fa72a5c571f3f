"""One number per cell is read as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from histonic.core.compressed import CellMap
from histonic.core.errors import StoreError
from histonic.core.grid import TileGrid
from histonic.data.maps.cell_maps import read_cell_map, write_cell_map


def test_a_round_trip(tmp_path: Path) -> None:
    grid = TileGrid.over((384, 256), slide_mpp=0.5, tile_px=128, mpp=0.5)
    values = np.array([[1.5, np.nan, -2.0], [0.0, np.nan, 3.0]], np.float32)
    write_cell_map(tmp_path / "a.zarr", CellMap("s1", values, grid, "evidence"), {"target": "msi"})
    again = read_cell_map(tmp_path / "a.zarr")
    assert np.array_equal(again.values, values, equal_nan=True)
    assert (again.slide_id, again.grid, again.meaning) == ("s1", grid, "evidence")
    assert zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs["target"] == "msi"


def test_what_is_no_such_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="histonic explain"):
        read_cell_map(tmp_path / "absent.zarr")
    zarr.create_group(store=str(tmp_path / "other.zarr"), zarr_format=3)
    with pytest.raises(StoreError, match="format"):
        read_cell_map(tmp_path / "other.zarr")
