"""Which maps of a store belong to which patient of a label table, and in which fold a patient is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from histonic.core.cohort import MARK, Exclusion, bare_name, part_of, patients_without
from histonic.core.errors import CohortError
from histonic.data.names import PatientNames, names_by_path, path_steps, slide_name
from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.identifiers import bare_identifier
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import is_missing, natural_key
from histonic.data.text import loose_key, tidy


@dataclass(frozen=True)
class SlideJoin:
    """The maps of each patient, and what found no partner.

    Attributes:
        slides: Maps per patient of the label table, sorted; empty for a patient without one.
        unlabelled: Maps that no row names, with the reason, sorted.
        absent: Slides per patient that the table names and the store does not hold, sorted.
        issues: Slides that several patients could own.
    """

    slides: dict[str, tuple[str, ...]]
    unlabelled: dict[str, str]
    absent: dict[str, tuple[str, ...]]
    issues: tuple[Issue, ...] = ()


def table_patients(table: LabelTable) -> list[str]:
    """The patients of the label table, sorted."""
    return sorted(set(table.patients) - {""})


def patient_sites(table: LabelTable) -> dict[str, str]:
    """Site per patient, empty if unknown; several are joined by + in the order of their names."""
    sites: dict[str, set[str]] = {}
    for patient, site in zip(table.patients, table.sites, strict=True):
        sites.setdefault(patient, set()).update({site} - {""})
    return {patient: "+".join(sorted(names)) for patient, names in sites.items()}


def join_slides(table: LabelTable, slide_ids: Sequence[str]) -> SlideJoin:
    """Give every map its patient.

    By the slide's name if the table names slides (with or without folders and extension; where no name is
    the same, one that differs only in case, blanks, hyphens or underscores); else by the patient's
    identifier, see :func:`histonic.data.names.match_by_patient`. Where maps are named by their paths, the
    folders in the table decide, from the right.

    Args:
        table: The labels.
        slide_ids: Names of the maps in the store; those of several parts begin with their part, of which the
            table knows nothing.
    """
    if any(MARK in slide for slide in slide_ids):
        return _join_parts(table, slide_ids)
    table = _named_by_path(table, slide_ids)
    patients = table_patients(table)
    linked = None if table.links is None else _LinkedSlides(table)
    # A patient may be called like a file: patient_000.zip, or a slide that is a patient of its own.
    called = {bare_identifier(patient): patient for patient in patients}
    if len(called) < len(patients):
        called = {patient: patient for patient in patients}
    known = PatientNames(called)
    issues: list[Issue] = []
    slides: dict[str, list[str]] = {patient: [] for patient in patients}
    unlabelled: dict[str, str] = {}
    for slide in sorted(set(slide_ids)):
        alone = [called[name] for name in known.match(slide)] if linked is None else []
        found = alone if linked is None else linked.patients(slide)
        if len(found) == 1 and found[0] in slides:
            slides[found[0]].append(slide)
        elif len(found) > 1:
            issues.append(_ambiguous(table, slide, found, linked is not None))
        elif found:
            unlabelled[slide] = f"its patient {found[0]!r} is not in the label table"
        else:
            unlabelled[slide] = "no row of the label table names it"
    absent = _absent(table, slide_ids)
    return SlideJoin({p: tuple(s) for p, s in slides.items()}, unlabelled, absent, tuple(issues))


def _join_parts(table: LabelTable, slide_ids: Sequence[str]) -> SlideJoin:
    """Join the maps of each part, and put them together by patient.

    A slide that the table names is absent only if no part has it.
    """
    by_part: dict[str, list[str]] = {}
    for slide in slide_ids:
        by_part.setdefault(part_of(slide), []).append(bare_name(slide))
    found = {part: join_slides(table, names) for part, names in by_part.items()}
    slides: dict[str, list[str]] = {}
    unlabelled: dict[str, str] = {}
    for part, join in found.items():
        for patient, own in join.slides.items():
            slides.setdefault(patient, []).extend(f"{part}{MARK}{name}" for name in own)
        unlabelled.update({f"{part}{MARK}{name}": why for name, why in join.unlabelled.items()})
    absent: dict[str, tuple[str, ...]] = {}
    for patient in sorted(set.intersection(*(set(join.absent) for join in found.values()))):
        names = set.intersection(*(set(join.absent[patient]) for join in found.values()))
        if names:
            absent[patient] = tuple(sorted(names))
    issues = {issue: None for join in found.values() for issue in join.issues}
    return SlideJoin(
        {patient: tuple(sorted(own)) for patient, own in slides.items()}, unlabelled, absent, tuple(issues)
    )


def _named_by_path(table: LabelTable, slide_ids: Sequence[str]) -> LabelTable:
    """The table whose slides are called by their paths where maps are.

    If so, what stands before those paths is where the folders begin, and a file in another folder than that
    is no longer known by its file name alone: it would be taken for another of the same name.
    """
    if table.links is None:
        return table
    known = set(map(tidy, slide_ids))
    found: dict[int, tuple[str, tuple[str, ...]]] = {}
    for row, place in table.links["place"].items():
        fitting = next((each for each in names_by_path(tidy(place)) if each[0] in known), None)
        if fitting is not None:
            found[row_of(row)] = fitting
    if not found:
        return table
    begin = {before for _, before in found.values()}

    def called(row: int, name: str, place: str) -> str:
        longer = names_by_path(place)
        if row in found or not longer:
            return found[row][0] if row in found else name
        *folder, _ = path_steps(place)
        return name if tuple(folder) in begin else longer[0][0]

    links = table.links
    cells = zip(links.index, links["slide_id"], links["place"], strict=True)
    names = [called(row_of(row), name, place) for row, name, place in cells]
    return replace(table, links=links.assign(slide_id=names))


def _key(slide: str) -> str:
    """A slide's name without the .ome that a reader may leave on it."""
    name = slide_name(slide)
    return name[: -len(".ome")] if name.lower().endswith(".ome") else name


class _LinkedSlides:
    """The slides that a table names, by their names and by what is left of them without writing habits."""

    def __init__(self, table: LabelTable) -> None:
        self._exact: dict[str, set[str]] = {}
        self._short: dict[str, set[str]] = {}
        self._loose: dict[str, set[str]] = {}
        for patient, slide in _links(table):
            self._exact.setdefault(slide, set()).add(patient)
            self._short.setdefault(_key(slide), set()).add(patient)
            self._loose.setdefault(_loose_key(slide), set()).add(patient)

    def patients(self, slide: str) -> list[str]:
        """Whose slide it is; several if names of several patients' slides look like its own."""
        for name in (slide, tidy(slide), _key(tidy(slide))):
            for known in (self._exact, self._short):
                if name in known:
                    return sorted(known[name])
        return sorted(self._loose.get(_loose_key(slide), ()))


def _loose_key(slide: str) -> str:
    """A slide's name without writing habits; 101.0 is 101."""
    return loose_key(re.sub(r"^(\d+)\.0+$", r"\1", _key(slide)))


def _ambiguous(table: LabelTable, slide: str, patients: Sequence[str], named: bool) -> Issue:
    if named:
        return Issue(
            "error",
            "Slide that several patients could own",
            f"{table.links_path.name}, slide {slide!r}",
            f"The patients {list_names(patients)} have a file of this name, in different folders.",
            "Name the slides by their folders, too: compress and doctor with --names path.",
        )
    return Issue(
        "error",
        "Slide that several patients could own",
        f"{table.text.name}, slide {slide!r}",
        f"Its name begins with the identifiers {list_names(patients)}.",
        "Add a column slide_id to the table, or give a slide table (--slide-table).",
    )


def _links(table: LabelTable) -> list[tuple[str, str]]:
    """Patient and slide of each row that names both."""
    if table.links is None:
        return []
    return list(zip(table.links["patient_id"], table.links["slide_id"], strict=True))


def _absent(table: LabelTable, slide_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    present = {_loose_key(slide) for slide in slide_ids}
    absent: dict[str, set[str]] = {}
    for patient, slide in _links(table):
        if _loose_key(slide) not in present:
            absent.setdefault(patient, set()).add(slide)
    return {patient: tuple(sorted(slides)) for patient, slides in sorted(absent.items())}


def fitting_column(table: LabelTable, slide_ids: Sequence[str]) -> str:
    """The option that names the column with the maps' names, ready to paste; empty if there is none."""
    keys = {_loose_key(slide) for slide in slide_ids}
    best, most = "", 0.0
    for column in table.text.columns:
        cells = table.frame[column]
        share = float(cells.map(lambda cell: bool(cell) and _names_one_of(cell, keys)).mean())
        if share > most:
            best, most = f"--columns slide_id={shlex.quote(column)}", share
        elif not most:
            matched = PatientNames([cell for cell in set(cells) if cell and not is_missing(cell)])
            if any(matched.match(slide) for slide in list(slide_ids)[:20]):
                best = best or f"--columns patient_id={shlex.quote(column)} --columns slide_id=none"
    return best


def _names_one_of(cell: str, keys: Collection[str]) -> bool:
    names = [slide_name(cell), *(name for name, _ in names_by_path(cell))]
    return any(_loose_key(name) in keys for name in names)


def slide_exclusions(join: SlideJoin, used: Sequence[str]) -> list[Exclusion]:
    """Maps without labels, named slides without a map of patients who are used, and parts that these lack."""
    parts = sorted({part_of(slide) for slides in join.slides.values() for slide in slides} - {""})
    lacking = patients_without(parts, {patient: join.slides[patient] for patient in used})
    without = [
        Exclusion("slide", f"{patient}, {part}", f"there is no slide of {part}; {patient} is kept without it")
        for part, patients in lacking.items()
        for patient in patients
    ]
    found = without + [Exclusion("slide", slide, reason) for slide, reason in join.unlabelled.items()]
    for patient in used:
        for slide in join.absent.get(patient, ()):
            found.append(Exclusion("slide", slide, f"the store holds no map of it (patient {patient})"))
    return sorted(found, key=lambda exclusion: (exclusion.name, exclusion.reason))


def number_folds(table: LabelTable, used: Sequence[str]) -> dict[str, int]:
    """Part number of each used patient, from the table's own split; empty if it has none.

    Parts are numbered in the natural order of their names, over the whole table.

    Raises:
        CohortError: A used patient has no fold while others have.
    """
    if table.folds is None:
        return {}
    number = {name: index for index, name in enumerate(sorted(set(table.folds) - {""}, key=natural_key))}
    named = _of_patients(table, table.folds, used, "fold")
    return {patient: number[fold] for patient, fold in named.items()}


def given_roles(table: LabelTable, used: Sequence[str]) -> dict[str, str]:
    """``train``, ``val`` or ``test`` of each used patient, from the table's own split; empty if it has none.

    Raises:
        CohortError: A used patient has no part while others have.
    """
    return {} if table.roles is None else _of_patients(table, table.roles, used, "split")


def given_turns(table: LabelTable, patients: Sequence[str]) -> tuple[dict[str, str], ...]:
    """Per fold ``train``, ``val`` or ``test`` of each patient who has a part in it; empty without folds.

    Args:
        table: The labels.
        patients: Whose parts are wanted.
    """
    if table.turns is None:
        return ()
    wanted = set(patients)
    turns = []
    for _, cells in table.turns.items():
        of_patient = {table.patients[row]: str(cell) for row, cell in cells.items() if cell}
        turns.append({name: of_patient[name] for name in sorted(wanted & set(of_patient))})
    return tuple(turns)


def _of_patients(table: LabelTable, cells: pd.Series, used: Sequence[str], name: str) -> dict[str, str]:
    """The cell of each used patient; refuses a patient without one."""
    given = cells[cells != ""]
    of_patient = {table.patients[row]: cell for row, cell in given.items()}
    without = [patient for patient in used if patient not in of_patient]
    if without:
        raise CohortError(
            f"Take the split from {table.where(table.columns.get(name, f'{name}_*'))}.",
            f"These patients have no {name}: {list_names(without)}.",
            f"Fill in the column for all patients, or let histonic split: --columns {name}=none.",
        )
    return {patient: of_patient[patient] for patient in used}
