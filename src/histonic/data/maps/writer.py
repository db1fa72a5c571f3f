"""Writing maps: band by band under a name of the writer's own, counted, hashed, and published once, whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from histonic.core.compressed import ORIENTATIONS, CompressedSlide
from histonic.core.errors import StoreError
from histonic.core.files import new_folder, publish_folder, replacing_folder, set_aside
from histonic.data.maps.facts import MapFacts, read_checked_facts
from histonic.data.maps.integrity import content_hash, members_hash
from histonic.data.maps.store import CHUNK_CELLS

CHECKED: dict[str, Any] = {
    # The checksum comes last, so that it is of the bytes on the disk.
    "compressors": (ZstdCodec(), Crc32cCodec()),
    # A chunk that holds a cell is written whatever it holds, so that an absent one is known to be lost.
    "config": {"write_empty_chunks": True},
}
"""How the arrays of maps are stored."""


class MapWriter:
    """Writes one map row by row, holding only one band of chunks in memory.

    Cells must come in row-major order, as :func:`histonic.slides.tiles.walk_tiles` gives them.

    Args:
        folder: Folder of the Zarr group; must not exist, or be empty.
        mask: ``(R, K)`` bool, the cells that will be put.
        code_size: D.
        orientations: 1, or 8 to store codes of turned tiles too.

    Attributes:
        facts: What was written at last; None before :meth:`finish`.
    """

    def __init__(
        self, folder: Path, mask: npt.NDArray[np.bool_], code_size: int, orientations: int = 1
    ) -> None:
        rows, cols = mask.shape
        self.facts: MapFacts | None = None
        self._folder = folder
        self._group = zarr.create_group(store=str(folder), zarr_format=3)
        chunk = (code_size, CHUNK_CELLS, CHUNK_CELLS)
        self._features = self._group.create_array(
            "features", shape=(code_size, rows, cols), chunks=chunk, dtype="float16", fill_value=0, **CHECKED
        )
        self._turned = None
        if orientations == ORIENTATIONS:
            self._turned = self._group.create_array(
                "orientations",
                shape=(ORIENTATIONS, code_size, rows, cols),
                chunks=(1, *chunk),
                dtype="float16",
                fill_value=0,
                **CHECKED,
            )
        stored = self._group.create_array(
            "mask", shape=(rows, cols), chunks=(rows, cols), dtype="bool", fill_value=False, **CHECKED
        )
        stored[:] = mask
        self._stored_mask = stored
        self._mask = mask
        self._empty = mask.copy()
        self._top = 0
        self._band = np.zeros((orientations, code_size, min(CHUNK_CELLS, rows), cols), np.float16)

    def put(self, cells: npt.NDArray[np.integer[Any]], codes: npt.NDArray[np.float32]) -> None:
        """Put codes into cells.

        Args:
            cells: ``(N, 2)`` rows and columns, row-major and not above an earlier band.
            codes: ``(N, O, D)`` with O = 1, or 8 orientations.

        Raises:
            StoreError: A cell lies outside the mask, or was put before.
        """
        if not self._empty[cells[:, 0], cells[:, 1]].all():
            raise StoreError(
                f"Write the map {self._folder.name}.",
                "A code came for a cell without tissue, or a second one for a cell.",
                "Run the same command again.",
            )
        self._empty[cells[:, 0], cells[:, 1]] = False
        for top in np.unique(cells[:, 0] // CHUNK_CELLS) * CHUNK_CELLS:
            while self._top < top:
                self._flush()
            inside = cells[:, 0] // CHUNK_CELLS * CHUNK_CELLS == top
            rows, cols = cells[inside].T
            self._band[:, :, rows - top, cols] = codes[inside].transpose(1, 2, 0)

    def _flush(self) -> None:
        bottom = min(self._top + CHUNK_CELLS, len(self._mask))
        band = self._band[:, :, : bottom - self._top]
        for left, right in filled_runs(self._mask[self._top : bottom]):
            self._features[:, self._top : bottom, left:right] = band[0, :, :, left:right]
            if self._turned is not None:
                self._turned[:, :, self._top : bottom, left:right] = band[..., left:right]
        self._band[:] = 0
        self._top = bottom

    def drop(self, cells: npt.NDArray[np.bool_]) -> None:
        """Take cells out again, ``(R, K)`` bool, when all were put: they become empty.

        Raises:
            StoreError: A cell is not in the mask.
        """
        if (cells & ~self._mask).any():
            raise StoreError(
                f"Write the map {self._folder.name}.",
                "A cell without tissue would be taken out.",
                "Run the same command again.",
            )
        while self._top < len(self._mask):
            self._flush()
        for top in range(0, len(cells), CHUNK_CELLS):
            band = cells[top : top + CHUNK_CELLS]
            for left, right in filled_runs(band):
                within = band[:, left:right]
                for array in (self._features, *([] if self._turned is None else [self._turned])):
                    here = (..., slice(top, top + len(band)), slice(left, right))
                    codes = np.asarray(array[here])
                    codes[..., within] = 0
                    array[here] = codes
        self._mask = self._mask & ~cells
        self._stored_mask[:] = self._mask

    def put_quality(self, quality: npt.NDArray[np.floating[Any]]) -> None:
        """Write numbers beside the codes, see :mod:`histonic.data.maps.quality`.

        Args:
            quality: ``(3, R, K)``, NaN where nothing is known.
        """
        stored = self._group.create_array(
            "quality",
            shape=quality.shape,
            chunks=quality.shape,
            dtype="float16",
            fill_value=float("nan"),
            **CHECKED,
        )
        stored[:] = quality.astype(np.float16)

    def finish(self, facts: MapFacts) -> None:
        """Write the last band, and the facts with the number of cells and the hash of all that was written.

        Raises:
            StoreError: Some cells of the mask got no code.
        """
        while self._top < len(self._mask):
            self._flush()
        if self._empty.any():
            raise StoreError(
                f"Write the map of {facts.slide_id!r}.",
                f"{int(self._empty.sum())} of {int(self._mask.sum())} cells of tissue got no code.",
                "Run the same command again.",
            )
        counted = {
            "cells": int(self._mask.sum()),
            "members": members_hash(self._folder),
            "content": content_hash(self._folder),
        }
        self.facts = facts.model_copy(update=counted)
        self._group.update_attributes(self.facts.to_dict())


def filled_runs(band: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and past-the-last column of each run of chunks in a band ``(<= 64, K)`` that hold tissue.

    Example:
        >>> band = np.zeros((64, 300), bool); band[0, [3, 70, 299]] = True
        >>> filled_runs(band)
        [(0, 128), (256, 300)]
    """
    cols = band.shape[1]
    runs: list[tuple[int, int]] = []
    for left in range(0, cols, CHUNK_CELLS):
        right = min(left + CHUNK_CELLS, cols)
        if band[:, left:right].any():
            runs.append((runs.pop()[0] if runs and runs[-1][1] == left else left, right))
    return runs


@contextmanager
def writing_map(
    folder: Path, mask: npt.NDArray[np.bool_], code_size: int, orientations: int = 1
) -> Iterator[MapWriter]:
    """A :class:`MapWriter` under a name of its own, which on success is published as ``folder`` in one step.

    If another writer published the same map meanwhile (of the same slide, made the same way), that one stays
    and this copy is thrown away; any other map of that name is replaced.

    Raises:
        OutputError: The folder is read-only or the disk is full; nothing is left behind.
        StoreError: The map was not finished, or has holes.
    """
    with new_folder(folder) as partial:
        writer = MapWriter(partial, mask, code_size, orientations)
        yield writer
        if writer.facts is None:
            raise StoreError(f"Write the map {folder}.", "It was not finished.", "Run the command again.")
        while not publish_folder(partial, folder):
            if _is_same(folder, writer.facts):
                break
            set_aside(folder)


def _is_same(folder: Path, mine: MapFacts) -> bool:
    try:
        found = read_checked_facts(folder)
    except StoreError:
        return False
    return found.made_from() == mine.made_from()


def write_map(folder: str | os.PathLike[str], slide: CompressedSlide) -> None:
    """Write a whole compressed slide to a Zarr group, all or nothing.

    Raises:
        OutputError: The folder cannot be written.
    """
    cells = np.argwhere(slide.mask)
    features = np.asarray(slide.features[:] if slide.orientations is None else slide.orientations[:])
    stack = features.reshape(-1, slide.code_size, *slide.mask.shape)
    codes = stack[:, :, cells[:, 0], cells[:, 1]].transpose(2, 0, 1)
    with replacing_folder(folder) as partial:
        writer = MapWriter(partial, slide.mask, slide.code_size, len(stack))
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
