"""One number per cell on the disk: a Zarr v3 group beside which the map of codes need not lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from histonic.core.compressed import CellMap
from histonic.core.errors import StoreError
from histonic.core.files import replacing_folder
from histonic.core.grid import TileGrid

CELL_MAP_FORMAT = "histonic-cells-1"


def write_cell_map(folder: str | os.PathLike[str], cells: CellMap, facts: Mapping[str, Any]) -> None:
    """Write one number per cell to a Zarr group, all or nothing.

    Args:
        folder: Replaced if it exists.
        cells: Values ``(R, K)`` float32, NaN outside the tissue, with grid and meaning.
        facts: What else the numbers depend on, plain values.

    Raises:
        OutputError: The folder cannot be written.
    """
    rows, cols = cells.values.shape
    with replacing_folder(folder) as partial:
        group = zarr.create_group(store=str(partial), zarr_format=3)
        stored = group.create_array(
            "values", shape=(rows, cols), chunks=(rows, cols), dtype="float32", fill_value=float("nan")
        )
        stored[:] = cells.values
        group.update_attributes(
            {
                "format": CELL_MAP_FORMAT,
                "slide_id": cells.slide_id,
                "grid": cells.grid.to_dict(),
                "meaning": cells.meaning,
                **facts,
            }
        )


def read_cell_map(folder: str | os.PathLike[str]) -> CellMap:
    """Read one number per cell.

    Raises:
        StoreError: The folder holds no such group.
    """
    path = Path(folder)
    try:
        group = zarr.open_group(store=str(path), mode="r")
        facts = dict(group.attrs)
        if facts.get("format") != CELL_MAP_FORMAT:
            raise ValueError(f"its format is {facts.get('format')!r}")
        values = np.asarray(group["values"][:], np.float32)  # type: ignore[index]
        grid = TileGrid.from_dict(facts["grid"])  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"Read the values of cells in {path}.",
            f"It is no {CELL_MAP_FORMAT}: {error}.",
            "Write it again with 'histonic explain'.",
        ) from error
    return CellMap(str(facts["slide_id"]), values, grid, str(facts["meaning"]))
