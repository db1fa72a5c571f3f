"""A label table as read: text cells, canonical columns, and which patient each named slide belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from histonic.core.errors import TableError
from histonic.core.places.frames import TablePlace
from histonic.data.names import path_name, slide_name
from histonic.data.tables.files import TextTable, read_table
from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.identifiers import (
    damaged_identifiers,
    plain_identifiers,
    two_kinds_of_rows,
)
from histonic.data.tables.issues import Issue, error_cells, list_examples, list_names, raise_first
from histonic.data.tables.numbers import column_numbers
from histonic.data.tables.settings import Decimal
from histonic.data.tables.splits import parted_patients, read_split, words_for_parts
from histonic.data.tables.styles import KNOWN_NAMES, columns_line, hides, name_columns
from histonic.data.tables.values import is_missing, is_spreadsheet_error, to_number
from histonic.data.text import loose_key


@dataclass(frozen=True)
class LabelTable:
    """Labels per row, with the patient of each row and each named slide.

    Attributes:
        text: The table's own cells; its frame's index is the row in the file.
        columns: Canonical name to the table's column.
        patients: Patient identifier per row, empty where missing.
        sites: Site per row, empty where missing.
        folds: Part of a rotation per row (text), empty where missing; None if the table gives none.
        roles: ``train``, ``val`` or ``test`` per row, empty where missing; None if the table gives none.
        links: One row per named slide with ``patient_id``, ``slide_id``, ``place`` (the cell, maybe with
            folders) and ``row``; None if the table names no slides, which are then matched by the patient's
            identifier.
        links_path: The table that names the slides.
        notes: What of the table was set aside.
        classes: Spellings that are joined, as written to the class.
        turns: ``train``, ``val`` or ``test`` per row in one column a fold, empty for who has no part in it;
            None if the table gives none.
    """

    text: TextTable
    columns: Mapping[str, str]
    patients: pd.Series
    sites: pd.Series
    folds: pd.Series | None
    roles: pd.Series | None
    links: pd.DataFrame | None
    links_path: Path
    notes: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    turns: pd.DataFrame | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.text.path

    @property
    def frame(self) -> pd.DataFrame:
        """Text cells by row of the file and column."""
        return self.text.frame

    @property
    def label_columns(self) -> list[str]:
        """The columns that are neither identifiers, paths, sites nor folds."""
        taken = {column for name, column in self.columns.items() if name not in ("time", "event", "entry")}
        return [column for column in self.text.columns if column not in taken]

    def where(self, column: str = "", *rows: int) -> str:
        """Table, column and rows in words, for messages."""
        parts = [self.text.name]
        if column:
            parts.append(f"column {column!r}")
        if rows:
            parts.append(f"row{'s' if len(rows) > 1 else ''} {list_names(str(row) for row in rows)}")
        return ", ".join(parts)


def read_labels(
    path: str | TablePlace,
    *,
    style: str = "auto",
    columns: Mapping[str, str] | None = None,
    slide_table: str | TablePlace | None = None,
    sheet: str | None = None,
    slide_sheet: str | None = None,
    classes: Mapping[str, str] | None = None,
    decimal: Decimal = "auto",
) -> LabelTable:
    r"""Read a label table and, where the labels name no slides, the table that does.

    Identifiers are kept as text. A slide may be named by ``slide_id`` or ``path``, with or without
    folder and extension. Columns that say train and test become the split, see
    :func:`histonic.data.tables.splits.read_split`.

    Args:
        path: CSV, TSV, Excel or Parquet, or a DataFrame.
        style: ``auto``, ``histonic``, ``gdc``, ``clam``, ``trident``, ``stamp``, ``pathobench`` or
            ``slide2vec``.
        columns: Canonical name to the table's column, over the style; ``none`` hides one.
        slide_table: Second table that joins patient_id with slide_id or path (STAMP's slide table).
        sheet: Of the label table, if it is an Excel file; the first by default.
        slide_sheet: Of the slide table.
        classes: Spellings of one class joined, as written to the class.
        decimal: ``point`` or ``comma`` where the numbers do not show it.

    Raises:
        TableError: A file cannot be read; a column is absent or doubled; a patient identifier is
            missing, a word such as NA, or damaged by a spreadsheet; a slide belongs to two patients; a column
            of the split has words that cannot be read, or lacks train or test.
        SettingsError: Unknown style or canonical name.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = file.write_text("case_id,slide_id,grade\n0012,a.svs,2\n")
        >>> table = read_labels(file)
        >>> list(table.patients), list(table.links["slide_id"])
        (['0012'], ['a'])
    """
    table, issues = collect_labels(
        path,
        style=style,
        columns=columns,
        slide_table=slide_table,
        sheet=sheet,
        slide_sheet=slide_sheet,
        classes=classes,
        decimal=decimal,
    )
    raise_first(issues)
    return table


def collect_labels(
    path: str | TablePlace,
    *,
    style: str = "auto",
    columns: Mapping[str, str] | None = None,
    slide_table: str | TablePlace | None = None,
    sheet: str | None = None,
    slide_sheet: str | None = None,
    classes: Mapping[str, str] | None = None,
    decimal: Decimal = "auto",
) -> tuple[LabelTable, list[Issue]]:
    """Like :func:`read_labels`, but hands back what is wrong with single rows instead of raising.

    Raises:
        TableError: The table as a whole cannot be used.
        SettingsError: Unknown style or canonical name.
    """
    text = read_table(path, sheet=sheet, decimal=decimal)
    slides = text if slide_table is None else read_table(slide_table, sheet=slide_sheet, decimal=decimal)
    own, slide_own = _share_names(columns or {}, text, slides)
    named = name_columns(text.columns, style, own, file=text.path, absent=text.no_column)
    _require_patients(named, text, style)
    slide_named = named
    if slides is not text:
        slide_named = name_columns(
            slides.columns, style, slide_own, file=slides.path, absent=slides.no_column
        )
        _require_patients(slide_named, slides, style)
        _require_slides(slide_named, slides)
    patients, issues = _patients(text, named["patient_id"])
    links, doubts = _links(slides, slide_named, patients)
    if slides is not text:
        issues += _patients(slides, slide_named["patient_id"])[1]
    split = read_split(text, named, own)
    issues += [*doubts, *split.issues, *_errors_in(text, [named[n] for n in ("site", "fold") if n in named])]
    table = LabelTable(
        text,
        named,
        patients,
        _sites(text, named),
        split.folds,
        split.roles,
        links,
        slides.path,
        (*text.notes, *(slides.notes if slides is not text else ()), *split.notes),
        dict(classes or {}),
        split.turns,
    )
    if links is not None:
        issues += _claimed_twice(links, slides.path)
    return table, [*issues, *_split_issues(table)]


def _share_names(
    own: Mapping[str, str], text: TextTable, slides: TextTable
) -> tuple[dict[str, str], dict[str, str]]:
    """The user's names for the label table and for the slide table; each takes those it has."""
    if slides is text:
        return dict(own), dict(own)
    hidden = {name for name, column in own.items() if hides(column, [*text.columns, *slides.columns])}
    for_slides = {name: own[name] for name in own if name in hidden or own[name] in slides.columns}
    for_labels = {
        name: own[name]
        for name in own
        if name in hidden or own[name] in text.columns or name not in for_slides
    }
    return for_labels, for_slides


def _require_patients(named: Mapping[str, str], text: TextTable, style: str) -> None:
    if "patient_id" not in named:
        if {"train", "test"} <= {column.lower() for column in text.columns}:
            raise TableError(
                f"Find the patients in {text.path} (table style {style}).",
                "No column names them; its columns train and test are those of a split.",
                "Give the table with the labels as --labels, and this one to 'histonic train' as --splits.",
            )
        raise TableError(
            f"Find the patients in {text.path} (table style {style}).",
            f"No column names them; the columns are {list_names(text.columns)}.{_other_sheet(text)}",
            f"Name it, such as: {columns_line('patient_id', text.columns)}. If every slide is a patient of "
            "its own, name the slide column there: --columns patient_id=slide_id.",
        )


def _require_slides(named: Mapping[str, str], slides: TextTable) -> None:
    if not {"slide_id", "path"} & set(named):
        raise TableError(
            f"Find the slides in the slide table {slides.path}.",
            f"No column names them; the columns are {list_names(slides.columns)}.{_other_sheet(slides)}",
            f"Name it, such as: {columns_line('slide_id', slides.columns)}.",
        )


def _other_sheet(text: TextTable) -> str:
    """A hint at the sheet that looks like a table of patients."""
    known = [
        sheet
        for sheet, texts in text.other_sheets.items()
        if any(each.casefold() in KNOWN_NAMES for each in texts)
    ]
    if known:
        return f" This is the sheet {text.sheet!r}; look at --sheet {known[0]!r}."
    return (
        f" This is the sheet {text.sheet!r}; others: {list_names(text.other_sheets)}."
        if text.other_sheets
        else ""
    )


def _patients(text: TextTable, column: str) -> tuple[pd.Series, list[Issue]]:
    """Identifiers per row; an empty one or a word such as NA is an error, never a patient of that name."""
    cells = text.frame[column]
    issues = [
        Issue(
            "error",
            "Missing patient identifier",
            f"{text.name}, column {column!r}, row {row}",
            f"The cell is {cell!r}, which does not name a patient.",
            "Give the patient's identifier or remove the row."
            + (" Of merged cells only the first has it: write it into every row." if not cell else ""),
        )
        for row, cell in cells.items()
        if is_missing(cell)
    ]
    issues += [*damaged_identifiers(text, column), *two_kinds_of_rows(text, column)]
    return plain_identifiers(cells), issues


def _errors_in(text: TextTable, columns: Sequence[str]) -> list[Issue]:
    """Errors of a spreadsheet in columns that are read as words."""
    found = []
    for column in columns:
        cells = {row_of(row): cell for row, cell in text.frame[column].items() if is_spreadsheet_error(cell)}
        if cells:
            found.append(error_cells(text.name, column, cells))
    return found


def _sites(text: TextTable, named: Mapping[str, str]) -> pd.Series:
    if "site" not in named:
        return pd.Series("", index=text.frame.index, dtype=object)
    cells = text.frame[named["site"]]
    return cells.where(~cells.map(is_missing), "")


def _links(
    slides: TextTable, named: Mapping[str, str], known: pd.Series
) -> tuple[pd.DataFrame | None, list[Issue]]:
    """Which slide belongs to which patient, as named by the table, and what is wrong with the names.

    Patients are called as in the label table, where one differs only in case, blanks, hyphens or underscores.
    """
    sources = [named[name] for name in ("slide_id", "path") if name in named]
    if not sources:
        return None, []
    issues = [issue for source in sources for issue in damaged_identifiers(slides, source, slides=True)]
    patients = _as_known(plain_identifiers(slides.frame[named["patient_id"]]), known)
    cells = slides.frame[sources[0]]
    for source in sources[1:]:
        cells = cells.where(~cells.map(is_missing), slides.frame[source])
    names = cells.map(lambda cell: "" if is_missing(cell) else slide_name(cell))
    links = pd.DataFrame(
        {"patient_id": patients, "slide_id": names, "place": cells, "row": slides.frame.index}
    )
    return links[(links["patient_id"] != "") & (links["slide_id"] != "")].reset_index(drop=True), issues


def _as_known(patients: pd.Series, known: pd.Series) -> pd.Series:
    """Identifiers of one table as those of another, if just one of these is the same but for its writing."""
    exact = set(known) - {""}
    by_key: dict[str, set[str]] = {}
    for name in exact:
        by_key.setdefault(loose_key(name), set()).add(name)

    def called(name: str) -> str:
        near = by_key.get(loose_key(name), set()) if name and name not in exact else set()
        return next(iter(near)) if len(near) == 1 else name

    return patients.map(called)


def _claimed_twice(links: pd.DataFrame, path: Path) -> list[Issue]:
    """Slides of two patients; of files in different folders the names of the maps decide, see joins."""
    issues = []
    for slide, group in links.groupby("slide_id", sort=True):
        patients = sorted(set(group["patient_id"]))
        places = group["place"].map(path_name)
        apart = (places != slide).all() and (group.groupby(places)["patient_id"].nunique() == 1).all()
        if len(patients) > 1 and not apart:
            rows = list_names(str(row) for row in group["row"])
            issues.append(
                Issue(
                    "error",
                    "One slide of two patients",
                    f"{path.name}, slide {slide!r}, rows {rows}",
                    f"It is given to the patients {list_names(patients)}.",
                    "Correct the rows, so that the slide belongs to one patient.",
                )
            )
    return issues


def _split_issues(table: LabelTable) -> list[Issue]:
    """What is wrong with the given split: no parts, one patient in two of them, or two splits at once."""
    fold_column = table.columns.get("fold", "fold_*")
    split_column = table.columns.get("split", "split")
    issues = words_for_parts(table.folds, table.where(fold_column), fold_column)
    if not issues:
        issues += parted_patients(table.folds, table.patients, table.where(fold_column), "folds")
    issues += parted_patients(table.roles, table.patients, table.where(split_column), "parts of the split")
    for column, cells in {} if table.turns is None else table.turns.items():
        issues += parted_patients(cells, table.patients, table.where(str(column)), "parts of the split")
    if (table.folds is not None or table.turns is not None) and table.roles is not None:
        issues.append(
            Issue(
                "error",
                "Two splits",
                table.path.name,
                f"The columns {fold_column!r} and {split_column!r} both give one.",
                "Hide one of them: --columns fold=none or --columns split=none.",
            )
        )
    return issues


FEWEST_NUMBERS = 7
"""So many different numbers make a column one of numbers, in which another word is a slip."""


ODD_SHARE = 0.2
"""With more cells that are no numbers it is a column of words."""


def column_cells(table: LabelTable, column: str) -> dict[int, str]:
    r"""Cells by row of the file, empty where missing; numbers with a decimal point.

    Args:
        table: The label table.
        column: One of its columns.

    Raises:
        TableError: Nearly all cells are numbers and another one is not, so that one slip would turn ages into
            categories; or it cannot be told what the numbers are.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = file.write_text("patient_id;age\nP1;72,5\nP2;NA\n")
        >>> from histonic.data.tables.label_table import read_labels
        >>> column_cells(read_labels(file), "age")
        {2: '72.5', 3: ''}
    """
    raise_first(_errors_in(table.text, [column]))
    cells = {
        row_of(row): "" if is_missing(cell) else str(cell).strip()
        for row, cell in table.frame[column].items()
    }
    given = {row: text for row, text in cells.items() if text}
    numbers = column_numbers(table.text, given)
    asked = f"Read the column {column!r} of {table.path}."
    if not numbers.odd:
        if numbers.doubt:
            raise TableError(asked, numbers.doubt, numbers.todo)
        return {row: _with_point(text, numbers.values.get(row)) for row, text in cells.items()}
    many = len(set(numbers.values.values())) >= FEWEST_NUMBERS
    if many and len(numbers.odd) <= ODD_SHARE * len(given):
        row = next(iter(numbers.odd))
        more = f" ({list_examples(numbers.odd)})" if len(numbers.odd) > 1 else ""
        raise TableError(
            asked,
            f"Row {row} says {cells[row]!r}, while {len(numbers.values)} cells are numbers{more}.",
            "Write a number there or leave the cell empty.",
        )
    return cells


def _with_point(text: str, number: float | None) -> str:
    """The cell as written, unless only its number can be read by all."""
    if number is None or to_number(text) == number:
        return text
    return f"{number:.15g}"
