"""A store: one folder with one Zarr v3 group per compressed slide, its thumbnails and its failures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from pydantic import BaseModel

from histonic.core.compressed import (
    ORIENTATIONS,
    CompressedSlide,
    EncoderDescription,
    MapSettings,
    ReaderDescription,
    SlideDescription,
)
from histonic.core.documents import Document, Part, parse_document, parse_part, read_values
from histonic.core.errors import SettingsError, StoreError
from histonic.core.files import PARTIAL_PREFIX, replacing_folder, write_json
from histonic.core.grid import TileGrid
from histonic.core.units import Number

MAP_SUFFIX = ".zarr"
CHUNK_CELLS = 64
AGAIN = "Delete it and run the same 'histonic compress' command again."
ZARR_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
"""What Zarr raises on damaged files."""


class StoredAppearance(Part):
    """What a slide looks like, as :meth:`histonic.slides.likeness.Appearance.to_dict` writes it."""

    rgb: tuple[Number, Number, Number]
    cover: str
    texture: str


class MapFacts(Document):
    """The attributes of a map: all but its arrays.

    Attributes:
        slide_id: Name of the slide in store and tables.
        grid: Geometry of the cells.
        slide: What is known of the slide's file.
        reader: What read the slide.
        look: Of the slide; None if there was no picture.
        encoder: What made the codes.
        settings: What else the map depends on.
        versions: Of the packages.
    """

    FORMAT = "histonic-map-1"

    slide_id: str
    grid: TileGrid
    slide: SlideDescription
    reader: ReaderDescription
    appearance: StoredAppearance | None = None
    encoder: EncoderDescription
    settings: MapSettings
    versions: Mapping[str, str]


class _Attributes(MapFacts):
    format: Literal["histonic-map-1"]


class _ZarrGroup(BaseModel):
    """``zarr.json`` of a map, parsed in one go: to open a store is to read those of all its maps."""

    attributes: _Attributes


@dataclass(frozen=True)
class Failure:
    """One slide that could not be compressed: at which stage, and why."""

    slide_id: str
    path: str
    stage: str
    reason: str


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

    def finish(self, facts: MapFacts) -> None:
        """Write the last band and the facts about grid, encoder, slide, reader and settings."""
        while self._top < self._rows:
            self._flush()
        self._group.update_attributes(facts.to_dict())


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
            MapFacts(
                slide_id=slide.slide_id,
                grid=slide.grid,
                encoder=slide.encoder,
                slide=slide.slide,
                reader=slide.reader,
                settings=slide.settings,
                versions={},
            )
        )


def read_map_facts(folder: Path) -> MapFacts:
    """The facts of a map without opening its arrays.

    Raises:
        StoreError: The folder holds no complete map of this format.
    """
    path = folder / "zarr.json"
    try:
        return _ZarrGroup.model_validate_json(path.read_bytes(), strict=True).attributes
    except (OSError, ValueError, SettingsError):
        # The long way says what is wrong.
        values = read_values(path, StoreError, AGAIN)
        attributes = values.get("attributes") if isinstance(values, dict) else None
        return parse_document(MapFacts, attributes, path, StoreError, AGAIN)


def _damaged(folder: Path, found: str) -> StoreError:
    return StoreError(f"Read the map {folder}.", found, AGAIN)


@dataclass(frozen=True)
class _Codes:
    """An array of a map, read piece by piece; damage is named where it is met."""

    array: Any
    folder: Path

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.array[key]
        except (OSError, ValueError, RuntimeError) as error:
            raise _damaged(self.folder, f"Its codes cannot be read: {error}.") from error


def read_map(folder: str | os.PathLike[str]) -> CompressedSlide:
    """Open one map; its features are read piece by piece when they are sliced.

    Raises:
        StoreError: The folder holds no complete map of this format.
    """
    path = Path(folder)
    facts = read_map_facts(path)
    try:
        group = zarr.open_group(store=str(path), mode="r")
        mask = np.asarray(group["mask"][:], bool)  # type: ignore[index]
        features: Any = group["features"]
        turned: Any = group.get("orientations")
        shape, code_size = tuple(facts.grid.shape), features.shape[0]
        wanted = [(code_size, *shape), shape, (ORIENTATIONS, code_size, *shape)]
        shapes = [features.shape, mask.shape, *([turned.shape] if turned is not None else ())]
    except ZARR_ERRORS as error:
        raise _damaged(path, f"Its arrays cannot be read: {error}.") from error
    if shapes != wanted[: len(shapes)]:
        raise _damaged(path, f"Features, mask and grid differ: {', '.join(map(str, shapes))} and {shape}.")
    return CompressedSlide(
        slide_id=facts.slide_id,
        features=_Codes(features, path),
        mask=mask,
        grid=facts.grid,
        encoder=facts.encoder,
        slide=facts.slide,
        reader=facts.reader,
        settings=facts.settings,
        orientations=None if turned is None else _Codes(turned, path),
    )


def read_mask(folder: Path) -> npt.NDArray[np.bool_]:
    """The mask ``(R, K)`` of a map, without opening its features.

    Raises:
        StoreError: The folder holds no complete map.
    """
    try:
        group = zarr.open_group(store=str(folder), mode="r")
        return np.asarray(group["mask"][:], bool)  # type: ignore[index]
    except ZARR_ERRORS as error:
        raise _damaged(folder, f"Its mask cannot be read: {error}.") from error


@dataclass(frozen=True)
class Store:
    """A folder of compressed slides, all made by one encoder with one set of settings.

    Attributes:
        path: The folder.
        slide_ids: Names of the maps, sorted.
        first: The facts of the first map; None if there is no map yet.
    """

    path: Path
    slide_ids: list[str]
    first: MapFacts | None

    @property
    def encoder(self) -> EncoderDescription:
        """The encoder of all maps.

        Raises:
            StoreError: There is no map yet.
        """
        return self._first.encoder

    @property
    def settings(self) -> MapSettings:
        """The settings that all maps share.

        Raises:
            StoreError: There is no map yet.
        """
        return self._first.settings

    @property
    def _first(self) -> MapFacts:
        if self.first is None:
            raise StoreError(
                f"Use the store {self.path}.", "It holds no map.", "Make maps with 'histonic compress'."
            )
        return self.first

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
        first: MapFacts | None = None
        for slide_id in maps:
            facts = read_map_facts(map_folder(folder, slide_id))
            first = first or facts
            _require_same(folder, (maps[0], first), (slide_id, facts))
        return cls(folder, maps, first)

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

    def failures(self) -> list[Failure]:
        """Slides that could not be compressed, sorted by slide_id.

        Raises:
            StoreError: A record is damaged.
        """
        return [
            parse_part(Failure, read_values(path, StoreError, AGAIN), path, StoreError, AGAIN)
            for path in sorted((self.path / "failures").glob("*.json"))
            if not path.name.startswith(PARTIAL_PREFIX)
        ]

    def thumbnail(self, slide_id: str) -> Path | None:
        """Picture of the slide with its kept cells, if there is one."""
        path = thumbnail_path(self.path, slide_id)
        return path if path.is_file() else None


def _require_same(folder: Path, first: tuple[str, MapFacts], other: tuple[str, MapFacts]) -> None:
    (one, wanted), (two, found) = first, other
    if wanted.encoder.fingerprint != found.encoder.fingerprint:
        told = f"by {wanted.encoder.name}", f"by {found.encoder.name} (another fingerprint)"
    elif wanted.settings != found.settings:
        told = f"with {wanted.settings.to_dict()}", f"with {found.settings.to_dict()}"
    else:
        return
    raise StoreError(
        f"Open the store {folder}.",
        f"It is mixed: the map of {one!r} was made {told[0]}, that of {two!r} {told[1]}.",
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


def write_failure(store: Path, slide_id: str, path: str, stage: str, reason: str) -> Failure:
    """Record that a slide could not be compressed."""
    failure = Failure(slide_id, path, stage, reason)
    write_json(failure_path(store, slide_id), asdict(failure))
    return failure
