"""CLAM: ``h5_files/SLIDE.h5``, ``pt_files/SLIDE.pt``; what positions mean stands in ``patches/SLIDE.h5``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file
from histonic.data.exchange.carried import KEY, carried_text, read_carried
from histonic.data.exchange.hdf5 import (
    level_downsample,
    matrix_in,
    opened,
    padding_note,
    plain,
    positions,
    positive,
    size_of,
)
from histonic.data.exchange.lattice import least_step
from histonic.data.exchange.tile_features import (
    Form,
    Found,
    Request,
    TensorFiles,
    TileFeatures,
    map_rows,
    map_xy,
    require_features,
    require_matrix,
    unreadable,
)
from histonic.data.maps.facts import MapFacts

FEATURES, TENSORS, COORDS = "h5_files", "pt_files", "patches"


def find(request: Request) -> list[Found]:
    """The slides of a folder of features; positions from ``patches`` in it, beside it, or as given."""
    folder = next(
        (
            each
            for each in (request.folder, *sorted(path for path in request.folder.glob("*") if path.is_dir()))
            if (each / FEATURES).is_dir() or (each / TENSORS).is_dir()
        ),
        None,
    )
    if folder is None:
        return []
    require_features(request.features, "CLAM", request.folder)
    # Tensors stand in only for slides of which there is no file with positions.
    files = {path.stem: path for path in sorted((folder / TENSORS).glob("*.pt"))}
    files |= {path.stem: path for path in sorted((folder / FEATURES).glob("*.h5"))}
    places = (request.coords, folder / COORDS, request.folder / COORDS, folder.parent / COORDS)
    coords = next((each for each in places if each is not None and each.is_dir()), None)
    if coords is None and files and all(path.suffix == ".pt" for path in files.values()):
        raise SettingsError(
            f"Import the features in {folder}.",
            f"Its {TENSORS} hold no positions, and there is no folder {COORDS} beside them.",
            "Say where CLAM's patches lie: --coords DIR.",
        )
    return [
        Found(request.slide_id(path, path.parent), path, None if coords is None else coords / f"{stem}.h5")
        for stem, path in sorted(files.items())
    ]


def read(found: Found, request: Request) -> TileFeatures:
    """What the files of one slide say."""
    slide_id, path, coords = found.slide_id, found.path, found.coords
    told: dict[str, Any] = {}
    carried, xy = None, np.empty((0, 2))
    is_tensor = path.suffix == ".pt"
    if coords is not None and (coords.is_file() or is_tensor):
        with opened(coords, slide_id) as file:
            xy, told = positions(file["coords"][:], slide_id, coords), plain(file["coords"].attrs)
    if is_tensor:
        values = request.tensors.read(path)
        if not isinstance(values, np.ndarray):
            raise unreadable(slide_id, path, "It holds no bare tensor.")
        shape = require_matrix(slide_id, path, values.shape, len(xy))

        def matrix() -> Any:
            return nullcontext(values)
    else:
        stated = xy if told else None
        with opened(path, slide_id) as file:
            xy = positions(file["coords"][:], slide_id, path)
            shape = require_matrix(slide_id, path, file["features"].shape, len(xy))
            carried = read_carried(plain(file.attrs).get(KEY), slide_id, path)
        if stated is not None and (stated.shape != xy.shape or (stated != xy).any()):
            raise unreadable(
                slide_id,
                path,
                f"Its {len(xy)} positions are not the {len(stated)} of {coords}.",
                "Extract the features of the patches that are there.",
            )
        matrix = matrix_in(path, slide_id, "features")
    # Older versions wrote the downsampling of a level beside that of the patches.
    own = level_downsample(told, slide_id, path)
    scale = own * (positive(told, "custom_downsample", slide_id, path) or 1.0)
    stated_px = positive(told, "patch_size", slide_id, path)
    tile_px = request.tile_px if stated_px is None else round(stated_px)
    level = told.get("level_dim")
    is_sized = isinstance(level, list) and len(level) == 2
    downs = told.get("downsample")
    wide, high = map(float, downs) if isinstance(downs, list) and len(downs) == 2 else (own, own)
    step = least_step(xy) if len(xy) else None
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=request.features,
        shape=shape,
        open=matrix,
        xy=xy,
        side=step if stated_px is None else stated_px * scale,
        step=step or (None if stated_px is None else stated_px * scale),
        tile_px=tile_px,
        slide_wh=size_of(level[0] * wide, level[1] * high) if level and is_sized else None,
        in_pieces=True,
        carried=carried,
        note=padding_note(told),
    )


FORM = Form("clam", "CLAM", find, read)


def write(out: Path, slide: CompressedSlide, facts: MapFacts, tensors: TensorFiles) -> Path:
    """Write a map as CLAM does: patches, features beside their positions, and the bare tensor."""
    cells, rows = map_rows(slide)
    xy = np.rint(map_xy(slide, cells)).astype(np.int64)
    grid = slide.grid
    side = round(grid.tile_side_level0)
    with replacing_file(out / COORDS / f"{slide.slide_id}.h5") as partial, h5py.File(partial, "w") as file:
        places = file.create_dataset("coords", data=xy, chunks=(1, 2), maxshape=(None, 2))
        size = np.array(grid.slide_wh)
        told = {
            # On level 0, whatever its resolution: CLAM knows levels, not microns.
            "patch_size": side, "patch_level": 0, "downsample": np.array([1.0, 1.0]),
            "downsampled_level_dim": size, "level_dim": size, "name": slide.slide_id, "save_path": COORDS,
        }  # fmt: skip
        places.attrs.update(told)
    path = out / FEATURES / f"{slide.slide_id}.h5"
    values = rows.astype(np.float32)
    with replacing_file(path) as partial, h5py.File(partial, "w") as file:
        file.create_dataset(
            "features", data=values, chunks=(1, rows.shape[1]), maxshape=(None, rows.shape[1])
        )
        file.create_dataset("coords", data=xy.astype(np.int32), chunks=(1, 2), maxshape=(None, 2))
        file.attrs[KEY] = carried_text(facts, xy, rows)
    tensors.write(out / TENSORS / f"{slide.slide_id}.pt", values)
    return path
