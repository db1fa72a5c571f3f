"""Parquet: ``SLIDE.parquet``, a row a tile with its cell, its position and its features as one list."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from histonic.core.compressed import CompressedSlide
from histonic.core.files import replacing_file
from histonic.data.exchange.carried import KEY, carried_text, read_carried
from histonic.data.exchange.hdf5 import positions
from histonic.data.exchange.packages import needed
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    TileFeatures,
    map_rows,
    map_xy,
    positions_alone,
    require_features,
    require_matrix,
    unreadable,
)
from histonic.data.maps.facts import MapFacts

ENDING = ".parquet"
COLUMNS = ("x", "y", "features")


def find(request: Request) -> list[Found]:
    """The slides of a folder."""
    paths = sorted(request.folder.glob(f"*{ENDING}"))
    return [Found(request.slide_id(path, request.folder, ENDING), path) for path in paths]


def read(found: Found, request: Request) -> TileFeatures:
    """What the table of one slide says: positions in level-0 pixels; what else, only if histonic wrote it."""
    slide_id, path = found.slide_id, found.path
    asked = f"Read the features of {slide_id!r} from {path}."
    arrow, parquet = needed("pyarrow", "parquet", asked), needed("pyarrow.parquet", "parquet", asked)
    try:
        table = parquet.read_table(path)
        if absent := [name for name in COLUMNS if name not in table.column_names]:
            raise unreadable(
                slide_id, path, f"It has no column {absent[0]!r}; its columns are {table.column_names}.",
                "A table has x, y (level-0 pixels) and features (a list of numbers), a row a tile.",
            )  # fmt: skip
        xy = positions(np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1), slide_id, path)
        lists = table["features"].combine_chunks()
        lengths = np.unique(np.asarray(lists.value_lengths()))
        if len(lengths) > 1 or lists.null_count:
            raise unreadable(
                slide_id, path, f"Its rows have {lengths[0]} to {lengths[-1]} features, or none."
            )
        values = np.asarray(lists.flatten()).reshape(len(xy), -1)
    except (OSError, ValueError, AttributeError, arrow.ArrowException) as error:
        raise unreadable(slide_id, path, f"It cannot be read: {error}.", "Write it again.") from error
    told = table.schema.metadata or {}
    text = told.get(KEY.encode())
    carried = read_carried(None if text is None else text.decode(), slide_id, path)
    encoder = carried.facts.encoder.name if carried else request.features
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=encoder or require_features("", "tables", request.folder),
        shape=require_matrix(slide_id, path, values.shape, len(xy)),
        open=lambda: nullcontext(values),
        **positions_alone(xy, request),
        carried=carried,
    )


FORM = Form("parquet", "Parquet", find, read)


def write(out: Path, slide: CompressedSlide, facts: MapFacts) -> Path:
    """Write a map as one table; the features are float16.

    Raises:
        SettingsError: The package pyarrow is not installed.
    """
    asked = f"Export {slide.slide_id!r} as Parquet."
    arrow, parquet = needed("pyarrow", "parquet", asked), needed("pyarrow.parquet", "parquet", asked)
    cells, rows = map_rows(slide)
    xy = map_xy(slide, cells)
    features: Any = arrow.FixedSizeListArray.from_arrays(arrow.array(rows.reshape(-1)), rows.shape[1])
    columns = {"row": cells[:, 0], "col": cells[:, 1], "x": xy[:, 0], "y": xy[:, 1], "features": features}
    text = carried_text(facts, xy, rows)
    path = out / f"{slide.slide_id}{ENDING}"
    with replacing_file(path) as partial:
        parquet.write_table(arrow.table(columns).replace_schema_metadata({KEY: text}), partial)
    return path
