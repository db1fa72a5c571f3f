"""Which slides a command is about: from files, folders and tables to one row per slide."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from histonic.core.errors import SettingsError, TableError
from histonic.core.files import PARTIAL_PREFIX
from histonic.core.places.frames import FrameTable
from histonic.core.places.images import HeldSlide
from histonic.core.places.kinds import kind_of
from histonic.core.places.urls import Place, Url, is_url, place_of
from histonic.data.names import PICTURE_EXTENSIONS, SLIDE_EXTENSIONS, path_name, present_path, slide_name
from histonic.data.tables.files import TABLE_EXTENSIONS, TextTable, read_table
from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.identifiers import damaged_identifiers
from histonic.data.tables.issues import Issue, list_names, raise_first
from histonic.data.tables.numbers import column_numbers
from histonic.data.tables.settings import Decimal
from histonic.data.tables.styles import name_columns
from histonic.data.tables.values import is_missing
from histonic.slides.formats.array import ArraySlide
from histonic.slides.sources.series import ENDING, chief_file, dicom_series, series_in

Names = Literal["file", "path"]
_NAMED_BY: Mapping[Names, Callable[[str], str]] = {"file": slide_name, "path": path_name}


@dataclass(frozen=True)
class SlideRow:
    """One slide to work on.

    Attributes:
        slide_id: Its name in stores and tables: from the table, else from file name or path.
        path: The file or its URL; it may be absent, so that a run can list it as a failure.
        mpp: Microns per pixel for a header that does not say; None if nobody says.
        mask: Tissue mask file named by the table.
        is_named: Whether the name comes from a table rather than from the file.
        place: Its path from the folder that was given, by which files beside it in other folders are found;
            empty where no folder was.
    """

    slide_id: str
    path: Place
    mpp: float | None = None
    mask: Path | None = None
    is_named: bool = field(default=False, compare=False)
    place: str = field(default="", compare=False)


def read_slide_list(
    paths: Sequence[Place | FrameTable], sheet: str | None = None, names: Names = "file"
) -> list[SlideRow]:
    """List the slides named by files, folders and tables.

    Folders are searched with their subfolders for files with a slide's extension; hidden and partial
    files and the data folders beside .mrxs files are passed over. The DICOM files of one series in a folder
    are one slide; it has the folder's name where there are several and no other slide lies there, else the
    name of its largest file. Tables (CSV, TSV, Excel, Parquet) have a column path (TRIDENT's wsi,
    slide2vec's image_path) and may have slide_id, mpp and mask; relative paths start at the table's folder,
    and a URL or the folder of a DICOM series is a path too. The same file named twice is listed once.

    Args:
        paths: Files, URLs, folders, tables (relative paths of a DataFrame start where Python runs), slides in
            memory.
        sheet: Of Excel tables; the first by default.
        names: ``file``: slides that no table names are called by their file names; ``path``: by their path
            from the folder that is given, from a table's folder, or as it is written.

    Returns:
        Sorted by ``slide_id``. Files that a table names are listed even if they do not exist.

    Raises:
        SettingsError: Nothing is named, an argument is neither file nor folder, or a folder holds no slide.
        TableError: A table names no paths, a cell is no resolution, or two slides have the same name.
    """
    if not paths:
        raise SettingsError("List the slides.", "No slide is named.", "Name slide files, folders or a table.")
    rows: dict[str, SlideRow] = {}
    for row in (row for path in paths for row in _rows(place_of(path), sheet, names)):
        real = _real_place(row)
        rows[real] = _merge(rows[real], row) if real in rows else row
    listed = sorted(rows.values(), key=lambda row: row.slide_id)
    for row, other in pairwise(listed):
        if row.slide_id == other.slide_id:
            alone = names == "file" and not (row.is_named and other.is_named)
            raise TableError(
                f"List the slide {row.slide_id!r}.",
                f"Two files have this name: {row.path} and {other.path}.",
                ("Rename one, name slides by their folders, too (--names path)," if alone else "Rename one,")
                + " or give a table with the columns path and slide_id.",
            )
    return listed


def _real_place(row: SlideRow) -> str:
    """What tells slides apart: the file, of DICOM its series in its folder."""
    if isinstance(row.path, HeldSlide):
        return f"memory:{row.path.name}:{row.path.given.fingerprint}"
    if isinstance(row.path, Url):
        return row.path.reveal()
    file = os.path.realpath(row.path)
    series = dicom_series(row.path) if row.path.suffix.lower() == ENDING else None
    return file if series is None else f"{os.path.dirname(file)}//{series.decode('latin-1')}"


def _merge(first: SlideRow, second: SlideRow) -> SlideRow:
    """One slide named twice, by a folder and by a table, say; what only one knows is kept.

    Raises:
        TableError: Two files of one DICOM series have got two identifiers.
    """
    chief = first.path
    if isinstance(chief, Path) and isinstance(second.path, Path) and chief != second.path:
        if os.path.realpath(chief) != os.path.realpath(second.path):
            chief = chief_file([chief, second.path])
        if first.is_named and second.is_named and first.slide_id != second.slide_id:
            raise TableError(
                f"List the slides {first.slide_id!r} and {second.slide_id!r}.",
                f"{first.path} and {second.path} are one slide.",
                "Leave one of them out.",
            )
    own = [row for row in (first, second) if row.is_named or row.slide_id != slide_name(row.path.name)]
    own.sort(key=lambda row: not row.is_named)
    name = own[0].slide_id if own else slide_name(chief.name)
    is_named = first.is_named or second.is_named
    return SlideRow(
        name,
        chief,
        first.mpp or second.mpp,
        first.mask or second.mask,
        is_named,
        first.place or second.place,
    )


def _rows(path: str | Place | FrameTable, sheet: str | None, names: Names) -> Iterator[SlideRow]:
    if isinstance(path, Url):
        yield _remote_row(path)
        return
    if isinstance(path, HeldSlide):
        yield _held_row(path)
        return
    if isinstance(path, FrameTable):
        yield from list_table(read_table(path), names).values()
        return
    path = Path(path)
    if path.is_dir():
        files = find_slides(path)
        if not files:
            kind = kind_of(path)
            raise SettingsError(
                f"Find slides in the folder {path}.",
                f"It {f'is {kind}: it ' if kind else ''}holds no file with a slide's extension.",
                f"Known extensions: {', '.join((*SLIDE_EXTENSIONS, *PICTURE_EXTENSIONS))}. Name other files "
                "one by one.",
            )
        yield from (_found_row(file, path, names) for file in files)
    elif not path.exists():
        raise SettingsError(
            f"List the slides of {path}.", "There is no such file or folder.", "Check the path."
        )
    elif path.suffix.lower() in TABLE_EXTENSIONS:
        yield from list_table(read_table(path, sheet=sheet), names).values()
    else:
        yield SlideRow(_NAMED_BY[names](str(path)), path)


def _held_row(held: HeldSlide) -> SlideRow:
    """A slide in memory; one that was opened from a file is that file."""
    if held.is_image:
        name = held.name
        try:
            # Of an array of numpy.ma the mask would be lost.
            pixels = held.given if isinstance(held.given, np.ndarray) else np.asarray(held.given)
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"Take the image {name!r} as a slide.", f"It is no array: {error}.", "Give uint8 (H, W, 3)."
            ) from error
        slide = ArraySlide(pixels, mpp=held.mpp, name=name)
        return SlideRow(slide_name(name), HeldSlide(slide, name=name), held.mpp, is_named=held.is_named)
    opened = held.given
    given = opened.mpp if opened.mpp_source.startswith("given") else None
    lies_there = isinstance(opened.path, Url) or (isinstance(opened.path, Path) and opened.path.exists())
    if lies_there and not isinstance(opened, ArraySlide):  # whose path is but a name
        return SlideRow(held.name, opened.path, given, is_named=held.is_named)
    return SlideRow(held.name, held, given, is_named=held.is_named)


def _remote_row(url: Url) -> SlideRow:
    """The slide at a URL, named like a file."""
    if not url.name:
        raise SettingsError(
            f"List the slides of {url}.",
            "That is a folder; what lies in a folder at a URL is not looked for.",
            "Give the URLs of the slides, or a table with them in its column path.",
        )
    if url.suffix.lower() in TABLE_EXTENSIONS:
        raise SettingsError(
            f"List the slides of the table {url}.",
            "Tables are read from disks alone.",
            "Download it and give its path; its column path may hold URLs.",
        )
    return SlideRow(slide_name(url.name), url)


def find_slides(folder: Path) -> list[Path]:
    """The slide files in a folder and its subfolders, sorted by path, see :func:`read_slide_list`.

    Without any the JPG and PNG pictures; beside slides these are labels, masks and previews.
    """
    return _files_of(folder, SLIDE_EXTENSIONS) or _files_of(folder, PICTURE_EXTENSIONS)


def _files_of(folder: Path, extensions: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link back up would be walked for ever
            folders.clear()
            continue
        seen.add(real)
        companions = {Path(name).stem for name in files if name.lower().endswith(".mrxs")}
        folders[:] = sorted(name for name in folders if not _is_hidden(name) and name not in companions)
        slides = sorted(n for n in files if not _is_hidden(n) and n.lower().endswith(extensions))
        found += _one_per_series([Path(place) / name for name in slides])
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "~$", PARTIAL_PREFIX))


def _one_per_series(files: Sequence[Path]) -> list[Path]:
    """Of DICOM files that belong to one slide, the largest, which holds the finest pixels."""
    series: dict[bytes, list[Path]] = {}
    others = []
    for file in files:
        uid = dicom_series(file) if file.suffix.lower() == ENDING else None
        if uid is None:
            others.append(file)
        else:
            series.setdefault(uid, []).append(file)
    return [*others, *(chief_file(each) for each in series.values())]


def _found_row(file: Path, folder: Path, names: Names) -> SlideRow:
    """A slide found in a folder; where the files of one DICOM series lie alone, their folder names it."""
    place = file.relative_to(folder).as_posix()
    named = place
    if _is_series_of_its_folder(file):
        named = file.parent.relative_to(folder).as_posix()
        named = Path(os.path.abspath(folder)).name if named == "." else named
    return SlideRow(_NAMED_BY[names](named) or _NAMED_BY[names](place), file, place=place)


def _is_series_of_its_folder(file: Path) -> bool:
    """Whether the folder of a file holds several files of one DICOM series and no other slide."""
    if file.suffix.lower() != ENDING:
        return False
    folder = file.parent
    beside = [n for n in os.listdir(folder) if not _is_hidden(n) and n.lower().endswith(SLIDE_EXTENSIONS)]
    uid = dicom_series(file)
    is_alone = all(n.lower().endswith(ENDING) and dicom_series(folder / n) == uid for n in beside)
    return bool(uid) and len(beside) > 1 and is_alone


def list_table(table: TextTable, names: Names = "file") -> dict[int, SlideRow]:
    """The slides of a table by row of the file, see :func:`read_slide_list`.

    Raises:
        TableError: It names no paths, or a cell is no resolution.
    """
    named = name_columns(table.columns, "auto", file=table.path)
    if "path" not in named:
        found, todo = table.no_column("path")
        if table.other_sheets and "--sheet" in todo:
            raise TableError(f"List the slides of the table {table.path}.", found, todo)
        raise TableError(
            f"List the slides of the table {table.path}.",
            f"It has no column path (nor wsi, image_path); its columns are {list_names(table.columns)}.",
            "Name the column with the slide files path.",
        )
    rows = {row_of(row): cells.to_dict() for row, cells in table.frame.iterrows()}
    damaged = damaged_identifiers(table, named["slide_id"], slides=True) if "slide_id" in named else []
    raise_first([*_without_path(table, named["path"], rows), *damaged])
    resolutions = _resolutions(table, named, rows)
    return {row: _table_row(table, named, cells, resolutions.get(row), names) for row, cells in rows.items()}


def _without_path(table: TextTable, column: str, rows: Mapping[int, Mapping[str, str]]) -> list[Issue]:
    return [
        Issue(
            "error",
            f"List the slides of the table {table.path}",
            f"{table.name}, column {column!r}, row {row}",
            f"Row {row} names no file (column {column!r}).",
            "Give a path or remove the row.",
        )
        for row, cells in rows.items()
        if is_missing(cells[column])
    ]


def _resolutions(
    table: TextTable, named: Mapping[str, str], rows: Mapping[int, Mapping[str, str]]
) -> dict[int, float]:
    """Microns per pixel by row, where the table says them."""
    if "mpp" not in named:
        return {}
    column = named["mpp"]
    given = {row: cells[column] for row, cells in rows.items() if not is_missing(cells[column])}
    numbers = column_numbers(table, given)
    # Of 0.252 or 0,252 the zero shows the decimals; there are no thousands of microns in a pixel.
    if numbers.doubt:
        decimal: Decimal = "comma" if any("," in text for text in given.values()) else "point"
        numbers = column_numbers(replace(table, decimal=decimal), given)
    for row, text in given.items():
        if not numbers.values.get(row, 0.0) > 0 or text.endswith("%"):
            raise TableError(
                f"Read the resolution of {rows[row][named['path']]} in {table.path}.",
                f"Row {row}, column {column!r} is {text!r}.",
                "Give microns per pixel of the full resolution, such as 0.25, or leave the cell empty.",
            )
    return dict(numbers.values)


def _table_row(
    table: TextTable, named: Mapping[str, str], cells: Mapping[str, str], mpp: float | None, names: Names
) -> SlideRow:
    def cell(name: str) -> str:
        text = cells[named[name]] if name in named else ""
        return "" if is_missing(text) else text

    mask = present_path(table.path.parent / cell("mask")) if cell("mask") else None
    own = slide_name(cell("slide_id")) if cell("slide_id") else ""
    if is_url(cell("path")):
        url = Url(cell("path"))
        return SlideRow(own or slide_name(url.name), url, mpp, mask, is_named=bool(own))
    named_path = present_path(table.path.parent / cell("path"))
    series = list(series_in(named_path).values()) if named_path.is_dir() else []
    path = chief_file(series[0]) if len(series) == 1 else named_path
    if own:
        return SlideRow(own, path, mpp, mask, is_named=True)
    inside = named_path.is_relative_to(table.path.parent)
    place = named_path.relative_to(table.path.parent).as_posix() if inside else str(named_path)
    return SlideRow(_NAMED_BY[names](place), path, mpp, mask, place=place if inside else "")
