"""A label table as read: text cells, canonical columns, and which patient each named slide belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from histonic.core.errors import TableError
from histonic.data.names import slide_name
from histonic.data.tables.files import TextTable, read_table
from histonic.data.tables.issues import Issue, list_names, raise_first
from histonic.data.tables.splits import parted_patients, read_folds, read_roles, words_for_parts
from histonic.data.tables.styles import hides, name_columns
from histonic.data.tables.values import is_missing, to_number


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
        links: One row per named slide with ``patient_id``, ``slide_id`` and ``row``; None if the table
            names no slides, which are then matched by the patient's identifier.
        links_path: The table that names the slides.
        notes: What of the table was set aside.
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
        taken = {column for name, column in self.columns.items() if name not in ("time", "event")}
        return [column for column in self.text.columns if column not in taken]

    def where(self, column: str = "", *rows: int) -> str:
        """Table, column and rows in words, for messages."""
        parts = [str(self.path.name)]
        if column:
            parts.append(f"column {column!r}")
        if rows:
            parts.append(f"row{'s' if len(rows) > 1 else ''} {list_names(str(row) for row in rows)}")
        return ", ".join(parts)


def read_labels(
    path: str | Path,
    *,
    style: str = "auto",
    columns: Mapping[str, str] | None = None,
    slide_table: str | Path | None = None,
) -> LabelTable:
    r"""Read a label table and, where the labels name no slides, the table that does.

    Identifiers are kept as text. A slide may be named by ``slide_id`` or ``path``, with or without
    folder and extension. Patho-Bench's ``fold_0`` ... ``fold_n`` become a split if every patient is 'test'
    in exactly one of them; else they are ignored with a note.

    Args:
        path: CSV, TSV, Excel or Parquet.
        style: ``auto``, ``histonic``, ``clam``, ``trident``, ``stamp``, ``pathobench`` or ``slide2vec``.
        columns: Canonical name to the table's column, over the style; ``none`` hides one.
        slide_table: Second table that joins patient_id with slide_id or path (STAMP's slide table).

    Raises:
        TableError: A file cannot be read; a column is absent or doubled; a patient identifier is
            missing or a word such as NA; a slide belongs to two patients; a column of the split has words
            that cannot be read, or lacks train or test.
        SettingsError: Unknown style or canonical name.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = file.write_text("case_id,slide_id,grade\n0012,a.svs,2\n")
        >>> table = read_labels(file)
        >>> list(table.patients), list(table.links["slide_id"])
        (['0012'], ['a'])
    """
    table, issues = collect_labels(path, style=style, columns=columns, slide_table=slide_table)
    raise_first(issues)
    return table


def collect_labels(
    path: str | Path,
    *,
    style: str = "auto",
    columns: Mapping[str, str] | None = None,
    slide_table: str | Path | None = None,
) -> tuple[LabelTable, list[Issue]]:
    """Like :func:`read_labels`, but hands back what is wrong with single rows instead of raising.

    Raises:
        TableError: The table as a whole cannot be used.
        SettingsError: Unknown style or canonical name.
    """
    text = read_table(path)
    slides = text if slide_table is None else read_table(slide_table)
    own, slide_own = _share_names(columns or {}, text, slides)
    named = name_columns(text.columns, style, own, file=text.path)
    _require_patients(named, text, style)
    slide_named = named
    if slides is not text:
        slide_named = name_columns(slides.columns, style, slide_own, file=slides.path)
        _require_patients(slide_named, slides, style)
        _require_slides(slide_named, slides)
    patients, issues = _patients(text, named["patient_id"])
    links = _links(slides, slide_named)
    if slides is not text:
        issues += _patients(slides, slide_named["patient_id"])[1]
    folds, notes = read_folds(text, named)
    roles, unread = read_roles(text, named)
    issues += unread
    table = LabelTable(
        text,
        named,
        patients,
        _sites(text, named),
        folds,
        roles,
        links,
        slides.path,
        tuple(notes),
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
        raise TableError(
            f"Find the patients in {text.path} (table style {style}).",
            f"No column names them; the columns are {list_names(text.columns)}.",
            "Name it with --columns patient_id=COLUMN. If every slide is a patient of its own, name the "
            "slide column there: --columns patient_id=slide_id.",
        )


def _require_slides(named: Mapping[str, str], slides: TextTable) -> None:
    if not {"slide_id", "path"} & set(named):
        raise TableError(
            f"Find the slides in the slide table {slides.path}.",
            f"No column names them; the columns are {list_names(slides.columns)}.",
            "Name it with --columns slide_id=COLUMN.",
        )


def _patients(text: TextTable, column: str) -> tuple[pd.Series, list[Issue]]:
    """Identifiers per row; an empty one or a word such as NA is an error, never a patient of that name."""
    cells = text.frame[column]
    issues = [
        Issue(
            "error",
            "Missing patient identifier",
            f"{text.path.name}, column {column!r}, row {row}",
            f"The cell is {cell!r}, which does not name a patient.",
            "Give the patient's identifier or remove the row.",
        )
        for row, cell in cells.items()
        if is_missing(cell)
    ]
    return cells.where(~cells.map(is_missing), ""), issues


def _sites(text: TextTable, named: Mapping[str, str]) -> pd.Series:
    if "site" not in named:
        return pd.Series("", index=text.frame.index, dtype=object)
    cells = text.frame[named["site"]]
    return cells.where(~cells.map(is_missing), "")


def _links(slides: TextTable, named: Mapping[str, str]) -> pd.DataFrame | None:
    """Which slide belongs to which patient, as named by the table."""
    sources = [named[name] for name in ("slide_id", "path") if name in named]
    if not sources:
        return None
    patients, _ = _patients(slides, named["patient_id"])
    cells = slides.frame[sources[0]]
    for source in sources[1:]:
        cells = cells.where(~cells.map(is_missing), slides.frame[source])
    names = cells.map(lambda cell: "" if is_missing(cell) else slide_name(cell))
    links = pd.DataFrame({"patient_id": patients, "slide_id": names, "row": slides.frame.index})
    return links[(links["patient_id"] != "") & (links["slide_id"] != "")].reset_index(drop=True)


def _claimed_twice(links: pd.DataFrame, path: Path) -> list[Issue]:
    issues = []
    for slide, group in links.groupby("slide_id", sort=True):
        patients = sorted(set(group["patient_id"]))
        if len(patients) > 1:
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
    if table.folds is not None and table.roles is not None:
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
            categories.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = file.write_text("patient_id;age\nP1;72,5\nP2;NA\n")
        >>> from histonic.data.tables.label_table import read_labels
        >>> column_cells(read_labels(file), "age")
        {2: '72.5', 3: ''}
    """
    comma = table.text.decimal_comma
    cells = {
        int(row): "" if is_missing(cell) else str(cell).strip() for row, cell in table.frame[column].items()
    }
    numbers = {row: to_number(text, decimal_comma=comma) for row, text in cells.items() if text}
    odd = [row for row, number in numbers.items() if number is None]
    if not odd:
        return {row: text.replace(",", ".") if comma else text for row, text in cells.items()}
    many = len({number for number in numbers.values() if number is not None}) >= FEWEST_NUMBERS
    if many and len(odd) <= ODD_SHARE * len(numbers):
        raise TableError(
            f"Read the column {column!r} of {table.path}.",
            f"Row {odd[0]} says {cells[odd[0]]!r}, while {len(numbers) - len(odd)} cells are numbers.",
            "Write a number there or leave the cell empty.",
        )
    return cells
