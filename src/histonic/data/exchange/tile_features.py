"""What a file of another tool says of one slide, and what a form of such files is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError, SlideError
from histonic.core.units import WH
from histonic.data.exchange.lattice import least_step
from histonic.data.maps.facts import MapFacts
from histonic.data.names import path_name, slide_name

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float16]
FEWEST_ALIKE = 8
"""Tiles of a slide that never all look the same; as many of zeros at its end were not written."""
MOST_ZERO = 0.25
"""Share of a slide's tiles that may have nothing but zeros."""
ZEROS, SCALE = "nothing but zeros", "Scale the features, the same way for all slides."
BLOCK_BYTES = 64 << 20
"""Of features that are read, or written, at a time."""


class Matrix(Protocol):
    """Features ``(N, D)`` in memory, or in an open file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Tiles and numbers of a tile."""

    @property
    def dtype(self) -> Any:
        """Type of the numbers."""

    def __getitem__(self, key: Any) -> Any:
        """Read rows."""


class TensorFiles(Protocol):
    """Reads and writes files of torch, which this room does not know."""

    def read(self, path: Path) -> Any:
        """A tensor as an array, or a mapping of names to arrays.

        Raises:
            SlideError: The file is damaged, or holds more than plain tensors.
        """

    def write(self, path: Path, values: npt.NDArray[Any]) -> None:
        """Write an array as a bare tensor."""


@dataclass(frozen=True)
class Request:
    """What is to be read.

    Attributes:
        folder: Of the files.
        tensors: Reads ``.pt``.
        features: Name of the encoder whose features are meant; empty where nobody says.
        coords: Folder of the coordinates, where they lie elsewhere.
        tile_px: Side of the tiles that the encoder saw, where the files do not say.
        names: Whether slides are called by their files or by their paths.
    """

    folder: Path
    tensors: TensorFiles
    features: str = ""
    coords: Path | None = None
    tile_px: int | None = None
    names: Literal["file", "path"] = "file"

    def slide_id(self, path: Path, folder: Path, ending: str = "") -> str:
        """What the slide of a file in a folder is called."""
        place = path.relative_to(folder).as_posix().removesuffix(ending)
        return slide_name(place) if self.names == "file" else path_name(place)


@dataclass(frozen=True)
class Found:
    """The files of one slide.

    Attributes:
        slide_id: Its name.
        path: The features.
        coords: The positions, where they lie in another file.
    """

    slide_id: str
    path: Path
    coords: Path | None = None


@dataclass(frozen=True)
class TileFeatures:
    """The features of one slide's tiles, and where the tiles lie; the features are not read yet.

    Attributes:
        slide_id: Name of the slide.
        path: The file.
        encoder: Name of what made the features.
        shape: Tiles, and numbers of a tile.
        open: Opens the features, whose rows are those of ``xy``.
        xy: ``(N, 2)`` top-left corners: x to the right, y down.
        unit: Of ``xy``, ``side`` and ``step``: pixels of level 0, or microns.
        side: Of a tile; None if the files do not say.
        step: From tile to tile; None if the files do not say.
        tile_px: Side of the tiles that the encoder saw.
        tile_mpp: Microns per pixel of those tiles as the tool was asked for them; None if it was not.
        slide_wh: Size of level 0 in pixels.
        slide_mpp: Microns per pixel of level 0.
        magnification: Of level 0.
        in_pieces: Whether the tool begins a new lattice at every piece of tissue.
        carried: What histonic wrote of the map, of which it made the file.
        note: What is to be said of how it was read.
    """

    slide_id: str
    path: Path
    encoder: str
    shape: tuple[int, int]
    open: Callable[[], AbstractContextManager[Matrix]]
    xy: Floats
    unit: Literal["px", "um"] = "px"
    side: float | None = None
    step: float | None = None
    tile_px: int | None = None
    tile_mpp: float | None = None
    slide_wh: WH | None = None
    slide_mpp: float | None = None
    magnification: float | None = None
    in_pieces: bool = False
    carried: Carried | None = None
    note: str = ""


@dataclass(frozen=True)
class Carried:
    """What a file that histonic wrote says of its map.

    Attributes:
        facts: Of the map.
        rows: Hash of positions and features as they were written.
    """

    facts: MapFacts
    rows: str


@dataclass(frozen=True)
class Form:
    """A form in which other tools keep features.

    Attributes:
        name: As ``--from`` takes it.
        tool: Whose it is, as a user knows it.
        find: The slides in a folder; none if the folder is not of this form.
        read: What the files of a slide say.
    """

    name: str
    tool: str
    find: Callable[[Request], list[Found]]
    read: Callable[[Found, Request], TileFeatures]


class Places(TypedDict):
    """Of ``TileFeatures``: where tiles lie."""

    xy: Floats
    side: float | None
    step: float | None
    tile_px: int | None


def positions_alone(xy: Floats, request: Request) -> Places:
    """Tiles of which only their corners are known: they are taken to touch their neighbours."""
    step = least_step(xy) if len(xy) else None
    return Places(xy=xy, side=step, step=step, tile_px=request.tile_px)


def unreadable(slide_id: str, path: Path, found: str, todo: str = "Make the file anew.") -> SlideError:
    """The error for a file of features that cannot be used."""
    return SlideError(f"Read the features of {slide_id!r} from {path}.", found, todo)


def choose_features(asked: str, there: Mapping[str, Any], folder: Path) -> str:
    """Which of several encoders' features are meant.

    Args:
        asked: What the user named; may be empty.
        there: By the encoder's name.
        folder: For the message.

    Raises:
        SettingsError: None of that name, or several and none was named.
    """
    if asked in there:
        return asked
    if not asked and len(there) == 1:
        return next(iter(there))
    raise SettingsError(
        f"Import the features{f' {asked!r}' if asked else ''} in {folder}.",
        f"There are those of {', '.join(sorted(there)) or 'no encoder'}.",
        "Choose one: --features NAME.",
    )


def require_features(asked: str, tool: str, folder: Path) -> str:
    """The name of the encoder, where the tool's files do not say it.

    Raises:
        SettingsError: It was not given.
    """
    if not asked:
        raise SettingsError(
            f"Import the features in {folder}.",
            f"Files of {tool} do not say which encoder made them.",
            "Name it: --features NAME. Only maps of the same name, tile and resolution are used together.",
        )
    return asked


def require_matrix(slide_id: str, path: Path, shape: tuple[int, ...], tiles: int) -> tuple[int, int]:
    """The shape of features that fit their positions.

    Raises:
        SlideError: They are no matrix, or there are more or fewer of them than positions.
    """
    if tiles == 0 and (len(shape) < 2 or shape[0] == 0):
        return 0, shape[1] if len(shape) == 2 else 0
    if len(shape) != 2 or shape[1] == 0:
        raise unreadable(
            slide_id,
            path,
            f"Its features have the shape {shape}, perhaps of a whole slide; a map has one row a tile.",
            "Give the features of tiles.",
        )
    if shape[0] != tiles:
        raise unreadable(
            slide_id, path, f"It has {shape[0]} rows of features and {tiles} positions.", "Make it anew."
        )
    return shape[0], shape[1]


def half_rows(features: TileFeatures) -> Rows:
    """The features as float16, ``(N, D)``.

    Raises:
        SlideError: A number is NaN, infinite or beyond what float16 holds, all are so small that it holds
            little or nothing of them, or there are fewer rows than said.
    """
    rows = np.empty(features.shape, np.float16)
    most, least = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_normal)
    top, is_exact = 0.0, True
    with features.open() as matrix:
        if np.dtype(matrix.dtype).kind != "f":
            raise unreadable(features.slide_id, features.path, f"Its features are {matrix.dtype}.")
        for start, block in _blocks(matrix, features.shape):
            wrong = ~np.isfinite(block)
            if wrong.any():
                row = start + int(np.argwhere(wrong)[0][0])
                raise unreadable(
                    features.slide_id,
                    features.path,
                    f"Row {row} holds NaN or infinity ({int(wrong.sum())} numbers like that).",
                    "Extract the slide again; in half precision some encoders leave the finite numbers.",
                )
            largest = float(np.abs(block).max(initial=0.0))
            if largest > most:
                raise unreadable(
                    features.slide_id,
                    features.path,
                    f"It holds {largest:.4g}; maps keep float16, up to {most:.0f}.",
                    SCALE,
                )
            kept = rows[start : start + len(block)]
            kept[:] = block
            top = max(top, largest)
            # Of larger numbers float16 keeps what is needed.
            is_exact = is_exact and largest < least and bool((kept == block).all())
    if 0 < top < least and not is_exact:
        raise unreadable(
            features.slide_id,
            features.path,
            f"Its largest number is {top:.2g}; maps keep float16, whose digits end below {least:.1g}.",
            SCALE,
        )
    return rows


def require_written(features: TileFeatures, rows: Rows) -> str:
    """Refuse features that nobody can have meant: zeros where tiles were not reached, or all tiles the same.

    Returns:
        In words that a few tiles have nothing but zeros; empty if none has.

    Raises:
        SlideError: The slide's features are so.
    """
    if not rows.size:
        return ""
    written = np.asarray(rows.any(1))
    count, zeros, first = len(rows), int((~written).sum()), int(written.argmin())
    end = int(written[::-1].argmax())  # zeros after the last row that was written
    if not zeros and not (count >= FEWEST_ALIKE and (rows == rows[0]).all()):
        return ""
    if zeros in (0, count):
        found = f"All its {count} rows of features hold {ZEROS if zeros else 'the same numbers'}"
    elif end >= FEWEST_ALIKE:
        found = f"From row {count - end} to the last of {count} its features hold {ZEROS}"
    elif zeros >= MOST_ZERO * count:
        found = f"{zeros} of its {count} rows of features, the first row {first}, hold {ZEROS}"
    else:
        return f"{zeros} of {count} tiles have features of {ZEROS}, the first in row {first}"
    raise unreadable(
        features.slide_id,
        features.path,
        f"{found}, as where an extraction broke off.",
        "Extract the slide again.",
    )


def sampled_rows(features: TileFeatures, count: int) -> Rows:
    """Rows from all over the features as float16, at most so many; the others are not read.

    Numbers that float16 does not hold become infinite here, and are refused when all rows are read.
    """
    chosen = np.unique(np.linspace(0, features.shape[0] - 1, count).astype(int))
    with features.open() as matrix, np.errstate(over="ignore"):
        return np.asarray(matrix[chosen]).astype(np.float16)


def _blocks(matrix: Matrix, shape: tuple[int, int]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    size = max(1, BLOCK_BYTES // max(1, shape[1] * np.dtype(matrix.dtype).itemsize))
    for start in range(0, shape[0], size):
        yield start, np.asarray(matrix[start : start + size])


def map_rows(slide: CompressedSlide) -> tuple[npt.NDArray[np.int64], Rows]:
    """Cells ``(N, 2)`` of a map in row-major order, and their upright codes ``(N, D)``."""
    cells = np.argwhere(slide.mask)
    codes = np.empty((len(cells), slide.code_size), np.float16)
    for row in np.unique(cells[:, 0]):
        here = cells[:, 0] == row
        codes[here] = np.asarray(slide.features[:, int(row)])[:, cells[here, 1]].T
    return cells, codes


def map_xy(slide: CompressedSlide, cells: npt.NDArray[np.int64]) -> Floats:
    """Top-left corners of cells in level-0 pixels, ``(N, 2)``."""
    grid = slide.grid
    return np.asarray(grid.origin_xy, np.float64) + cells[:, ::-1] * grid.stride_level0
