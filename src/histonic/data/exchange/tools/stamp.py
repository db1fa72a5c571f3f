"""STAMP: ``EXTRACTOR-HASH/SLIDE.h5`` with positions in microns; also 2.0, and files from before it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file
from histonic.data.exchange.carried import KEY, carried_text, read_carried
from histonic.data.exchange.hdf5 import hold, matrix_in, opened, plain, positions, positive
from histonic.data.exchange.lattice import least_step
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    TileFeatures,
    choose_features,
    map_rows,
    map_xy,
    require_matrix,
    unreadable,
)
from histonic.data.maps.facts import MapFacts

VERSION = "2.5.0"
"""Of the layout that is written; STAMP refuses files newer than itself."""
OLD_PX, OLD_UM = 224, 256.0
"""Before microns were written, positions were in pixels of tiles of so many, which were so wide."""
_HASH = re.compile(r"-[0-9a-f]{8}$")


def find(request: Request) -> list[Found]:
    """The slides in a folder of one extractor, or in the one of several that is meant."""
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(request.folder.rglob("*.h5")):
        # The folder of an extractor may hold folders of slides.
        steps = path.relative_to(request.folder).parts
        top = request.folder / steps[0] if len(steps) > 1 and _HASH.search(steps[0]) else request.folder
        by_folder.setdefault(top, []).append(path)
    if not by_folder or not all(hold(paths, lambda file: "feats" in file) for paths in by_folder.values()):
        return []
    by_extractor: dict[str, list[Path]] = {}
    for folder in by_folder:
        by_extractor.setdefault(_HASH.sub("", folder.name), []).append(folder)
    if len(by_extractor) > 1 or any(_HASH.search(folder.name) for folder in by_folder):
        name = choose_features(request.features, by_extractor, request.folder)
    else:
        name = next(iter(by_extractor))  # its name is no extractor's
    folders = by_extractor[name]
    if len(folders) > 1:
        raise SettingsError(
            f"Import the features {name!r} in {request.folder}.",
            f"Several versions of STAMP made them: {', '.join(sorted(each.name for each in folders))}.",
            "Give one of these folders.",
        )
    return [Found(request.slide_id(path, folders[0]), path) for path in by_folder[folders[0]]]


def read(found: Found, request: Request) -> TileFeatures:
    """What the file of one slide says."""
    slide_id, path = found.slide_id, found.path
    with opened(path, slide_id) as file:
        told = plain(file.attrs)
        kind = told.get("feat_type") or "tile"
        if kind != "tile" or "coords" not in file:
            raise unreadable(
                slide_id, path, f"It holds a vector of a whole {kind}, of which no map can be made.",
                "Give the folder of features of tiles.",
            )  # fmt: skip
        xy = positions(file["coords"][:], slide_id, path)
        shape = require_matrix(slide_id, path, file["feats"].shape, len(xy))
    carried = read_carried(told.get(KEY), slide_id, path)
    side = positive(told, "tile_size_um", slide_id, path) or positive(told, "tile_size", slide_id, path)
    tile_px: float | None = positive(told, "tile_size_px", slide_id, path) or request.tile_px
    is_old = len(xy) > 0 and told.get("unit") is None and side in (None, OLD_PX) and least_step(xy) == OLD_PX
    if is_old:
        # As STAMP itself reads them; tiles of other sizes were not possible.
        xy, side, tile_px = xy / OLD_PX * OLD_UM, OLD_UM, OLD_PX
    elif len(xy) and (told.get("unit") != "um" or side is None):
        raise unreadable(
            slide_id, path, f"Nothing says in which unit its positions are (unit {told.get('unit')!r}, "
            f"tile_size_um {side!r}), nor are they {OLD_PX} pixels apart, as those of old files.",
            "Extract the slide again.",
        )  # fmt: skip
    encoder = str(told.get("extractor") or "") or request.features or _HASH.sub("", path.parent.name)
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=encoder,
        shape=shape,
        open=matrix_in(path, slide_id, "feats"),
        xy=xy,
        unit="um",
        side=side,
        step=side,
        tile_px=None if tile_px is None else round(tile_px),
        tile_mpp=None if side is None or tile_px is None else side / tile_px,
        carried=carried,
    )


FORM = Form("stamp", "STAMP", find, read)


def write(out: Path, slide: CompressedSlide, facts: MapFacts) -> Path:
    """Write a map as STAMP 2.5.0 does: features in float16, positions in microns."""
    spec, grid = facts.encoder.spec, slide.grid
    cells, rows = map_rows(slide)
    xy = (map_xy(slide, cells) * grid.slide_mpp).astype(np.float32)
    code_hash = facts.encoder.fingerprint[:8]
    path = out / f"{spec.name}-{code_hash}" / f"{slide.slide_id}.h5"
    told: dict[str, Any] = {
        "stamp_version": VERSION, "extractor": spec.name, "unit": "um",
        "tile_size_um": grid.tile_px * grid.mpp, "tile_size_px": spec.tile_px, "code_hash": code_hash,
        "feat_type": "tile", KEY: carried_text(facts, xy, rows),
    }  # fmt: skip
    with replacing_file(path) as partial, h5py.File(partial, "w") as file:
        file["coords"], file["feats"] = xy, rows
        file.attrs.update(told)
    return path
