"""AnnData: ``SLIDE.h5ad``, a row a tile, its position under ``obsm/spatial``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import CompressedSlide
from histonic.core.files import replacing_file
from histonic.data.exchange.carried import KEY, carried_text, read_carried
from histonic.data.exchange.hdf5 import matrix_in, opened, positions
from histonic.data.exchange.packages import needed
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    Rows,
    TileFeatures,
    map_rows,
    map_xy,
    positions_alone,
    require_features,
    require_matrix,
    unreadable,
)
from histonic.data.maps.facts import MapFacts

ENDING = ".h5ad"


def find(request: Request) -> list[Found]:
    """The slides of a folder."""
    paths = sorted(request.folder.rglob(f"*{ENDING}"))
    return [Found(request.slide_id(path, request.folder, ENDING), path) for path in paths]


def read(found: Found, request: Request) -> TileFeatures:
    """What the file of one slide says: positions in level-0 pixels; what else, only if histonic wrote it."""
    slide_id, path = found.slide_id, found.path
    with opened(path, slide_id) as file:
        if "spatial" not in file.get("obsm", {}):
            raise unreadable(slide_id, path, "It has no positions under obsm/spatial.", "Write them there.")
        if not hasattr(file["X"], "shape"):
            raise unreadable(slide_id, path, "Its X is a sparse matrix.", "Write it densely.")
        xy = positions(file["obsm/spatial"][:], slide_id, path)
        shape = require_matrix(slide_id, path, file["X"].shape, len(xy))
        text = file["uns"].get(KEY) if "uns" in file else None
        carried = read_carried(None if text is None else text.asstr()[()], slide_id, path)
    encoder = carried.facts.encoder.name if carried else request.features
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=encoder or require_features("", "AnnData", request.folder),
        shape=shape,
        open=matrix_in(path, slide_id, "X"),
        **positions_alone(xy, request),
        carried=carried,
    )


FORM = Form("anndata", "AnnData", find, read)


def table_of(slide: CompressedSlide, facts: MapFacts, rows: Rows, xy: npt.NDArray[np.float64]) -> Any:
    """A map as an AnnData: features in float32, tiles in row-major order, cells and positions beside."""
    asked = f"Export {slide.slide_id!r} as AnnData."
    anndata, pandas = needed("anndata", "anndata", asked), needed("pandas", "anndata", asked)
    cells = np.argwhere(slide.mask)
    names = [str(number) for number in range(len(rows))]
    obs = pandas.DataFrame(
        {"tile_id": np.arange(len(rows)), "row": cells[:, 0], "col": cells[:, 1]}, index=names
    )
    return anndata.AnnData(X=rows.astype(np.float32), obs=obs, obsm={"spatial": xy})


def write(out: Path, slide: CompressedSlide, facts: MapFacts) -> Path:
    """Write a map as one AnnData.

    Raises:
        SettingsError: The package anndata is not installed.
    """
    cells, rows = map_rows(slide)
    xy = map_xy(slide, cells)
    table = table_of(slide, facts, rows, xy)
    grid, spec = slide.grid, facts.encoder.spec
    table.uns = {
        KEY: carried_text(facts, xy, rows), "encoder": spec.name, "tile_px": spec.tile_px, "mpp": grid.mpp,
        "slide_mpp": grid.slide_mpp, "slide_wh": np.array(grid.slide_wh),
    }  # fmt: skip
    path = out / f"{slide.slide_id}{ENDING}"
    with replacing_file(path) as partial:
        table.write_h5ad(partial)
    return path
