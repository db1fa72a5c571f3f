"""A store: one folder with one Zarr v3 group per compressed slide, its thumbnails and its failures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from histonic.core.compressed import ORIENTATIONS, CompressedSlide
from histonic.core.errors import StoreError
from histonic.core.files import PARTIAL_PREFIX, replacing_folder, write_json
from histonic.core.grid import TileGrid

MAP_FORMAT = "histonic-map-1"
MAP_SUFFIX = ".zarr"
CHUNK_CELLS = 64
FACTS = ("slide_id", "grid", "encoder", "slide", "reader", "settings", "versions")


class MapWriter:
    """Writes one map row by row, holding only one band of chunks in memory.

    Cells must come in row-major order, as :func:`histonic.slides.tiles.walk_tiles` gives them.

    Args:
        folder: Folder of the Zarr group; must not exist.
        mask: ``(R, K)`` bool, the cells that will be put.
        code_size: D.
        orientations: 1, or 8 to store codes of turned tiles too.
    """

    def __init__(
        self, folder: Path, mask: npt.NDArray[np.bool_], code_size: int, orientations: int = 1
    ) -> None:
        rows, cols = mask.shape
        self._group = zarr.create_group(store=str(folder), zarr_format=3)
        chunk = (code_size, CHUNK_CELLS, CHUNK_CELLS)
        self._features = self._group.create_array(
            "features", shape=(code_size, rows, cols), chunks=chunk, dtype="float16", fill_value=0
        )
        self._turned = None
        if orientations == ORIENTATIONS:
            self._turned = self._group.create_array(
                "orientations",
                shape=(ORIENTATIONS, code_size, rows, cols),
                chunks=(1, *chunk),
                dtype="float16",
                fill_value=0,
            )
        stored = self._group.create_array(
            "mask", shape=(rows, cols), chunks=(rows, cols), dtype="bool", fill_value=False
        )
        stored[:] = mask
        self._rows = rows
        self._top = 0
        self._band = np.zeros((orientations, code_size, min(CHUNK_CELLS, rows), cols), np.float16)

    def put(self, cells: npt.NDArray[np.integer[Any]], codes: npt.NDArray[np.float32]) -> None:
        """Put codes into cells.

        Args:
            cells: ``(N, 2)`` rows and columns, row-major and not above an earlier band.
            codes: ``(N, O, D)`` with O = 1, or 8 orientations.
        """
        for top in np.unique(cells[:, 0] // CHUNK_CELLS) * CHUNK_CELLS:
            while self._top < top:
                self._flush()
            inside = cells[:, 0] // CHUNK_CELLS * CHUNK_CELLS == top
            rows, cols = cells[inside].T
            self._band[:, :, rows - top, cols] = codes[inside].transpose(1, 2, 0)

    def _flush(self) -> None:
        bottom = min(self._top + CHUNK_CELLS, self._rows)
        band = self._band[:, :, : bottom - self._top]
        if band.any():
            self._features[:, self._top : bottom] = band[0]
            if self._turned is not None:
                self._turned[:, :, self._top : bottom] = band
        self._band[:] = 0
        self._top = bottom

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the last band and the facts about grid, encoder, slide, reader and settings."""
        while self._top < self._rows:
            self._flush()
        self._group.update_attributes({"format": MAP_FORMAT, **facts})


@contextmanager
def writing_map(
    folder: Path, mask: npt.NDArray[np.bool_], code_size: int, orientations: int = 1
) -> Iterator[MapWriter]:
    """A :class:`MapWriter` under a temporary name, renamed to ``folder`` on success.

    Raises:
        OutputError: The folder is read-only or the disk is full; nothing is left behind.
    """
    with replacing_folder(folder) as partial:
        yield MapWriter(partial, mask, code_size, orientations)


def write_map(folder: str | os.PathLike[str], slide: CompressedSlide) -> None:
    """Write a whole compressed slide to a Zarr group, all or nothing."""
    cells = np.argwhere(slide.mask)
    features = np.asarray(slide.features[:] if slide.orientations is None else slide.orientations[:])
    stack = features.reshape(-1, slide.code_size, *slide.mask.shape)
    codes = stack[:, :, cells[:, 0], cells[:, 1]].transpose(2, 0, 1)
    with writing_map(Path(folder), slide.mask, slide.code_size, len(stack)) as writer:
        writer.put(cells, codes)
        writer.finish(
            {
                "slide_id": slide.slide_id,
                "grid": slide.grid.to_dict(),
                "encoder": dict(slide.encoder),
                "slide": dict(slide.slide),
                "reader": dict(slide.reader),
                "settings": dict(slide.settings),
                "versions": {},
            }
        )


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a map without opening its arrays.

    Raises:
        StoreError: The folder holds no complete map of this format.
    """
    try:
        attributes = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, f"Its zarr.json cannot be read: {error}.") from error
    if attributes.get("format") != MAP_FORMAT:
        raise _damaged(folder, f"Its format is {attributes.get('format')!r}, not {MAP_FORMAT!r}.")
    if missing := [name for name in FACTS if name not in attributes]:
        raise _damaged(folder, f"It lacks {', '.join(missing)}.")
    return dict(attributes)


def _damaged(folder: Path, found: str) -> StoreError:
    return StoreError(
        f"Read the map {folder}.", found, "Delete it and run the same 'histonic compress' command again."
    )


def read_map(folder: str | os.PathLike[str]) -> CompressedSlide:
    """Open one map; its features are read piece by piece when they are sliced.

    Raises:
        StoreError: The folder holds no complete map of this format.
    """
    path = Path(folder)
    facts = read_facts(path)
    try:
        group = zarr.open_group(store=str(path), mode="r")
        mask = np.asarray(group["mask"][:], bool)  # type: ignore[index]
        features: Any = group["features"]
        turned: Any = group.get("orientations")
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, f"Its arrays cannot be read: {error}.") from error
    grid = TileGrid.from_dict(facts["grid"])
    if features.shape[1:] != mask.shape or mask.shape != tuple(grid.shape):
        raise _damaged(path, f"Features {features.shape}, mask {mask.shape} and grid {grid.shape} differ.")
    return CompressedSlide(
        slide_id=facts["slide_id"],
        features=features,
        mask=mask,
        grid=grid,
        encoder=facts["encoder"],
        slide=facts["slide"],
        reader=facts["reader"],
        settings=facts["settings"],
        orientations=turned,
    )


def read_mask(folder: Path) -> npt.NDArray[np.bool_]:
    """The mask ``(R, K)`` of a map, without opening its features.

    Raises:
        StoreError: The folder holds no complete map.
    """
    try:
        group = zarr.open_group(store=str(folder), mode="r")
        return np.asarray(group["mask"][:], bool)  # type: ignore[index]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, f"Its mask cannot be read: {error}.") from error


@dataclass(frozen=True)
class Store:
    """A folder of compressed slides, all made by one encoder with one set of settings.

    Attributes:
        path: The folder.
        slide_ids: Names of the maps, sorted.
        encoder: Name, fingerprint and spec of the encoder; empty if there is no map yet.
        settings: Settings that all maps share; empty if there is no map yet.
    """

    path: Path
    slide_ids: list[str]
    encoder: Mapping[str, Any]
    settings: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open a store and check that its maps belong together.

        Raises:
            StoreError: No such folder, a damaged map, or maps of different encoders or settings.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise StoreError(
                f"Open the store {folder}.", "There is no such folder.", "Make it with 'histonic compress'."
            )
        maps = sorted(
            entry.name.removesuffix(MAP_SUFFIX)
            for entry in folder.iterdir()
            if entry.name.endswith(MAP_SUFFIX) and not entry.name.startswith(PARTIAL_PREFIX)
        )
        encoder: Mapping[str, Any] = {}
        settings: Mapping[str, Any] = {}
        for slide_id in maps:
            facts = read_facts(map_folder(folder, slide_id))
            if not encoder:
                encoder, settings = facts["encoder"], facts["settings"]
            _require_same(folder, maps[0], slide_id, "encoder", encoder, facts["encoder"])
            _require_same(folder, maps[0], slide_id, "settings", settings, facts["settings"])
        return cls(folder, maps, encoder, settings)

    def map(self, slide_id: str) -> CompressedSlide:
        """One map.

        Raises:
            StoreError: The store has no such map, or it is damaged.
        """
        if slide_id not in self.slide_ids:
            raise StoreError(
                f"Read the map of {slide_id!r} from {self.path}.",
                f"The store has {len(self.slide_ids)} maps, none of that name.",
                "Check the slide_id, or compress that slide.",
            )
        return read_map(map_folder(self.path, slide_id))

    def failures(self) -> list[dict[str, str]]:
        """Slides that could not be compressed: slide_id, path, stage and reason, sorted by slide_id."""
        return [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((self.path / "failures").glob("*.json"))
            if not path.name.startswith(PARTIAL_PREFIX)
        ]

    def thumbnail(self, slide_id: str) -> Path | None:
        """Picture of the slide with its kept cells, if there is one."""
        path = thumbnail_path(self.path, slide_id)
        return path if path.is_file() else None


def _require_same(
    folder: Path, first: str, other: str, what: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    if what == "encoder":
        same = wanted.get("fingerprint") == found.get("fingerprint")
        told = f"made by {wanted.get('name')}", f"by {found.get('name')}"
    else:
        same = wanted == found
        told = f"made with {json.dumps(wanted)}", f"with {json.dumps(found)}"
    if not same:
        raise StoreError(
            f"Open the store {folder}.",
            f"It is mixed: the map of {first!r} was {told[0]}, that of {other!r} {told[1]}"
            + (" (another fingerprint)." if what == "encoder" else "."),
            "Keep one encoder and one set of settings per store: compress into separate folders.",
        )


def map_folder(store: Path, slide_id: str) -> Path:
    """Where the map of a slide lies in a store, whether it exists or not."""
    return store / f"{slide_id}{MAP_SUFFIX}"


def encoder_path(store: Path) -> Path:
    """Where the encoder of a store's maps lies."""
    return store / "encoder.safetensors"


def thumbnail_path(store: Path, slide_id: str) -> Path:
    """Where the picture of a slide lies in a store."""
    return store / "thumbnails" / f"{slide_id}.jpg"


def failure_path(store: Path, slide_id: str) -> Path:
    """Where the failure record of a slide lies in a store."""
    return store / "failures" / f"{slide_id}.json"


def write_failure(store: Path, slide_id: str, path: str, stage: str, reason: str) -> None:
    """Record that a slide could not be compressed."""
    record = {"slide_id": slide_id, "path": path, "stage": stage, "reason": reason}
    write_json(failure_path(store, slide_id), record)
