"""wsidata and LazySlide: a SpatialData folder ``SLIDE.zarr`` with shapes of tiles and tables of features."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import zarr
from shapely.errors import ShapelyError

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError
from histonic.core.files import replacing_folder
from histonic.core.units import WH
from histonic.data.exchange.carried import KEY, carried_text, read_carried
from histonic.data.exchange.hdf5 import positive
from histonic.data.exchange.packages import needed
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Matrix,
    Request,
    TileFeatures,
    choose_features,
    map_rows,
    map_xy,
    require_matrix,
    unreadable,
)
from histonic.data.exchange.tools.anndata_files import table_of
from histonic.data.maps.facts import MapFacts
from histonic.data.maps.store import ZARR_ERRORS

ENDING, TILES = ".zarr", "tiles"
TABLE_ENDING = f"_{TILES}"
SHAPES = Path("shapes") / TILES / "shapes.parquet"


def find(request: Request) -> list[Found]:
    """The slides of a folder, or the one that the folder is.

    Raises:
        SettingsError: The folder is a store of histonic.
    """
    folders = (
        [request.folder] if (request.folder / SHAPES).is_file() else sorted(request.folder.glob(f"*{ENDING}"))
    )
    found = [each for each in folders if (each / SHAPES).is_file()]
    if folders and not found and _is_store(folders[0]):
        raise SettingsError(
            f"Import the features in {request.folder}.",
            "It is a store of histonic.",
            "Use it as it is: histonic train STORE ...",
        )
    return [Found(request.slide_id(each, each.parent), each) for each in found]


def _is_store(folder: Path) -> bool:
    try:
        return "histonic-map" in (folder / "zarr.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


@contextmanager
def _opened(path: Path, slide_id: str) -> Iterator[Any]:
    try:
        yield zarr.open_group(store=str(path), mode="r")
    except ZARR_ERRORS as error:
        told = " ".join(str(error).split())
        raise unreadable(slide_id, path, f"It cannot be read: {told}.", "Copy it again.") from error


def read(found: Found, request: Request) -> TileFeatures:
    """What the folder of one slide says.

    Raises:
        SettingsError: It holds the features of several encoders and none was named.
    """
    slide_id, path = found.slide_id, found.path
    places = _tiles(path, slide_id)
    with _opened(path, slide_id) as group:
        told = dict(group.attrs)
        tables = {
            name.removesuffix(TABLE_ENDING): name
            for name in (group["tables"].group_keys() if "tables" in group else ())
            if name.endswith(TABLE_ENDING)
        }
        encoder = choose_features(request.features, tables, path)
        name = tables[encoder]
        ids = np.asarray(group[f"tables/{name}/obs/tile_id"][:])
        if isinstance(group[f"tables/{name}/X"], zarr.Group):
            raise unreadable(
                slide_id, path, f"The features of {name} are a sparse matrix.", "Write them densely."
            )
        shape = require_matrix(slide_id, path, group[f"tables/{name}/X"].shape, len(ids))
    # Rows of the table may be fewer than tiles, and in another order.
    order = {int(tile): row for row, tile in enumerate(places["tile_id"])}
    absent = [int(tile) for tile in ids if int(tile) not in order]
    if absent or len(set(ids.tolist())) != len(ids):
        raise unreadable(slide_id, path, f"Its table {name} names tiles twice, or some that there are not.")
    xy = np.stack([places["x"], places["y"]], axis=1)[[order[int(tile)] for tile in ids]]
    spec = _part(_part(told, "tile_spec"), TILES)
    properties = _part(told, "slide_properties")

    def number(values: Any, key: str) -> float | None:
        return positive(values, key, slide_id, path)

    px, stride = number(spec, "width"), number(spec, "stride_width")
    if spec and (
        spec.get("height") != spec.get("width") or spec.get("stride_height") != spec.get("stride_width")
    ):
        raise unreadable(slide_id, path, "Its tiles are not square.", "Tile the slide with square tiles.")
    scale = number(spec, "base_downsample")
    if scale is None and number(spec, "ops_downsample") is not None:
        levels = properties.get("level_downsample") or [1.0]
        scale = float(spec["ops_downsample"]) * float(levels[int(spec.get("ops_level") or 0)])
    size = properties.get("shape")
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=encoder,
        shape=shape,
        open=_matrix(path, slide_id, f"tables/{name}/X"),
        xy=xy.astype(np.float64).reshape(-1, 2),
        # wsidata cuts the side of a tile to whole pixels of level 0.
        side=None if px is None or scale is None else float(int(px * scale)),
        step=None if stride is None or scale is None else float(int(stride * scale)),
        tile_px=None if px is None else round(px),
        tile_mpp=number(spec, "mpp"),
        slide_wh=WH(int(size[1]), int(size[0])) if isinstance(size, Sequence) and len(size) == 2 else None,
        slide_mpp=number(properties, "mpp"),
        magnification=number(properties, "magnification"),
        in_pieces=True,
        carried=read_carried(told.get(KEY), slide_id, path),
    )


FORM = Form("spatialdata", "wsidata", find, read)


def _part(values: Any, key: str) -> dict[str, Any]:
    value = values.get(key)
    value = json.loads(value) if isinstance(value, str) else value
    return dict(value) if isinstance(value, dict) else {}


def _matrix(path: Path, slide_id: str, name: str) -> Any:
    @contextmanager
    def open_() -> Iterator[Matrix]:
        with _opened(path, slide_id) as group:
            yield group[name]

    return open_


def _tiles(path: Path, slide_id: str) -> dict[str, npt.NDArray[Any]]:
    """Identifier and top-left corner of every tile."""
    parquet = needed("pyarrow.parquet", "parquet", f"Read the tiles of {slide_id!r} from {path}.")
    arrow = needed("pyarrow", "parquet", f"Read the tiles of {slide_id!r} from {path}.")
    try:
        table = parquet.read_table(path / SHAPES)
        held = set(table.column_names)
        ids = table["tile_id"].to_numpy() if "tile_id" in held else np.arange(len(table))
        if {"x", "y"} <= held:
            return {"tile_id": ids, "x": table["x"].to_numpy(), "y": table["y"].to_numpy()}
        corners = _corners(table["geometry"].to_pylist())
    except (OSError, ValueError, LookupError, TypeError, ShapelyError, arrow.ArrowException) as error:
        raise unreadable(slide_id, path / SHAPES, f"It cannot be read: {error}.", "Copy it again.") from error
    return {"tile_id": ids, "x": corners[:, 0], "y": corners[:, 1]}


def _corners(binary: list[bytes]) -> npt.NDArray[np.float64]:
    """Top-left corners ``(n, 2)`` of polygons in well-known binary."""
    tiles = shapely.from_wkb(np.array(binary, object))
    if not (shapely.get_type_id(tiles) == shapely.GeometryType.POLYGON).all():
        raise ValueError("a tile is no polygon")
    return np.asarray(shapely.bounds(tiles)[:, :2]).reshape(-1, 2)


def write(out: Path, slide: CompressedSlide, facts: MapFacts) -> Path:
    """Write a map as wsidata keeps tiles and their features.

    Raises:
        SettingsError: A package that writes it is not installed.
    """
    asked = f"Export {slide.slide_id!r} as SpatialData."
    io = needed("anndata.io", "anndata", asked)
    spec, grid = facts.encoder.spec, slide.grid
    cells, rows = map_rows(slide)
    xy = map_xy(slide, cells)
    xy = np.rint(xy) if (np.abs(xy - np.rint(xy)) < 1e-6).all() else xy
    name = f"{spec.name}{TABLE_ENDING}"
    table = table_of(slide, facts, rows, xy)
    pandas = needed("pandas", "anndata", asked)
    table.obs["library_id"] = pandas.Categorical([TILES] * len(rows))
    region = {"region": TILES, "region_key": "library_id", "instance_key": "tile_id"}
    table.uns = {"spatialdata_attrs": region}
    path = out / f"{slide.slide_id}{ENDING}"
    with replacing_folder(path) as partial:
        group = zarr.create_group(store=str(partial), zarr_format=3, overwrite=True)
        group.attrs.update(
            {
                "spatialdata_attrs": {"version": "0.2", "spatialdata_software_version": "0.7.3"},
                "tile_spec": {TILES: _tile_spec(spec.tile_px, slide)},
                "slide_properties": {
                    "shape": [grid.slide_wh.h, grid.slide_wh.w], "n_level": 1,
                    "level_shape": [[grid.slide_wh.h, grid.slide_wh.w]], "level_downsample": [1.0],
                    "mpp": grid.slide_mpp, "magnification": None, "bounds": [0, 0, *grid.slide_wh],
                },
                KEY: carried_text(facts, xy, rows),
            }
        )  # fmt: skip
        io.write_elem(group.create_group("tables"), name, table)
        group[f"tables/{name}"].attrs.update(
            {"spatialdata-encoding-type": "ngff:regions_table", "version": "0.2", **region}
        )
        shapes = group.create_group("shapes").create_group(TILES)
        shapes.attrs.update(_shapes_attributes())
        _write_shapes(partial / SHAPES, slide, xy, asked)
    return path


def _tile_spec(tile_px: int, slide: CompressedSlide) -> dict[str, Any]:
    grid = slide.grid
    stride = round(tile_px * grid.stride_px / grid.tile_px)
    scale = grid.tile_side_level0 / tile_px
    return {
        "height": tile_px, "width": tile_px, "stride_height": stride, "stride_width": stride,
        "mpp": grid.mpp, "ops_level": 0, "ops_downsample": scale, "base_level": 0, "base_downsample": scale,
        "tissue_name": None,
    }  # fmt: skip


def _shapes_attributes() -> dict[str, Any]:
    """Of a shapes element: its coordinates are those of the slide."""
    axes = [{"name": axis, "type": "space", "unit": "unit"} for axis in ("x", "y")]
    ends = {"input": {"name": "xy", "axes": axes}, "output": {"name": "global", "axes": axes}}
    return {
        "encoding-type": "ngff:shapes",
        "axes": ["x", "y"],
        "coordinateTransformations": [{"type": "identity", **ends}],
        "spatialdata_attrs": {"version": "0.3"},
    }


def _write_shapes(path: Path, slide: CompressedSlide, xy: npt.NDArray[np.float64], asked: str) -> None:
    """GeoParquet of the tiles' outlines."""
    arrow, parquet = needed("pyarrow", "parquet", asked), needed("pyarrow.parquet", "parquet", asked)
    side = slide.grid.tile_side_level0
    outlines = shapely.to_wkb(shapely.box(*xy.T, *(xy + side).T), byte_order=1)
    bounds = [*xy.min(axis=0), *(xy.max(axis=0) + side)] if len(xy) else [0, 0, 0, 0]
    column = {
        "encoding": "WKB",
        "crs": None,
        "geometry_types": ["Polygon"],
        "bbox": [float(x) for x in bounds],
    }
    geo = {"primary_column": "geometry", "columns": {"geometry": column}, "version": "1.0.0"}
    whole = (xy == np.rint(xy)).all()
    table = arrow.table(
        {
            "tile_id": np.arange(len(xy)),
            "x": xy[:, 0].astype(np.int64) if whole else xy[:, 0],
            "y": xy[:, 1].astype(np.int64) if whole else xy[:, 1],
            "tissue_id": np.zeros(len(xy), np.int64),
            "geometry": arrow.array(outlines, arrow.binary()),
        }
    )
    parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
