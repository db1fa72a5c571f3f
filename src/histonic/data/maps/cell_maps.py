"""One number per cell on the disk: a Zarr v3 group beside which the map of codes need not lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from pydantic import ConfigDict

from histonic.core.compressed import CellMap
from histonic.core.documents import Document, parse_document
from histonic.core.errors import StoreError
from histonic.core.files import replacing_folder
from histonic.core.grid import TileGrid
from histonic.data.maps.store import ZARR_ERRORS
from histonic.data.maps.writer import CHECKED

AGAIN = "Write it again with 'histonic explain'."


class CellMapFacts(Document):
    """The attributes of a map of numbers; what else the numbers depend on stands beside these."""

    model_config = ConfigDict(extra="allow")

    FORMAT = "histonic-cells-1"

    slide_id: str
    grid: TileGrid
    meaning: str


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
            "values",
            shape=(rows, cols),
            chunks=(rows, cols),
            dtype="float32",
            fill_value=float("nan"),
            **CHECKED,
        )
        stored[:] = cells.values
        known = CellMapFacts(slide_id=cells.slide_id, grid=cells.grid, meaning=cells.meaning)
        group.update_attributes({**known.to_dict(), **facts})


def read_cell_map(folder: str | os.PathLike[str]) -> CellMap:
    """Read one number per cell.

    Raises:
        StoreError: The folder holds no such group.
    """
    path = Path(folder)
    try:
        group = zarr.open_group(store=str(path), mode="r")
        facts = parse_document(CellMapFacts, dict(group.attrs), path, StoreError, AGAIN)
        values = np.asarray(group["values"][:], np.float32)  # type: ignore[index]
    except ZARR_ERRORS as error:
        raise StoreError(f"Read {path}.", f"Its values cannot be read: {error}.", AGAIN) from error
    if not (path / "values/c/0/0").is_file():
        # Zarr reads them as empty cells.
        raise StoreError(f"Read {path}.", "Its values are absent.", AGAIN)
    if values.shape != tuple(facts.grid.shape):
        raise StoreError(f"Read {path}.", f"Values {values.shape} and grid {facts.grid.shape} differ.", AGAIN)
    return CellMap(facts.slide_id, values, facts.grid, facts.meaning)
