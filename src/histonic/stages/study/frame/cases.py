"""The cases of a challenge, and what is wrong with the files they come in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from histonic.core.errors import CohortError
from histonic.core.files import csv_text, write_text

Severity = Literal["error", "warning", "note"]
GroupSource = Literal["table", "file name", "none"]
NAMED = 12
"""So many names stand in a line; the rest is counted."""
BEFORE, AFTER = (
    ("slide_id", "patient_id", "path"),
    ("site", "scanner", "split", "mpp", "group_source", "left_out"),
)
"""Columns of every table of cases, before and after its labels."""


@dataclass(frozen=True)
class Case:
    """One slide or image.

    Attributes:
        slide_id: Its name.
        path: Its file.
        patient_id: Whose it is; by default nobody knows, and it stands for itself.
        labels: Text by column; empty where missing.
        split: train, val, test, test-unlabelled.
        site: Hospital, centre or data provider.
        scanner: Where it is known.
        mpp: Microns per pixel, where its own header is not to say it.
        group_source: What says whose it is.
        left_out: Why it is not used; empty if it is.
    """

    slide_id: str
    path: Path
    patient_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    split: str = "train"
    site: str = ""
    scanner: str = ""
    mpp: float | None = None
    group_source: GroupSource = "none"
    left_out: str = ""

    @property
    def patient(self) -> str:
        """Whose it is, or its own name."""
        return self.patient_id or self.slide_id


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        severity: An error stops the recipe before anything is written.
        what: In a line, with the names.
        todo: What can be done about it.
    """

    severity: Severity
    what: str
    todo: str = ""

    def line(self) -> str:
        """As text."""
        return f"{self.severity:<8} {self.what}{' ' + self.todo if self.todo else ''}"


@dataclass(frozen=True)
class Survey:
    """What a folder was recognised as.

    Attributes:
        recognised: Lines: edition, numbers of files, tables.
        cases: All that were found, those left out too.
        findings: Missing, doubled, extra, and what else is to be known.
        facts: What else the recipe has read, for its later steps.
    """

    recognised: tuple[str, ...]
    cases: tuple[Case, ...]
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """What stops the recipe."""
        return [each for each in self.findings if each.severity == "error"]

    def used(self, *splits: str) -> list[Case]:
        """The cases of some splits that are not left out."""
        return [each for each in self.cases if each.split in splits and not each.left_out]

    def lines(self) -> list[str]:
        """Everything, as text."""
        splits: dict[str, int] = {}
        for case in self.cases:
            name = "left out" if case.left_out else case.split
            splits[name] = splits.get(name, 0) + 1
        counts = ", ".join(f"{count} {name}" for name, count in splits.items())
        sources = sorted({each.group_source for each in self.cases})
        return [
            *self.recognised,
            f"cases: {counts or 'none'}; patients known by: {', '.join(sources) or 'nothing'}",
            *(each.line() for each in self.findings),
        ]


def named(names: Sequence[str]) -> str:
    """Names in a line, many of them counted.

    Example:
        >>> named(["b", "a"]), named([str(number) for number in range(100)])[-23:]
        ('a, b', '18, 19 ... (100 in all)')
    """
    order = sorted(names)
    return ", ".join(order[:NAMED]) + (f" ... ({len(order)} in all)" if len(order) > NAMED else "")


def missing_files(names: Sequence[str], whose: str, *, allowed: bool) -> list[Finding]:
    """Files that a table or numbering names and that are not there; an error unless it is allowed."""
    if not names:
        return []
    what = f"missing: {whose}: {named(names)}."
    if allowed:
        return [Finding("warning", what, "The recipe goes on without them.")]
    return [Finding("error", what, "Download them, or go on without them: --allow-missing.")]


def no_groups(what: str) -> Finding:
    """The warning that nobody says which images are of one patient."""
    return Finding(
        "warning",
        f"group_source is none: {what}.",
        "Random folds may part a patient, so that scores by cross-validation may be too good.",
    )


def left_out(cases: Sequence[Case]) -> list[Finding]:
    """What the recipe leaves out, by reason."""
    reasons: dict[str, list[str]] = {}
    for case in cases:
        if case.left_out:
            reasons.setdefault(case.left_out, []).append(case.slide_id)
    todo = "To use one all the same: --keep NAME."
    return [Finding("note", f"left out: {named(names)}: {why}.", todo) for why, names in reasons.items()]


def unknown_kept(keep: Sequence[str], excluded: Sequence[str]) -> list[Finding]:
    """Names that --keep is given for and that nothing would leave out."""
    odd = sorted(set(keep) - set(excluded))
    what = f"--keep {named(odd)}: nothing of that name would be left out."
    return [Finding("error", what, "Give a name of the list.")] if odd else []


def write_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write a table that 'histonic compress' and 'histonic train' read.

    Raises:
        CohortError: There is no case.
        OutputError: It cannot be written.
    """
    if not cases:
        raise CohortError(f"Write {path.name}.", "There is no case for it.", "Download more of the set.")
    write_text(path, csv_text(*table_of(cases)))


def table_of(cases: Sequence[Case]) -> tuple[list[str], list[list[str]]]:
    """The columns of a table of cases, and a row for each."""
    columns = list(dict.fromkeys(column for case in cases for column in case.labels))
    rows = [
        [
            *(case.slide_id, case.patient, os.path.abspath(case.path)),
            *(case.labels.get(column, "") for column in columns),
            *(case.site, case.scanner, case.split),
            *("" if case.mpp is None else f"{case.mpp:.6g}", case.group_source, case.left_out),
        ]
        for case in cases
    ]
    return [*BEFORE, *columns, *AFTER], rows
