"""PatchCamelyon's HDF5 files: tiles, labels and the slides they come from (Veeling et al. 2018)."""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import h5py
import numpy as np
import numpy.typing as npt

from histonic.core.errors import TableError, TileSetError
from histonic.core.files import replacing_file
from histonic.data.tables.files import read_table
from histonic.data.tables.issues import list_names
from histonic.data.tables.values import to_number
from histonic.data.tilesets.images import UInt8Array
from histonic.data.tilesets.listing import SPLITS, Listing, file_stamp, nowhere, texts, unknown
from histonic.data.tilesets.tables import GROUP

if TYPE_CHECKING:
    from histonic.data.tilesets.plan import TileSetSettings

PCAM_SUFFIXES = (".h5", ".hdf5", ".gz")
PARTS = ("train", "valid", "test")
CLASSES = ("normal", "tumor")
WSI = "wsi"
BLOCK = 256
"""Tiles read from a file at once; neighbours in a file mostly share a compressed chunk."""
UNPACKED_AT_ONCE = 1 << 24
DAMAGE = (OSError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError)
"""What h5py raises where a file is damaged, or a group stands in the place of a data set."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class _Part:
    """One split: its file of tiles, and what is known of each."""

    images: Path
    split: str
    labels: npt.NDArray[np.int64]
    slides: list[str]
    places: npt.NDArray[np.float64]


def has_pcam(folder: Path) -> bool:
    """Whether a folder holds files of PatchCamelyon, unpacked or not."""
    return any(folder.glob("*_split_*_[xy].h5")) or any(folder.glob("*_split_*_[xy].h5.gz"))


def list_pcam(asked: str, folder: Path, plan: TileSetSettings, cache: Path | None = None) -> Listing:
    """List camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5; slides are those of ``..._meta.csv``.

    The class ``tumor`` is where the centre of the tile holds tumour; ``normal`` is everywhere else. Packed
    files (``.h5.gz``) are unpacked into the cache, once.

    Args:
        asked: First part of messages.
        folder: Of the files.
        plan: May name another column of ``..._meta.csv`` as group.
        cache: Folder for unpacked files.

    Raises:
        TileSetError: A file is missing or damaged, or packed and there is no cache; the numbers of tiles and
            labels differ.
        OutputError: The cache cannot be written.
    """
    if len(plan.label) > 1:
        raise TileSetError(asked, "PatchCamelyon has one label a tile.", "Remove 'label' from the set.")
    files = _files(asked, folder, cache)
    parts = [
        _part(asked, files, folder / images.replace("_x.h5", "_meta.csv"), images, SPLITS[part], plan)
        for part in PARTS
        for images in sorted(files)
        if images.endswith(f"_split_{part}_x.h5")
    ]
    if not parts:
        raise TileSetError(asked, "There is no *_split_train_x.h5 file.", "Give PatchCamelyon's folder.")
    counts = [len(part.labels) for part in parts]
    names = [f"{part.images}[{row}]" for part in parts for row in range(len(part.labels))]
    labels = texts([CLASSES[int(value)] for part in parts for value in part.labels])
    groups = texts([slide for part in parts for slide in part.slides])
    return Listing(
        tuple(names),
        dict.fromkeys(plan.label, labels),
        texts([part.split for part in parts for _ in part.labels]),
        groups if plan.group else unknown(len(names)),
        groups,
        np.concatenate([part.places for part in parts]),
        _reader([part.images for part in parts], counts),
        file_stamp([part.images for part in parts], folder),
    )


def _files(asked: str, folder: Path, cache: Path | None) -> dict[str, Path]:
    """Where the unpacked form of each file is, by its name without .gz."""
    found = {path.name: path for path in folder.glob("*_split_*_[xy].h5")}
    for packed in sorted(folder.glob("*_split_*_[xy].h5.gz")):
        name = packed.name.removesuffix(".gz")
        if name in found:
            continue
        if cache is None:
            raise TileSetError(asked, f"{packed.name} is packed.", f"Unpack it first: gunzip {packed.name}")
        found[name] = _unpacked(asked, packed, cache)
    return found


def _unpacked(asked: str, packed: Path, cache: Path) -> Path:
    """The content of a packed file, in the cache; it is written once, whoever else does so."""
    stamp = hashlib.sha256(f"{packed.resolve()}|{file_stamp([packed], packed.parent)}".encode()).hexdigest()
    target = cache / f"unpacked-{stamp[:12]}" / packed.name.removesuffix(".gz")
    if not target.is_file():
        with replacing_file(target) as partial, partial.open("wb") as file:
            try:
                with gzip.open(packed) as source:
                    while part := source.read(UNPACKED_AT_ONCE):
                        file.write(part)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise TileSetError(
                    asked, f"{packed.name} cannot be unpacked: {error}.", "Download it again."
                ) from error
    return target


def _part(
    asked: str, files: Mapping[str, Path], meta: Path, name: str, split: str, plan: TileSetSettings
) -> _Part:
    images, truth = files[name], files.get(name.replace("_x.h5", "_y.h5"))
    if truth is None:
        missing = name.replace("_x.h5", "_y.h5")
        raise TileSetError(asked, f"{missing} is missing beside {images.name}.", "Download both.")
    shape, kind = _opened(asked, images, "x", lambda data: (data.shape, data.dtype))
    if len(shape) != 4 or shape[3] != 3 or kind != np.uint8:
        raise TileSetError(
            asked,
            f"'x' of {images.name} is {kind} of shape {tuple(shape)}.",
            "It must be uint8 (tiles, height, width, 3): download it again.",
        )
    values = _opened(asked, truth, "y", lambda data: _whole(np.asarray(data).reshape(-1)))
    if shape[0] != len(values):
        raise TileSetError(
            asked,
            f"{images.name} has {shape[0]} tiles, {truth.name} {len(values)} labels.",
            "Download both again.",
        )
    if odd := sorted({int(value) for value in values} - {0, 1}):
        raise TileSetError(asked, f"{truth.name} has the label {odd[0]}.", "It must be 0 or 1.")
    slides, places = _slides(asked, meta, len(values), plan)
    return _Part(images, split, values, slides, places)


def _opened(asked: str, path: Path, name: str, look: Callable[[h5py.Dataset], Found]) -> Found:
    """What ``look`` finds in a data set of a file."""
    try:
        with h5py.File(path) as file:
            return look(file[name])
    except KeyError as error:
        raise TileSetError(
            asked, f"{path.name} has no data set {name!r}.", "Give PatchCamelyon's own files."
        ) from error
    except DAMAGE as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise TileSetError(asked, f"{path.name} cannot be read: {found}.", "Download it again.") from error


def _whole(values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Labels as whole numbers.

    Raises:
        ValueError: One is not.
    """
    found = values.astype(np.int64)
    if (found != values).any():
        raise ValueError("a label is no whole number")
    return found


def _slides(
    asked: str, meta: Path, count: int, plan: TileSetSettings
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Slide and place of each tile, by the ``..._meta.csv`` beside the tiles if it is there."""
    wanted = WSI if plan.group in (GROUP, "") else plan.group
    if not meta.is_file():
        if wanted != WSI:
            raise TileSetError(
                asked, f"{meta.name} is missing, which holds the column {wanted!r}.", "Download it."
            )
        return [""] * count, nowhere(count)
    try:
        table = read_table(meta)
    except TableError as error:
        raise TileSetError(asked, f"{meta.name}: {error.found}", error.todo) from error
    if wanted not in table.columns:
        raise TileSetError(
            asked,
            f"{meta.name} has no column {wanted!r}; its columns are {list_names(table.columns)}.",
            "Name the column of the slide under 'group'.",
        )
    if len(table.frame) != count:
        raise TileSetError(
            asked, f"{meta.name} has {len(table.frame)} rows for {count} tiles.", "Download it again."
        )
    places = nowhere(count)
    for axis, column in enumerate(("coord_x", "coord_y")):
        if column in table.columns:
            numbers = [to_number(cell) for cell in table.frame[column]]
            places[:, axis] = [np.nan if number is None else number for number in numbers]
    return [str(cell) for cell in table.frame[wanted]], places


def _reader(files: Sequence[Path], counts: Sequence[int]) -> Callable[[int], UInt8Array]:
    """Reads blocks of tiles, as single ones would decompress the same chunk again and again."""
    starts = np.cumsum([0, *counts])
    lock = threading.Lock()
    held: dict[tuple[int, int], UInt8Array] = {}

    def read(row: int) -> UInt8Array:
        index = int(np.searchsorted(starts, row, side="right")) - 1
        block, at = divmod(row - int(starts[index]), BLOCK)
        with lock:
            if (index, block) not in held:
                try:
                    with h5py.File(files[index]) as file:
                        tiles = np.asarray(file["x"][block * BLOCK : (block + 1) * BLOCK])
                except DAMAGE as error:
                    raise OSError(f"{files[index].name}: {error}") from error
                if len(held) > 1:
                    held.pop(next(iter(held)))
                held[index, block] = tiles
            tile: UInt8Array = held[index, block][at]
            return tile

    return read
