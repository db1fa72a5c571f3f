"""A store: one folder with one Zarr v3 group per compressed slide, its thumbnails and its failures."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from histonic.core.cohort import JOINED, MARK, bare_name, part_of
from histonic.core.compressed import (
    ORIENTATIONS,
    CompressedSlide,
    EncoderDescription,
    MapSettings,
    PatientPart,
)
from histonic.core.errors import StoreError
from histonic.core.files import PARTIAL_PREFIX
from histonic.core.notebooks.cards import Card, share_text
from histonic.core.places.kinds import other_than_store
from histonic.data.maps.codes import StoredCodes, damaged, written_at
from histonic.data.maps.facts import MapFacts, read_checked_facts, read_map_facts
from histonic.data.maps.failures import Failure, read_failure

MAP_SUFFIX = ".zarr"
CHUNK_CELLS = 64
ZARR_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
"""What Zarr raises on damaged files."""


def read_map(folder: str | os.PathLike[str]) -> CompressedSlide:
    """Open one map; its features are read piece by piece when they are sliced.

    Raises:
        StoreError: The folder holds no complete map of this format.
    """
    path = Path(folder)
    written = written_at(path)
    facts = read_checked_facts(path)
    try:
        group = zarr.open_group(store=str(path), mode="r")
        mask = np.asarray(group["mask"][:], bool)  # type: ignore[index]
        features: Any = group["features"]
        turned: Any = group.get("orientations")
        shape, code_size = tuple(facts.grid.shape), features.shape[0]
        wanted = [(code_size, *shape), shape, (ORIENTATIONS, code_size, *shape)]
        shapes = [features.shape, mask.shape, *([turned.shape] if turned is not None else ())]
    except ZARR_ERRORS as error:
        raise damaged(path, f"Its arrays cannot be read: {error}.") from error
    if shapes != wanted[: len(shapes)]:
        raise damaged(path, f"Features, mask and grid differ: {', '.join(map(str, shapes))} and {shape}.")
    if int(mask.sum()) != facts.cells:
        raise damaged(path, f"Its mask has {int(mask.sum())} cells of tissue, {facts.cells} were written.")
    return CompressedSlide(
        slide_id=facts.slide_id,
        features=StoredCodes(features, path, written),
        mask=mask,
        grid=facts.grid,
        encoder=facts.encoder,
        slide=facts.slide,
        reader=facts.reader,
        settings=facts.settings,
        orientations=None if turned is None else StoredCodes(turned, path, written),
        picture=thumbnail_path(path.parent, facts.slide_id),
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
        raise damaged(folder, f"Its mask cannot be read: {error}.") from error


@dataclass(frozen=True, repr=False)
class Store:
    """A folder of compressed slides, all made by one encoder with one set of settings.

    ``store[slide_id]`` is a map, ``len(store)`` their number, ``slide_id in store`` whether there is one, and
    ``for slide in store`` opens one after the other, sorted by slide_id.

    Attributes:
        path: The folder.
        slide_ids: Names of the maps, sorted.
        first: The facts of the first map; None if there is no map yet.
        kept_cells: Cells that hold a code, of all maps.
        all_cells: Cells of their grids, glass too.
        parts: Of a folder of several stores (of stains or scales) those, by the names of their folders, which
            stand before the names of their maps: ``ki67/S1``; else none.
    """

    path: Path
    slide_ids: list[str]
    first: MapFacts | None
    kept_cells: int = 0
    all_cells: int = 0
    parts: Mapping[str, Store] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.slide_ids)

    def __bool__(self) -> bool:
        return True  # a store without maps, too: nothing may take it for none

    def __contains__(self, slide_id: object) -> bool:
        return slide_id in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.slide_ids)

    def __iter__(self) -> Iterator[CompressedSlide]:
        return (self.map(slide_id) for slide_id in self.slide_ids)

    def __getitem__(self, slide_id: str) -> CompressedSlide:
        return self.map(slide_id)

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _ipython_key_completions_(self) -> list[str]:
        return self.slide_ids

    def _card(self) -> Card:
        maps = ("maps", f"{len(self):,}")
        if self.first is None:
            return Card(f"Store {self.path}", (maps,))
        # Of the encoder, not of a grid: slides that are near its resolution keep their own.
        encoder, spec = self.first.encoder, self.first.encoder.spec
        return Card(
            f"Store {self.path}",
            (
                maps,
                ("cells with tissue", share_text(self.kept_cells, self.all_cells)),
                ("encoder", f"{encoder.name}, {spec.code_size} numbers a cell"),
                ("tiles", f"{spec.tile_px} px at {spec.mpp:g} mpp"),
            ),
        )

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
    def patient_parts(self) -> tuple[PatientPart, ...]:
        """What a patient can have slides of, where this is a folder of several stores; else nothing.

        Raises:
            StoreError: A folder has the name that stands before joined maps.
        """
        if JOINED in self.parts:
            raise StoreError(
                f"Join the stores of {self.path}.",
                f"One is called {JOINED!r}, as what is joined of them is.",
                "Give its folder another name.",
            )
        return tuple(
            PatientPart(
                name=name,
                encoder=part.encoder,
                compress_settings=part.settings,
                code_size=part.encoder.spec.code_size,
            )
            for name, part in self.parts.items()
        )

    @property
    def _first(self) -> MapFacts:
        if self.parts:
            found = f"It is a folder of {len(self.parts)} stores: {', '.join(self.parts)}."
            raise StoreError(f"Use the store {self.path}.", found, "Give one of them.")
        if self.first is None:
            raise StoreError(
                f"Use the store {self.path}.", "It holds no map.", "Make maps with 'histonic compress'."
            )
        return self.first

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, joined: bool = False) -> Store:
        """Open a store and check that its maps belong together.

        Args:
            path: Its folder, or a folder of several stores (of one alone if ``joined``).
            joined: Its patients can have several stains or scales.

        Raises:
            StoreError: No such folder, a damaged map, or maps of different encoders or settings.
        """
        folder = Path(path)
        if other := other_than_store(folder):
            raise StoreError(f"Open the store {folder}.", *other)
        found = (path.name for path in folder.glob(f"*{MAP_SUFFIX}"))
        maps = sorted(name.removesuffix(MAP_SUFFIX) for name in found if not name.startswith(PARTIAL_PREFIX))
        first: MapFacts | None = None
        kept = cells = 0
        for slide_id in maps:
            facts = read_map_facts(map_folder(folder, slide_id))
            if facts.slide_id != slide_id:
                raise StoreError(
                    f"Open the store {folder}.",
                    f"The map {slide_id!r} is that of the slide {facts.slide_id!r}.",
                    "Give the folder its own name again, or delete it and compress the slide.",
                )
            first = first or facts
            _require_same(folder, (maps[0], first), (slide_id, facts))
            kept, cells = kept + facts.cells, cells + facts.grid.shape[0] * facts.grid.shape[1]
        if not maps and len(stores := stores_in(folder)) > (0 if joined else 1):
            parts = {name: cls.open(folder / name) for name in stores}
            names = [f"{name}{MARK}{slide_id}" for name, part in parts.items() for slide_id in part.slide_ids]
            kept = sum(part.kept_cells for part in parts.values())
            return cls(folder, names, None, kept, sum(part.all_cells for part in parts.values()), parts)
        return cls(folder, maps, first, kept, cells)

    def map(self, slide_id: str) -> CompressedSlide:
        """One map.

        Raises:
            StoreError: The store has no such map (the nearest name is told), or it is damaged.
        """
        if slide_id not in self:
            near = difflib.get_close_matches(str(slide_id), self.slide_ids, n=1)
            meant = f"Did you mean {near[0]!r}? " if near else ""
            raise StoreError(
                f"Read the map of {slide_id!r} from {self.path}.",
                f"The store has {len(self.slide_ids)} maps, none of that name.",
                f"{meant}Check the slide_id, or compress that slide.",
            )
        # A map in a folder of stores is known by its part, too.
        return replace(read_map(map_folder(self.path, slide_id)), slide_id=slide_id)

    def failures(self) -> list[Failure]:
        """Slides that could not be compressed, sorted by slide_id.

        Raises:
            StoreError: A record is damaged.
        """
        if self.parts:
            found = [(name, each) for name, part in self.parts.items() for each in part.failures()]
            return [replace(each, slide_id=f"{name}{MARK}{each.slide_id}") for name, each in found]
        paths = sorted((self.path / "failures").glob("*.json"))
        return [read_failure(path) for path in paths if not path.name.startswith(PARTIAL_PREFIX)]

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


def stores_in(folder: Path) -> list[str]:
    """Names of the folders in a folder that hold maps, sorted."""
    return sorted({found.parent.name for found in folder.glob(f"[!.]*/*{MAP_SUFFIX}")})


def map_folder(store: Path, slide_id: str) -> Path:
    """Where the map of a slide lies in a store, whether it exists or not."""
    return store / f"{slide_id}{MAP_SUFFIX}"


def encoder_path(store: Path) -> Path:
    """Where the encoder of a store's maps lies."""
    return store / "encoder.safetensors"


def thumbnail_path(store: Path, slide_id: str) -> Path:
    """Where the picture of a slide lies in a store."""
    return store / part_of(slide_id) / "thumbnails" / f"{bare_name(slide_id)}.jpg"
