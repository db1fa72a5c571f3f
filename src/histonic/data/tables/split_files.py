"""Splits in files of their own, as CLAM keeps them: lists of the slides that train, validate, test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from histonic.core.errors import CohortError, TableError
from histonic.data.names import PatientNames, names_by_path, slide_name
from histonic.data.tables.files import read_table
from histonic.data.tables.issues import list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.splits import ROLES
from histonic.data.tables.values import is_missing, natural_key
from histonic.data.text import loose_key

TICKS = {"true", "false", "0", "1"}


def split_by_files(table: LabelTable, path: Path) -> LabelTable:
    r"""The label table with the split of CLAM's files in place of its own.

    A name in a file is that of a slide or of a patient. Patients whom a file does not name have no part in
    that fold; names that the label table lacks are counted in a note.

    Args:
        table: The labels.
        path: ``splits_0.csv``, or a folder with one such file a fold.

    Returns:
        The table with ``turns``, one column a file.

    Raises:
        TableError: A file is absent or has other columns, or names nobody of the table.
        CohortError: A patient has two parts in one fold.

    Example:
        >>> import tempfile
        >>> from histonic.data.tables.label_table import read_labels
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "labels.csv").write_text("case_id,slide_id\nA,a1\nB,b1\nC,c1\nD,d1\n")
        >>> _ = (folder / "splits_0.csv").write_text(",train,val,test\n0,a1,b1,c1\n")
        >>> table = split_by_files(read_labels(folder / "labels.csv"), folder / "splits_0.csv")
        >>> table.turns["splits_0.csv"].to_dict()
        {2: 'train', 3: 'val', 4: 'test', 5: ''}
    """
    files = _split_files(path)
    turns, notes = {}, []
    for file in files:
        roles = _roles_of_names(file)
        by_row, strangers = _roles_of_rows(table, file, roles)
        turns[file.name] = by_row
        if strangers:
            notes.append(
                f"{file.name} names {len(strangers)} slides or patients that {table.text.name} lacks: "
                f"{list_names(strangers)}."
            )
    return replace(table, folds=None, roles=None, turns=pd.DataFrame(turns), notes=(*table.notes, *notes))


def _split_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in path.iterdir() if re.fullmatch(r"splits?_?\d+\.csv", file.name)]
    if not found:
        raise TableError(
            f"Read the splits in {path}.",
            "The folder holds no splits_0.csv, splits_1.csv and so on.",
            "Give the folder that CLAM wrote, or one of its files.",
        )
    return sorted(found, key=lambda file: natural_key(file.name))


def _roles_of_names(file: Path) -> dict[str, str]:
    """``train``, ``val`` or ``test`` of each name in a file."""
    frame = read_table(file).frame
    called = {column: ROLES[column.lower()] for column in frame.columns if column.lower() in ROLES}
    asked = f"Read the split {file}."
    if not {"train", "test"} <= set(called.values()):
        raise TableError(
            asked,
            f"Its columns are {list_names(frame.columns)}.",
            "Give a file whose columns train, val and test list slides or patients (splits_0.csv).",
        )
    roles: dict[str, str] = {}
    for column, role in called.items():
        names = [name for name in frame[column] if not is_missing(name)]
        if names and {name.strip().lower() for name in names} <= TICKS:
            raise TableError(
                asked,
                f"The column {column!r} holds ticks, as in splits_0_bool.csv, and no names.",
                "Give the file splits_0.csv that lies beside it.",
            )
        for name in names:
            if roles.setdefault(name, role) != role:
                raise CohortError(
                    asked,
                    f"It lists {name!r} as {roles[name]} and as {role}.",
                    "Correct the file, so that nobody is in two of its parts.",
                )
    return roles


def _roles_of_rows(table: LabelTable, file: Path, roles: Mapping[str, str]) -> tuple[pd.Series, list[str]]:
    """Role per row of the table, empty for patients who are not named; and the names it lacks."""
    patients = sorted(set(table.patients) - {""})
    slides = {} if table.links is None else _owners(table.links)
    known = PatientNames(patients)
    of_patient: dict[str, set[str]] = {}
    strangers = []
    for name, role in roles.items():
        owners = _owner(name, slides, known)
        if len(owners) > 1:
            raise TableError(
                f"Read the split {file}.",
                f"{name!r} could be a slide of the patients {list_names(owners)}.",
                "Give a label table with a column slide_id, or the patients' identifiers in the file.",
            )
        if not owners:
            strangers.append(name)
        for owner in owners:
            of_patient.setdefault(owner, set()).add(role)
    if not of_patient:
        raise TableError(
            f"Read the split {file}.",
            f"It names for instance {list_names(list(roles)[:2])}; {table.text.name} has no slide and no "
            "patient of these names.",
            "Give the split of this cohort, or name the column: --columns slide_id=COLUMN.",
        )
    parted = {name: sorted(found) for name, found in of_patient.items() if len(found) > 1}
    if parted:
        name, found = next(iter(parted.items()))
        raise CohortError(
            f"Read the split {file}.",
            f"Slides of the patient {name} are in its parts {' and '.join(found)}"
            + (f"; so are those of {len(parted) - 1} more patients." if len(parted) > 1 else "."),
            "Correct the file: a patient on two sides makes results too good. Or let histonic split.",
        )
    by_row = table.patients.map(lambda patient: next(iter(of_patient.get(patient, {""}))))
    return by_row, strangers


def _owners(links: pd.DataFrame) -> dict[str, set[str]]:
    """Patients by the loose name of their slides."""
    owners: dict[str, set[str]] = {}
    for patient, slide, place in zip(links["patient_id"], links["slide_id"], links["place"], strict=True):
        for name in (slide, *(name for name, _ in names_by_path(place))):
            owners.setdefault(loose_key(name), set()).add(patient)
    return owners


def _owner(name: str, slides: Mapping[str, set[str]], known: PatientNames) -> Sequence[str]:
    """Whose slide, or which patient, a name is."""
    for each in (*(longer for longer, _ in names_by_path(name)), slide_name(name)):
        if found := slides.get(loose_key(each)):
            return sorted(found)
    return known.match(slide_name(name))
