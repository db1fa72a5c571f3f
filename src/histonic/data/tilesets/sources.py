"""The forms in which tile sets come, told apart; and the plainest of them, a folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from histonic.core.errors import TileSetError
from histonic.core.files import files_below
from histonic.data.tables.files import TABLE_EXTENSIONS
from histonic.data.tilesets.images import IMAGE_SUFFIXES
from histonic.data.tilesets.listing import (
    SPLITS,
    Listing,
    file_stamp,
    grouped,
    image_reader,
    is_inside,
    nowhere,
    selected,
    texts,
    unknown,
)
from histonic.data.tilesets.pcam import PCAM_SUFFIXES, has_pcam, list_pcam
from histonic.data.tilesets.tables import GROUP, SPLIT, list_table

if TYPE_CHECKING:
    from histonic.data.tilesets.plan import TileSetSettings

TABLE = "tiles.csv"


def list_tiles(plan: TileSetSettings, cache: Path | None = None) -> Listing:
    """List the tiles of a set in whichever form it comes: those that are chosen, with their groups.

    Its path is a folder with ``tiles.csv``, a folder per class (also below train, val, test), a table,
    PatchCamelyon's ``..._x.h5`` or their folder. A plan without label columns wants no labels: any folder of
    images will do. Links are followed.

    Args:
        plan: What is said of the set.
        cache: Folder for what has to be unpacked.

    Raises:
        TileSetError: There is nothing there, or what is there is not complete; a pattern does not fit.
    """
    path = Path(plan.path)
    asked = f"Read the tile set {plan.name!r} from {path}."
    root = path if path.is_dir() else path.parent
    listing = _list_all(asked, path, plan, cache)
    if plan.only:
        listing = selected(listing, root, plan.only, asked)
    if plan.group_pattern:
        listing = grouped(listing, root, plan.group_pattern, asked)
    return listing


def _list_all(asked: str, path: Path, plan: TileSetSettings, cache: Path | None) -> Listing:
    if not path.exists():
        raise TileSetError(asked, "There is no such file or folder.", "Check its 'path'.")
    if path.is_dir() and (path / TABLE).is_file():
        listing = list_table(asked, path / TABLE, plan)
        _refuse_elsewhere(asked, path, listing)
        return listing
    ending = path.suffix.lower()
    if path.is_file() and ending in TABLE_EXTENSIONS:
        return list_table(asked, path, plan)
    if path.is_file() and ending in PCAM_SUFFIXES:
        return list_pcam(asked, path.parent, plan, cache)
    if path.is_dir() and has_pcam(path):
        return list_pcam(asked, path, plan, cache)
    if path.is_dir():
        return _list_folders(asked, path, plan)
    raise TileSetError(
        asked,
        f"It is a {ending or 'nameless'} file.",
        "Give a folder per class, a CSV or PatchCamelyon's .h5 files.",
    )


def _refuse_elsewhere(asked: str, folder: Path, listing: Listing) -> None:
    """A set is its folder: what its own table names elsewhere is none of its tiles.

    Raises:
        TileSetError: Names the first such tile.
    """
    for row, name in enumerate(listing.names):
        path = Path(name)
        if not path.is_relative_to(folder) or not is_inside(path.relative_to(folder).as_posix()):
            raise TileSetError(
                asked,
                f"{listing.where(row)} lies outside of the folder.",
                f"Move the tiles into it, or give the table itself as 'path': {folder / TABLE}.",
            )


def _list_folders(asked: str, root: Path, plan: TileSetSettings) -> Listing:
    _refuse_columns(asked, plan)
    found = [path for path in files_below(root) if path.suffix.lower() in IMAGE_SUFFIXES]
    files = [path for path in found if not _is_hidden(path.relative_to(root).parts)]
    astray = [path for path in files if not path.is_file()]
    if astray:
        raise TileSetError(
            asked,
            f"{astray[0].relative_to(root)} is a link that leads nowhere ({len(astray)} such links).",
            "Bring the files to where the links point, or remove the links.",
        )
    if not files:
        raise TileSetError(asked, "It holds no image.", f"Give {', '.join(IMAGE_SUFFIXES)} files.")
    placed = [_split_and_class(path.relative_to(root).parts[:-1]) for path in files]
    if plan.label:
        bare = [path for path, (_, name) in zip(files, placed, strict=True) if not name]
        if bare:
            raise TileSetError(
                asked,
                f"{bare[0].relative_to(root)} lies in no class folder ({len(bare)} such images).",
                f"Make one folder a class, or add a {TABLE} with the columns path and label.",
            )
        _refuse_empty_classes(asked, root, {name for _, name in placed})
    return Listing(
        tuple(str(path) for path in files),
        {column: texts([name for _, name in placed]) for column in plan.label},
        texts([split for split, _ in placed]),
        unknown(len(files)),
        unknown(len(files)),
        nowhere(len(files)),
        image_reader(files),
        file_stamp(files, root),
    )


def _refuse_columns(asked: str, plan: TileSetSettings) -> None:
    """Columns that are asked for by name do not exist in folders; a group overlooked would be a leak."""
    if len(plan.label) > 1:
        raise TileSetError(
            asked,
            f"{len(plan.label)} label columns are named, but it is a folder of images.",
            f"Add a {TABLE} with the columns path, {', '.join(plan.label)}.",
        )
    for value, default in ((plan.group, GROUP), (plan.split, SPLIT)):
        if value not in (default, ""):
            raise TileSetError(
                asked,
                f"The column {value!r} is named, but it is a folder of images.",
                f"Add a {TABLE} with the columns path, label and {value}.",
            )


def _is_hidden(parts: tuple[str, ...]) -> bool:
    """Whether the system, not a person, put a file there (.slides, .ipynb_checkpoints, ._tile.png)."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _split_and_class(folders: tuple[str, ...]) -> tuple[str, str]:
    """Split and class by the folders above a tile: SPLIT/CLASS/..., CLASS/SPLIT/... or CLASS/..."""
    if folders and folders[0].lower() in SPLITS:
        return SPLITS[folders[0].lower()], folders[1] if len(folders) > 1 else ""
    if len(folders) > 1 and folders[1].lower() in SPLITS:
        return SPLITS[folders[1].lower()], folders[0]
    return "", folders[0] if folders else ""


def _refuse_empty_classes(asked: str, root: Path, found: set[str]) -> None:
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        inner = sorted(folder.iterdir()) if folder.name.lower() in SPLITS else [folder]
        for each in inner:
            if each.is_dir() and not _is_hidden((each.name,)) and each.name not in found:
                raise TileSetError(
                    asked, f"The class {each.name!r} has no tiles.", "Add tiles, or remove its folder."
                )
