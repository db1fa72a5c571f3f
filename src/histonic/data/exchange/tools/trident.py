"""TRIDENT: ``JOB/20x_256px_0px_overlap/features_ENCODER/SLIDE.h5``, positions and their attributes beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file
from histonic.data.exchange.carried import KEY, carried_text, read_carried
from histonic.data.exchange.hdf5 import (
    hold,
    level_downsample,
    matrix_in,
    opened,
    padding_note,
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
    map_rows,
    map_xy,
    require_matrix,
    unreadable,
)
from histonic.data.maps.facts import MapFacts

PREFIX = "features_"
COORDS_ENDING = "_patches.h5"
UNSIDED = ("patch_size", "level0_magnification", "target_magnification")
"""Attributes that say the side at level 0 where ``patch_size_level0`` is absent."""


def find(request: Request) -> list[Found]:
    """The slides of one folder of features, of the encoder that is meant."""
    folders = _folders(request.folder)
    if not folders:
        return []
    by_encoder: dict[str, list[Path]] = {}
    for folder in folders:
        by_encoder.setdefault(folder.name.removeprefix(PREFIX), []).append(folder)
    name = choose_features(request.features, by_encoder, request.folder)
    if len(by_encoder[name]) > 1:
        places = ", ".join(folder.relative_to(request.folder).as_posix() for folder in by_encoder[name])
        raise SettingsError(
            f"Import the features {name!r} in {request.folder}.",
            f"They are there in several sizes or magnifications: {places}.",
            "Give one of these folders.",
        )
    folder = by_encoder[name][0]
    coords = request.coords or folder.parent / "patches"
    found = []
    files = {path.with_suffix(""): path for ending in (".pt", ".h5") for path in folder.rglob(f"*{ending}")}
    for _, path in sorted(files.items()):
        slide_id = request.slide_id(path, folder)
        beside = coords / f"{path.stem}{COORDS_ENDING}"
        found.append(Found(slide_id, path, beside if path.suffix == ".pt" else None))
    return found


def _folders(folder: Path) -> list[Path]:
    """Folders of features of tiles, in a job or as given."""
    if folder.name.startswith(PREFIX):
        return [folder]
    found = [each for depth in ("", "*/") for each in folder.glob(f"{depth}{PREFIX}*") if each.is_dir()]
    if found:
        return sorted(found)
    return [folder] if hold(sorted(folder.glob("*.h5")), _is_own) else []


def _is_own(file: Any) -> bool:
    told = file["coords"].attrs
    return "features" in file and ("patch_size_level0" in told or all(name in told for name in UNSIDED))


def read(found: Found, request: Request) -> TileFeatures:
    """What the files of one slide say."""
    slide_id, path = found.slide_id, found.path
    if found.coords is None:
        with opened(path, slide_id) as file:
            xy, told = positions(file["coords"][:], slide_id, path), plain(file["coords"].attrs)
            own = plain(file["features"].attrs)
            shape = require_matrix(slide_id, path, file["features"].shape, len(xy))
            carried = read_carried(plain(file.attrs).get(KEY), slide_id, path)
        matrix = matrix_in(path, slide_id, "features")
    else:
        from contextlib import nullcontext

        with opened(found.coords, slide_id) as file:
            xy, told = positions(file["coords"][:], slide_id, found.coords), plain(file["coords"].attrs)
        values = request.tensors.read(path)
        if not isinstance(values, np.ndarray):
            raise unreadable(slide_id, path, "It holds no bare tensor.")
        own, carried = {}, None
        shape = require_matrix(slide_id, path, values.shape, len(xy))

        def matrix() -> Any:
            return nullcontext(values)

    def number(name: str) -> float | None:
        return positive(told, name, slide_id, path)

    tile_px, target = number("patch_size"), number("target_magnification")
    side, in_pieces = number("patch_size_level0"), False
    own_magnification = number("level0_magnification")
    if side is None and tile_px is not None and target and own_magnification and "downsample" not in told:
        side = float(round(tile_px * own_magnification / target))  # as TRIDENT reads it
    elif side is None and tile_px is not None:
        # Before it had coordinates of its own it took CLAM's.
        custom = number("custom_downsample") or 1.0
        side = tile_px * custom * level_downsample(told, slide_id, path)
        in_pieces = True
        tile_px = round(tile_px)
    require_one_side(slide_id, path, tile_px, side, own_magnification, target)
    overlap = float(told.get("overlap") or 0)
    step = None if side is None or tile_px is None else side * (tile_px - overlap) / tile_px
    return TileFeatures(
        slide_id=slide_id,
        path=path,
        encoder=str(own.get("encoder") or "") or path.parent.name.removeprefix(PREFIX),
        shape=shape,
        open=matrix,
        xy=xy,
        side=side,
        step=step,
        tile_px=None if tile_px is None else round(tile_px),
        tile_mpp=None if target is None else 10 / target,
        slide_wh=size_of(number("level0_width"), number("level0_height")),
        magnification=own_magnification,
        in_pieces=in_pieces,
        carried=carried,
        note=padding_note(told) if in_pieces else "",
    )


FORM = Form("trident", "TRIDENT", find, read)


def features_folder(out: Path, facts: MapFacts) -> Path:
    """Where the features of a store are written."""
    spec = facts.encoder.spec
    magnification = 10 / spec.mpp
    return out / f"{magnification:g}x_{spec.tile_px}px_0px_overlap" / f"{PREFIX}{spec.name}"


def write(out: Path, slide: CompressedSlide, facts: MapFacts) -> Path:
    """Write a map as TRIDENT does: features in float32, positions of level 0 in whole pixels."""
    folder = features_folder(out, facts)
    cells, rows = map_rows(slide)
    xy = np.rint(map_xy(slide, cells)).astype(np.int64)
    grid, spec = slide.grid, facts.encoder.spec
    told: dict[str, Any] = {
        "patch_size": spec.tile_px,
        "patch_size_level0": round(grid.tile_side_level0),
        "level0_magnification": _whole(10 / grid.slide_mpp),
        "target_magnification": _whole(10 / spec.mpp),
        "overlap": spec.tile_px - round(spec.tile_px * grid.stride_px / grid.tile_px),
        "name": slide.slide_id,
        "level0_width": grid.slide_wh.w,
        "level0_height": grid.slide_wh.h,
    }
    path = folder / f"{slide.slide_id}.h5"
    with replacing_file(path) as partial, h5py.File(partial, "w") as file:
        written = file.create_dataset(
            "features",
            data=rows.astype(np.float32),
            chunks=(1, rows.shape[1]),
            maxshape=(None, rows.shape[1]),
        )
        written.attrs.update({"name": slide.slide_id, "savetodir": folder.name, "encoder": spec.name})
        places = file.create_dataset("coords", data=xy, chunks=(1, 2), maxshape=(None, 2))
        places.attrs.update({**told, "savetodir": "patches"})
        file.attrs[KEY] = carried_text(facts, xy, rows)
    coords = folder.parent / "patches" / f"{slide.slide_id}{COORDS_ENDING}"
    with replacing_file(coords) as partial, h5py.File(partial, "w") as file:
        places = file.create_dataset("coords", data=xy, chunks=(1, 2), maxshape=(None, 2))
        places.attrs.update({**told, "savetodir": "patches"})
    return path


def _whole(value: float) -> int | float:
    return round(value) if abs(value - round(value)) < 0.05 * value else value
