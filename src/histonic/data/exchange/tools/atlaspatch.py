"""AtlasPatch: ``patches/SLIDE.h5`` with positions and the features of one or several encoders."""

from __future__ import annotations

from typing import Any

from histonic.data.exchange.hdf5 import (
    hold,
    matrix_in,
    opened,
    plain,
    positions,
    positive,
    require_one_side,
    size_of,
)
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    TileFeatures,
    choose_features,
    require_matrix,
)


def find(request: Request) -> list[Found]:
    """The slides of a run."""
    for folder in (request.folder / "patches", request.folder):
        paths = sorted(folder.glob("*.h5")) if folder.is_dir() else []
        if hold(paths, _is_own):
            return [Found(request.slide_id(path, folder), path) for path in paths]
    return []


def _is_own(file: Any) -> bool:
    is_group = file.get("features", getclass=True) is type(file["/"])
    return "coords" in file and (is_group or "passport_version" in file.attrs)


def read(found: Found, request: Request) -> TileFeatures:
    """What the file of one slide says.

    Raises:
        SettingsError: It holds the features of several encoders and none was named.
        SlideError: Something in it is missing or damaged, or its attributes contradict each other.
    """
    slide_id, path = found.slide_id, found.path
    with opened(path, slide_id) as file:
        told = plain(file.attrs)
        xy = positions(file["coords"][:], slide_id, path, columns=5)
        group = file.get("features")
        there = {name: group[name].shape for name in group} if group is not None else {}
    name = choose_features(request.features, there, path)
    shape = require_matrix(slide_id, path, there[name], len(xy))

    def number(key: str) -> float | None:
        return positive(told, key, slide_id, path)

    tile_px, side, target = number("patch_size"), number("patch_size_level0"), number("target_magnification")
    own_magnification = number("level0_magnification")
    require_one_side(slide_id, path, tile_px, side, own_magnification, target)
    overlap = float(told.get("overlap") or 0)
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=name,
        shape=shape,
        open=matrix_in(path, slide_id, f"features/{name}"),
        xy=xy,
        side=side,
        step=None if side is None or tile_px is None else side * (tile_px - overlap) / tile_px,
        tile_px=None if tile_px is None else round(tile_px),
        tile_mpp=None if target is None else 10 / target,
        slide_wh=size_of(number("level0_width"), number("level0_height")),
        slide_mpp=number("mpp"),
        magnification=own_magnification,
    )


FORM = Form("atlaspatch", "AtlasPatch", find, read)
