"""What a tile set holds before any pixel is read, the same for every form in which sets come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.data.tilesets.images import UInt8Array, read_image

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What folders and tables call the splits, in lower case."""
Texts = npt.NDArray[Any]


@dataclass(frozen=True)
class Listing:
    """The tiles of a set, in a fixed order.

    Attributes:
        names: Path of each tile, or file and row.
        labels: Label column -> ``(N,)`` text, empty where missing.
        split: ``(N,)`` train, val or test; empty where the source says nothing.
        group: ``(N,)`` text, empty where unknown.
        slide: ``(N,)`` text, empty where unknown; places are of a slide.
        places: ``(N, 2)`` x and y of each tile's top-left corner in level-0 pixels, NaN where unknown.
        read: Row -> uint8 ``(H, W, 3)``; raises ValueError or OSError for what cannot be read. It is called
            from several threads.
        stamp: Hash of the files' names, sizes and times.
        table_rows: ``(N,)`` row in the table, as a spreadsheet shows it; empty where there is none.
    """

    names: tuple[str, ...]
    labels: dict[str, Texts]
    split: Texts
    group: Texts
    slide: Texts
    places: npt.NDArray[np.float64]
    read: Callable[[int], UInt8Array]
    stamp: str
    table_rows: tuple[int, ...] = ()

    def where(self, row: int) -> str:
        """A tile as a message names it."""
        return f"{self.names[row]} (row {self.table_rows[row]})" if self.table_rows else self.names[row]


def texts(values: Sequence[str]) -> Texts:
    """Texts as an array of objects, whatever their length."""
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found


def unknown(count: int) -> Texts:
    """A column of which nothing is known."""
    return texts([""] * count)


def nowhere(count: int) -> npt.NDArray[np.float64]:
    """Places of which nothing is known."""
    return np.full((count, 2), np.nan)


def image_reader(files: Sequence[Path]) -> Callable[[int], UInt8Array]:
    """The ``read`` of a listing of image files."""
    return lambda row: read_image(files[row])


def file_stamp(files: Sequence[Path], root: Path) -> str:
    """Hash of names below ``root``, sizes and times; a file that is absent counts as such.

    Args:
        files: In the order of the listing.
        root: What names are relative to, so that a moved set keeps its stamp.
    """
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(root) if path.is_relative_to(root) else path
        try:
            stat = path.stat()
            digest.update(f"{name}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{name}|absent\n".encode())
    return digest.hexdigest()


def is_inside(name: str) -> bool:
    """Whether a file that a folder's own list names lies in that folder, on every system.

    Example:
        >>> [is_inside(name) for name in ("tumour/a.png", "../a.png", "/a.png", "a/../../b", "C:/a.png", "")]
        [True, False, False, False, False, False]
    """
    parts = name.replace("\\", "/").split("/")
    has_drive = parts[0].endswith(":")
    return "\0" not in name and not has_drive and all(part not in ("..", ".", "") for part in parts)
