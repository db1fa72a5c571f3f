"""What a tile set holds before any pixel is read, the same for every form in which sets come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import TileSetError
from histonic.data.patterns import compiled, parts_by_pattern
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
        sides: ``(N,)`` sides of the tiles in level-0 pixels, NaN where unknown; empty: of all.
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
    sides: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def where(self, row: int) -> str:
        """A tile as a message names it."""
        return f"{self.names[row]} (row {self.table_rows[row]})" if self.table_rows else self.names[row]


def selected(listing: Listing, root: Path, pattern: str, asked: str) -> Listing:
    """The tiles whose path below a folder fits a pattern.

    Raises:
        TileSetError: It is no regular expression, or fits no tile.
    """
    ready = compiled(pattern, asked, TileSetError)
    places = paths_below(listing, root)
    rows = np.array([row for row, place in enumerate(places) if ready.search(place)], np.int64)
    if not len(rows):
        some = f", such as {places[0]}" if places else ""
        raise TileSetError(
            asked, f"The pattern {pattern!r} of 'only' fits none of {len(places)} tiles{some}.", "Correct it."
        )
    read = listing.read
    return Listing(
        tuple(listing.names[row] for row in rows),
        {column: labels[rows] for column, labels in listing.labels.items()},
        listing.split[rows],
        listing.group[rows],
        listing.slide[rows],
        listing.places[rows],
        lambda row: read(int(rows[row])),
        hashlib.sha256(f"{listing.stamp}|{pattern}".encode()).hexdigest(),
        tuple(listing.table_rows[row] for row in rows) if listing.table_rows else (),
        listing.sides[rows] if len(listing.sides) else listing.sides,
    )


def grouped(listing: Listing, root: Path, pattern: str, asked: str) -> Listing:
    """The tiles with a group that a pattern finds in their paths below a folder.

    Raises:
        TileSetError: It is no regular expression, has no group, or does not fit a tile; or the set itself
            names groups.
    """
    if any(listing.group):
        raise TileSetError(
            asked, "Both 'group_pattern' and the set name groups.", "Remove it, or say 'group: \"\"'."
        )
    places = paths_below(listing, root)
    found = parts_by_pattern(places, pattern, asked, TileSetError)
    without = [place for place, part in zip(places, found, strict=True) if part is None]
    if without:
        more = f" ({len(without)} such tiles)" if len(without) > 1 else ""
        raise TileSetError(
            asked,
            f"The pattern {pattern!r} of 'group_pattern' does not fit {without[0]}{more}.",
            "Correct it, or leave these tiles out with 'only'.",
        )
    return replace(listing, group=texts([str(part) for part in found]))


def paths_below(listing: Listing, root: Path) -> list[str]:
    """The path of each tile below a folder, with slashes; of one that lies elsewhere its whole path."""
    paths = [Path(name) for name in listing.names]
    return [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths]


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
