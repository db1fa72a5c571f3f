"""Identifiers of patients and slides: one form of each, and those that a spreadsheet has damaged."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from histonic.data.names import SLIDE_EXTENSIONS, slide_name
from histonic.data.tables.files import TextTable
from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.issues import Issue, list_examples
from histonic.data.tables.values import is_missing, is_spreadsheet_error

_MONTHS = (
    "jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|sept|o[ck]t|nov|de[cz]|"
    "janv|févr|fev|avr|juin|juil|août|déc|ene|abr|ago|dic|gen|mag|giu|lug|set|ott"
)
_DATE = re.compile(
    rf"\d{{1,2}}[-. /]{{1,2}}(?:{_MONTHS})\.?(?:[-. /]\d{{2,4}})?|(?:{_MONTHS})\.?[-. ]\d{{2,4}}|"
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?|"
    r"\d{1,2}\.\d{1,2}\.(?:\d{4}|\d{2})|\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})",
    re.IGNORECASE,
)
_SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{2,3}|[0-9][.,][0-9]+[eE]-[0-9]{2,3}")
DIGITS_KEPT = 15
"""Excel keeps so many digits of a number; the others become zeros."""
FEWEST_LONG = 3
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar", ".7z")
"""Endings of files that hold all slides of a patient."""
_AGAIN = "Take the column from its source again, formatted as text"


def plain_identifiers(cells: pd.Series) -> pd.Series:
    """Identifiers per row: 101.0 is 101, unless others of the column have decimals; empty where missing.

    Example:
        >>> list(plain_identifiers(pd.Series(["101.0", "0012", "NA"])))
        ['101', '0012', '']
        >>> list(plain_identifiers(pd.Series(["1.0", "1.1"])))
        ['1.0', '1.1']
    """
    plain = cells.where(~cells.map(is_missing), "")
    if plain.map(lambda cell: re.fullmatch(r"\d+\.\d*[1-9]\d*", cell) is not None).any():
        return plain
    return plain.map(lambda cell: re.sub(r"^(\d+)\.0+$", r"\1", cell))


def damaged_identifiers(table: TextTable, column: str, *, slides: bool = False) -> list[Issue]:
    """Errors for cells that a spreadsheet has made of identifiers.

    Scientific notation joins different patients under one number, as do digits beyond the 15th that became
    zeros; dates stand where MARCH1 or 1-2 stood; #REF! and formulas name nobody. A form that other
    identifiers of the column share is no date, nor are dates that all cells are, written one way.

    Args:
        table: The table.
        column: Of identifiers.
        slides: Whether they name slides, which may be dates: what is wrong with them shows when they are
            joined.
    """
    cells = {row_of(row): cell for row, cell in table.frame[column].items() if not is_missing(cell)}
    kinds = (
        ("Spreadsheet's error for an identifier", _errors(cells), "Repair the formula, or remove the row."),
        (
            "Identifier in scientific notation",
            {row: cell for row, cell in cells.items() if _SCIENTIFIC.fullmatch(cell)},
            f"Different patients may have become one. {_AGAIN}.",
        ),
        (
            f"Identifier cut to {DIGITS_KEPT} digits",
            _cut(cells),
            f"Different patients may have become one. {_AGAIN}.",
        ),
        (
            "Identifier turned into a date",
            {} if slides else _dates(cells),
            f"{_AGAIN}; if these are right, put a letter before them.",
        ),
        (
            "Line break in an identifier",
            {row: cell for row, cell in cells.items() if "\n" in cell or "\r" in cell},
            "A double quote may have swallowed the end of a row: correct it.",
        ),
    )
    return [
        Issue(
            "error",
            what,
            f"{table.name}, column {column!r}",
            f"{_capital(list_examples(found))}{_same(found)}.",
            todo,
        )
        for what, found, todo in kinds
        if found
    ]


def two_kinds_of_rows(table: TextTable, column: str) -> list[Issue]:
    """An error for a column that names patients in some rows (as archives) and slides in others.

    CAMELYON17's ``stage_labels.csv`` is such a table: a stage for each patient of five slides, and a label
    for each slide, under one header.
    """
    cells = {row_of(row): str(cell).strip() for row, cell in table.frame[column].items()}
    archives = {row: cell for row, cell in cells.items() if cell.lower().endswith(ARCHIVES)}
    slides = {row: cell for row, cell in cells.items() if cell.lower().endswith(SLIDE_EXTENSIONS)}
    if not archives or not slides:
        return []
    return [
        Issue(
            "error",
            "Patients and slides in one column",
            f"{table.name}, column {column!r}",
            f"{len(archives)} row(s) name patients ({list_examples(archives)}), {len(slides)} name slides "
            f"({list_examples(slides)}): two tables under one header.",
            "Give one row a slide: patient_id, slide_id, and what is said of the patient in a column of its "
            "own. In Python histonic.data.targets.nodal_stages.read_stage_labels does so for CAMELYON17.",
        )
    ]


def bare_identifier(name: str) -> str:
    """An identifier without the ending of a slide's file or of an archive.

    Example:
        >>> [bare_identifier(name) for name in ("patient_000.zip", "patient_000_node_0.tif", "P.1")]
        ['patient_000', 'patient_000_node_0', 'P.1']
    """
    ending = next((each for each in ARCHIVES if name.lower().endswith(each)), "")
    return name[: -len(ending)] if ending and len(name) > len(ending) else slide_name(name)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _same(found: Mapping[int, str]) -> str:
    """How many different ones are left, if fewer than rows."""
    left = len(set(found.values()))
    return f"; {left} different in {len(found)} rows" if left < len(found) else ""


def _errors(cells: Mapping[int, str]) -> dict[int, str]:
    return {row: cell for row, cell in cells.items() if is_spreadsheet_error(cell)}


def _cut(cells: Mapping[int, str]) -> dict[int, str]:
    long = {row: cell for row, cell in cells.items() if re.fullmatch(rf"\d{{{DIGITS_KEPT + 1},}}", cell)}
    zeros = all(set(cell[DIGITS_KEPT:]) == {"0"} for cell in long.values())
    return long if zeros and len(long) >= FEWEST_LONG else {}


def _dates(cells: Mapping[int, str]) -> dict[int, str]:
    found = {row: cell for row, cell in cells.items() if _DATE.fullmatch(cell)}
    others = {_shape(cell) for row, cell in cells.items() if row not in found}
    found = {row: cell for row, cell in found.items() if _shape(cell) not in others}
    shapes = {_shape(cell) for cell in found.values()}
    numeric = not any(letter.isalpha() for cell in found.values() for letter in cell)
    if len(found) == len(cells) and len(shapes) == 1 and numeric and len(set(found.values())) == len(found):
        return {}
    return found


def _shape(cell: str) -> str:
    """The cell with A for every letter and 9 for every digit: the same for MAR-01 and XYZ-02."""
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", cell))
