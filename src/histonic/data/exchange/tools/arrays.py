"""Bare arrays, as torchmil keeps them: ``features/SLIDE.npy`` or ``.pt``, and ``coords/SLIDE.npy``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from histonic.core.errors import SettingsError
from histonic.data.exchange.hdf5 import positions
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    TileFeatures,
    positions_alone,
    require_features,
    require_matrix,
    unreadable,
)

FEATURES, COORDS = "features", "coords"
ENDINGS = (".npy", ".pt")


def find(request: Request) -> list[Found]:
    """The slides of a folder of features, with their positions in a folder beside it."""
    folder = request.folder / FEATURES if (request.folder / FEATURES).is_dir() else request.folder
    paths = sorted(path for path in folder.glob("*") if path.suffix in ENDINGS and path.is_file())
    if not paths:
        return []
    require_features(request.features, "arrays", request.folder)
    coords = request.coords or folder.parent / COORDS
    if request.coords is None and folder == request.folder and (folder / COORDS).is_dir():
        coords = folder / COORDS
    if not coords.is_dir():
        raise SettingsError(
            f"Import the arrays in {folder}.",
            f"There is no folder of positions {coords}.",
            "Say where the positions lie: --coords DIR (SLIDE.npy, two columns x and y of level-0 pixels).",
        )
    return [Found(request.slide_id(path, folder), path, _beside(coords, path)) for path in paths]


def _beside(coords: Path, path: Path) -> Path:
    places = [coords / f"{path.stem}{ending}" for ending in ENDINGS]
    return next((place for place in places if place.is_file()), places[0])


def read(found: Found, request: Request) -> TileFeatures:
    """What the arrays of one slide say; the side of a tile is the distance of neighbours."""
    slide_id, path = found.slide_id, found.path
    if found.coords is None or not found.coords.is_file():
        raise unreadable(slide_id, path, f"Its positions {found.coords} are not there.", "Give both.")
    xy = positions(_array(found.coords, slide_id, request), slide_id, found.coords)
    values = _array(path, slide_id, request)
    shape = require_matrix(slide_id, path, values.shape, len(xy))
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=request.features,
        shape=shape,
        open=lambda: nullcontext(values),
        **positions_alone(xy, request),
    )


FORM = Form("arrays", "arrays", find, read)


def _array(path: Path, slide_id: str, request: Request) -> Any:
    if path.suffix == ".pt":
        values = request.tensors.read(path)
        if isinstance(values, np.ndarray):
            return values
        raise unreadable(slide_id, path, "It holds no bare tensor.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(
            slide_id, path, f"It cannot be read: {error}.", "Save it again with numpy.save."
        ) from error
