"""Whose column names a table uses: the presets, and how canonical names are found among the columns."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from histonic.core.errors import SettingsError, TableError
from histonic.data.tables.issues import list_names, suggest

CANONICAL = (
    *("patient_id", "slide_id", "path", "mpp", "mask", "site", "fold", "split"),
    *("time", "event", "entry"),
)
"""What histonic calls the columns that are not targets."""

NO_SPLIT: Mapping[str, str] = {"fold": "none", "split": "none"}
"""Own column names of who does not want the table's split."""

STYLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "histonic": {name: (name,) for name in CANONICAL},
    "gdc": {"patient_id": ("case_submitter_id", "cases.submitter_id"), "slide_id": ("slide_submitter_id",)},
    "clam": {"patient_id": ("case_id",), "slide_id": ("slide_id",)},
    "trident": {"path": ("wsi",), "mpp": ("mpp",)},
    "stamp": {"patient_id": ("PATIENT",), "path": ("FILENAME",)},
    "pathobench": {"patient_id": ("case_id",), "slide_id": ("slide_id",)},
    "slide2vec": {
        "patient_id": ("patient_id",),
        "slide_id": ("sample_id",),
        "path": ("image_path",),
        "mpp": ("spacing_at_level_0",),
        "mask": ("mask_path",),
    },
}
"""Canonical name to the columns that hold it, per tool.

Patho-Bench's ``fold_0`` ... ``fold_n`` are read beside these, see
:func:`histonic.data.tables.label_table.read_labels`.
"""

LATE_ENTRY = (
    *("entry_time", "time_entry", "entry_months", "entry_days", "entry_years", "time_to_entry"),
    *("start", "start_time", "time_start", "tstart", "t_start", "left_truncation", "left_trunc"),
    *("truncation_time", "delayed_entry", "late_entry", "study_entry", "entry_age", "age_entry"),
    *("age_at_entry", "age_at_start", "age_at_enrolment", "age_at_enrollment", "age_at_inclusion"),
)
"""Names of the time at which a patient came under observation, beside entry itself."""
_LOOSE: Mapping[str, tuple[str, ...]] = {
    "patient_id": ("patient", "case"),
    "slide_id": ("slide",),
    "path": ("slide_path", "filename"),
    "entry": LATE_ENTRY,
}
"""Further names that 'auto' knows, such as slideflow's."""


KNOWN_NAMES = frozenset(
    column.lower()
    for names in (*STYLES.values(), _LOOSE)
    for name, columns in names.items()
    for column in columns
    if name != "entry" and column not in ("time", "event", "path", "mask", "mpp", "site", "fold", "split")
)
"""Names by which a header is known, in lower case."""

_PATIENT_WORDS = ("patient", "case", "subject", "fall", "pseudonym", "mrn", "person", "participant", "donor")
_SLIDE_WORDS = ("slide", "scan", "image", "file", "wsi", "schnitt", "barcode", "sample", "specimen", "block")


def name_columns(
    columns: Sequence[str],
    style: str = "auto",
    own: Mapping[str, str] | None = None,
    *,
    file: Path,
    absent: Callable[[str], tuple[str, str]] | None = None,
) -> dict[str, str]:
    """Find which column holds which canonical name.

    ``own`` comes first, then the style's preset, then histonic's own names; upper and lower case are
    told apart only where both occur. ``auto`` looks for the names of all presets, histonic's first.

    Args:
        columns: The table's columns.
        style: ``auto`` or a key of :data:`STYLES`.
        own: Canonical name to column; the word ``none`` (or an empty one) says that there is none, so that
            for instance ``{"fold": "none"}`` ignores a column called fold.
        file: The table, for messages.
        absent: What is found, and what to do, where a column of ``own`` is not there.

    Returns:
        Canonical name to column, for those that exist.

    Raises:
        SettingsError: Unknown style or canonical name.
        TableError: A column of ``own`` is absent, or the style's columns are all absent.

    Example:
        >>> name_columns(["PATIENT", "FILENAME", "isMSIH"], "stamp", file=Path("clini.csv"))
        {'patient_id': 'PATIENT', 'path': 'FILENAME'}
    """
    given = {name: "" if hides(column, columns) else column for name, column in (own or {}).items()}
    _check_names(columns, style, given, file, absent)
    found: dict[str, str] = {}
    for name in CANONICAL:
        if name in given:
            if given[name]:
                found[name] = given[name]
            continue
        column = _first_present(_known_names(name, style), columns)
        if column is not None:
            found[name] = column
    _check_style(found, style, given, columns, file)
    return found


def columns_line(name: str, columns: Sequence[str]) -> str:
    """The option that names the likeliest column for the patients or slides, ready to paste.

    Example:
        >>> columns_line("patient_id", ["Nr", "Patient No", "Scan"])
        "--columns patient_id='Patient No'"
    """
    words = _PATIENT_WORDS if name == "patient_id" else _SLIDE_WORDS
    likely = [column for word in words for column in columns if word in column.casefold()]
    endings = [
        column for column in columns if column.casefold().endswith(("id", "nr", "no", "number", "name"))
    ]
    chosen = [*likely, *endings, *columns, "COLUMN"][0]
    return f"--columns {name}={shlex.quote(chosen)}"


def names_patients(column: str) -> bool:
    """Whether a column sounds like one of patients.

    Example:
        >>> names_patients("Patient No"), names_patients("Fallnummer"), names_patients("Stain")
        (True, True, False)
    """
    return any(word in column.casefold() for word in _PATIENT_WORDS)


def hides(column: str, columns: Sequence[str]) -> bool:
    """Whether a user's column name says 'there is none'."""
    return not column or (column == "none" and column not in columns)


def _known_names(name: str, style: str) -> list[str]:
    if style != "auto":
        return [*STYLES[style].get(name, ()), name]
    return [
        *(column for preset in STYLES.values() for column in preset.get(name, ())),
        *_LOOSE.get(name, ()),
    ]


def _first_present(names: Sequence[str], columns: Sequence[str]) -> str | None:
    for name in names:
        if name in columns:
            return name
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name.lower()] for name in names if name.lower() in lower), None)


def _check_names(
    columns: Sequence[str],
    style: str,
    own: Mapping[str, str],
    file: Path,
    absent: Callable[[str], tuple[str, str]] | None,
) -> None:
    if style != "auto" and style not in STYLES:
        raise SettingsError(
            f"Read {file} in the style {style!r}.",
            "There is no such table style.",
            f"Use auto or one of {', '.join(STYLES)}.",
        )
    for name, column in own.items():
        if name not in CANONICAL:
            raise SettingsError(
                f"Read the columns of {file}.",
                f"{name!r} is not a name that columns can be given.",
                f"Use one of {', '.join(CANONICAL)}; targets are named by --target NAME:KIND:COLUMN.",
            )
        if column and column not in columns:
            raise TableError(
                f"Read {name} from the column {column!r} of {file}.",
                *(absent(column) if absent else ("The table has no such column.", suggest(column, columns))),
            )


def _check_style(
    found: Mapping[str, str], style: str, own: Mapping[str, str], columns: Sequence[str], file: Path
) -> None:
    if style in ("auto", "histonic") or any(own.values()):
        return
    preset = [column for names in STYLES[style].values() for column in names]
    if not set(preset) & set(found.values()):
        raise TableError(
            f"Read {file} in the style {style!r}.",
            f"None of its columns {', '.join(preset)} is there; found: {list_names(columns)}.",
            "Use --table-style auto, or name the columns with --columns patient_id=COLUMN.",
        )
