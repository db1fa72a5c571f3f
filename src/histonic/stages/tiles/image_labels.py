"""Labels of whole images: from a table of files and classes, or from the folders that images lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from histonic.core.errors import SettingsError, TableError
from histonic.data.names import names_by_path, path_steps, slide_name
from histonic.data.patterns import parts_by_pattern
from histonic.data.tables.files import TextTable, read_table
from histonic.data.tables.formats.csv import read_csv_rows
from histonic.data.tables.issues import list_names
from histonic.data.tables.slide_lists import SlideRow
from histonic.data.tables.values import is_missing
from histonic.data.text import tidy
from histonic.stages.tiles.groups import place_of
from histonic.stages.tiles.settings import ExtractSettings

FILE_NAMES = ("path", "file", "filename", "file_name", "image", "image_id", "slide_id", "name")
LABEL_NAMES = ("label", "class")
KEYS = ("file", "label")


def labels_of_images(rows: Sequence[SlideRow], settings: ExtractSettings) -> tuple[dict[str, str], list[str]]:
    """The label of each image as a whole, as its source writes it.

    Args:
        rows: The images.
        settings: Say where labels are.

    Returns:
        The label by ``slide_id``, of images that have one; and notes.

    Raises:
        SettingsError: The pattern is none, or fits no image.
        TableError: The table cannot be read, lacks a column, or says two things of one image.
    """
    if settings.label_pattern is not None:
        asked = f"Label the images by the pattern {settings.label_pattern!r}."
        found = parts_by_pattern(
            [place_of(row) for row in rows], settings.label_pattern, asked, SettingsError
        )
        named = {row.slide_id: part for row, part in zip(rows, found, strict=True) if part}
        if not named:
            some = f", such as {place_of(rows[0])}" if rows else ""
            raise SettingsError(
                asked,
                f"It fits none of {len(rows)} image(s){some}.",
                "Change it; paths are those below the folder that is given.",
            )
        return named, []
    if settings.image_labels is None:
        return {}, []
    return _by_table(rows, _pairs(settings.image_labels, settings.image_columns), settings.image_labels)


def _pairs(file: Path, columns: Mapping[str, str]) -> dict[int, tuple[str, str]]:
    """File and label by row of the table; a cell without a label is empty."""
    asked = f"Read the labels of images from {file}."
    if other := sorted(set(columns) - set(KEYS)):
        raise SettingsError(
            asked, f"--image-columns names {other[0]!r}.", "Name file and label: --image-columns label=grade."
        )
    if columns and all(column.isdecimal() for column in columns.values()):
        return _without_header(file, columns, asked)
    table = read_table(file)
    names = {
        key: columns.get(key) or _usual(table, usual, key, asked)
        for key, usual in zip(KEYS, (FILE_NAMES, LABEL_NAMES), strict=True)
    }
    for column in names.values():
        if column not in table.columns:
            raise TableError(
                asked,
                f"It has no column {column!r}; its columns are {list_names(table.columns)}.",
                "Correct --image-columns.",
            )
    cells = zip(table.frame.index, table.frame[names["file"]], table.frame[names["label"]], strict=True)
    return {int(row): (str(name), "" if is_missing(label) else str(label)) for row, name, label in cells}


def _usual(table: TextTable, usual: Sequence[str], key: str, asked: str) -> str:
    found = [column for column in table.columns if column.lower() in usual]
    if len(found) == 1:
        return found[0]
    what = f"Several columns may be the {key}: {list_names(found)}." if found else f"No column is the {key}."
    raise TableError(
        asked,
        f"{what} Its columns are {list_names(table.columns)}.",
        "Name them: --image-columns file=NAME --image-columns label=NAME; where the table has no header, by "
        "number: --image-columns file=1 --image-columns label=2.",
    )


def _without_header(file: Path, columns: Mapping[str, str], asked: str) -> dict[int, tuple[str, str]]:
    if set(columns) != set(KEYS):
        raise SettingsError(
            asked, "Only one of two columns is given by number.", "Number both: file=1, label=2."
        )
    if not file.is_file() or file.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise TableError(asked, "It is no CSV.", "Save it as CSV; columns of other tables are named.")
    places = [int(columns[key]) - 1 for key in KEYS]
    found = {}
    for row, cells in read_csv_rows(file)[0]:
        if min(places) < 0 or max(places) >= len(cells):
            raise TableError(
                asked, f"Row {row} has {len(cells)} cells.", "Count columns from 1 in --image-columns."
            )
        name, label = (cells[place] for place in places)
        found[row] = (name, "" if is_missing(label) else label)
    return found


def _by_table(
    rows: Sequence[SlideRow], pairs: Mapping[int, tuple[str, str]], file: Path
) -> tuple[dict[str, str], list[str]]:
    """Labels by the names of images, with or without folders and ending; folders decide where given."""
    folders = {row.slide_id: tidy(row.path.parent.name) for row in rows if isinstance(row.path, Path)}
    known: dict[str, set[str]] = {}
    for row in rows:
        place = place_of(row)
        for name in {row.slide_id, slide_name(place), *(name for name, _ in names_by_path(place))}:
            known.setdefault(tidy(name), set()).add(row.slide_id)
    found: dict[str, tuple[int, str]] = {}
    unused: list[str] = []
    for number, (name, label) in pairs.items():
        longer = [each for each, _ in names_by_path(tidy(name))]
        called = next((each for each in [*longer, tidy(name), slide_name(tidy(name))] if each in known), None)
        if called is None:
            unused.append(f"row {number} ({name})")
            continue
        asked = f"Label the image {name} by {file}."
        if len(known[called]) > 1:
            raise TableError(
                asked,
                f"Row {number} may mean {list_names(sorted(known[called]))}.",
                "Write the folder before the name.",
            )
        (slide_id,) = known[called]
        steps = path_steps(tidy(name))
        in_another = len(steps) > 1 and folders.get(slide_id, steps[-2]) != steps[-2]
        if called == slide_name(tidy(name)) and in_another:
            unused.append(f"row {number} ({name})")
            continue
        before = found.setdefault(slide_id, (number, label))
        if before[1] != label:
            raise TableError(
                asked,
                f"Row {before[0]} says {before[1]!r}, row {number} {label!r}.",
                "Keep one of them.",
            )
    notes = []
    if unused:
        more = " ..." if len(unused) > 3 else ""
        notes.append(f"{len(unused)} row(s) of {file.name} without an image: {', '.join(unused[:3])}{more}")
    return {slide_id: label for slide_id, (_, label) in found.items() if label}, notes
