"""slide2vec: ``tile_embeddings/SLIDE.pt`` or ``.npz``, and hs2p: ``tiles/SLIDE.coordinates.npz``."""

from __future__ import annotations

import json
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from histonic.core.errors import SlideError
from histonic.core.units import WH
from histonic.data.exchange.hdf5 import positive
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    TileFeatures,
    require_features,
    require_matrix,
    unreadable,
)

FEATURES, COORDS = "tile_embeddings", "tiles"
NPZ, META, COORDS_META = ".coordinates.npz", ".meta.json", ".coordinates.meta.json"


def find(request: Request) -> list[Found]:
    """The slides of a run, in folders of their classes or in none."""
    folder = request.folder if request.folder.name == FEATURES else request.folder / FEATURES
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".pt", ".npz"))
    coords = request.coords or folder.parent / COORDS
    return [
        Found(request.slide_id(path, folder, path.suffix), path, coords / f"{path.stem}{NPZ}")
        for path in paths
    ]


def read(found: Found, request: Request) -> TileFeatures:
    """What the files of one slide say."""
    slide_id, path = found.slide_id, found.path
    own = _json(path.with_name(f"{path.stem}{META}"), slide_id)
    coords = found.coords
    if coords is None or not coords.is_file():
        named = own.get("coordinates_npz_path")
        coords = Path(named) if named and Path(named).is_file() else coords
    if coords is None or not coords.is_file():
        told = f"There is no {coords}, nor does {path.stem}{META} name positions that are there."
        raise unreadable(slide_id, path, told, "Say where the tiles of hs2p lie: --coords DIR.")
    meta_path = coords.with_name(coords.name.removesuffix(NPZ) + COORDS_META)
    meta = _json(meta_path, slide_id)
    tiling, slide = _section(meta, "tiling"), _section(meta, "slide")
    places = _npz(coords, slide_id)
    if not {"x", "y"} <= set(places):
        raise unreadable(slide_id, coords, f"It holds {', '.join(sorted(places))}, no x and y.")
    xy = np.stack([np.asarray(places[axis], np.float64).reshape(-1) for axis in ("x", "y")], axis=1)
    values, rows = _features(path, slide_id, request)
    if rows is not None:
        if len(np.unique(rows)) != len(rows) or (len(rows) and not 0 <= rows.min() <= rows.max() < len(xy)):
            raise unreadable(slide_id, path, "Its tile_index names tiles twice, or tiles that there are not.")
        xy = xy[rows]
    shape = require_matrix(slide_id, path, values.shape, len(xy))

    def number(part: Any, name: str) -> float | None:
        return positive(part, name, slide_id, meta_path)

    size = slide.get("dimensions")
    tile_px = number(tiling, "requested_tile_size_px")
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=str(own.get("encoder_name") or "")
        or require_features(request.features, "slide2vec", request.folder),
        shape=shape,
        open=lambda: nullcontext(values),
        xy=xy,
        side=number(tiling, "tile_size_lv0"),
        step=number(tiling, "step_px_lv0") or number(tiling, "tile_size_lv0"),
        tile_px=None if tile_px is None else round(tile_px),
        tile_mpp=number(tiling, "requested_spacing_um"),
        slide_wh=WH(int(size[0]), int(size[1])) if isinstance(size, list) and len(size) == 2 else None,
        slide_mpp=number(slide, "base_spacing_um"),
    )


FORM = Form("slide2vec", "slide2vec", find, read)


def _json(path: Path, slide_id: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(
            slide_id, path, f"It cannot be read: {error}.", "Copy it beside the features."
        ) from error
    if not isinstance(values, dict):
        raise unreadable(slide_id, path, "It holds no keys.")
    return values


def _section(meta: dict[str, Any], key: str) -> dict[str, Any]:
    found = meta.get(key)
    return found if isinstance(found, dict) else {}


def _npz(path: Path, slide_id: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise unreadable(slide_id, path, f"It cannot be read: {error}.", "Copy it again.") from error


def _features(path: Path, slide_id: str, request: Request) -> tuple[Any, Any]:
    """The features, and which tiles they are of, where that is said."""
    if path.suffix == ".npz":
        held = _npz(path, slide_id)
    else:
        read = request.tensors.read(path)
        held = {"features": read} if isinstance(read, np.ndarray) else dict(read)
    if "features" not in held:
        raise SlideError(
            f"Read the features of {slide_id!r} from {path}.",
            f"It holds {', '.join(sorted(map(str, held)))}, no features.",
            "Give embeddings of tiles.",
        )
    index = held.get("tile_index")
    return np.asarray(held["features"]), None if index is None else np.asarray(index, np.int64).reshape(-1)
