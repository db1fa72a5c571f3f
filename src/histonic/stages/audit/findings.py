"""What an audit hands back: findings with a level, what each confounder tells, pairs of equal slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from histonic.core.documents import Document, Part, write_document
from histonic.core.files import write_csv

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
FINDING_COLUMNS = ("level", "code", "what", "where", "found", "todo")


@dataclass(frozen=True)
class Finding:
    """One thing that could explain the result beside the tissue, or that was found in order.

    Attributes:
        level: ``error``: the result cannot stand as it is; ``warning``: look at it before you believe the
            result; ``note``: what was looked at, or could not be.
        code: ``duplicate``, ``patient``, ``cohort``, ``confounder``, ``within-sites``, ``coding`` or
            ``unchecked``.
        what: In a few words.
        where: Slide, patient, column or target.
        found: What was found, with numbers.
        todo: What to do about it.
        cohort: Name of the other cohort that it is about, if any.
    """

    level: Level
    code: str
    what: str
    where: str
    found: str
    todo: str
    cohort: str = ""

    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.level:<8} {self.what} ({self.where}): {self.found} {self.todo}".rstrip()


@dataclass(frozen=True)
class Copy:
    """Two slides that are the same.

    Attributes:
        slide: Of the audited cohort.
        other: The second slide.
        patient: Whose the first is.
        other_patient: Whose the second is; empty if not known.
        same_file: Whether the files are equal.
        likeness: Correlation of their fine variation; None for equal files.
        orientation: How the second is turned, 0 to 7.
    """

    slide: str
    other: str
    patient: str
    other_patient: str
    same_file: bool
    likeness: float | None
    orientation: int


@dataclass(frozen=True)
class ConfounderResult:
    """What one confounder tells of one target.

    Attributes:
        target: Name of the target.
        confounder: Short name, such as ``site``.
        label: Name in sentences.
        spread: Its values, in words.
        n: Patients.
        measure: ``AUROC`` or ``C-index``: share of pairs of patients in the right order; chance 0.5.
        value: Cross-validated; None if it could not be tested.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Permutation p-value of this confounder and target alone.
        p_adjusted: The same, corrected for all confounders and targets.
        alarm: Whether it predicts the target beyond chance.
        note: Why it could not be tested, or which patients were left out; else empty.
    """

    target: str
    confounder: str
    label: str
    spread: str
    n: int
    measure: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    alarm: bool = False
    note: str = ""


@dataclass(frozen=True)
class WithinSites:
    """A model's own predictions: over the pairs of patients of a fold, and over those from the same site.

    Attributes:
        target: Name of the target.
        n: Patients with a site and a truth.
        sites: Sites with at least one pair that can be compared.
        measure: As of :class:`ConfounderResult`.
        pooled: Value, low and high over the pairs of the same fold.
        within: The same over pairs from the same site.
        difference: Pooled minus within, with interval.
        conclusion: ``holds``, ``falls`` (part of the result), ``chance`` (within sites next to nothing),
            ``unclear`` (it falls, and too few pairs to tell what is left), ``few`` (too few pairs to tell
            anything), ``within`` (better than chance within sites alone), ``one`` (all pairs of a fold are
            from the same site) or ``none`` (no better than chance, neither way).
        by_site: Whether every site lies in one fold, as with ``--split site``.
    """

    target: str
    n: int
    sites: int
    measure: str
    pooled: tuple[float, float, float]
    within: tuple[float, float, float]
    difference: tuple[float, float, float]
    conclusion: str
    by_site: bool = False


@dataclass(frozen=True)
class ModelOrder:
    """A model's own out-of-fold predictions on the scale of the confounders."""

    target: str
    measure: str
    n: int
    value: float
    low: float
    high: float


class AuditResult(Part):
    """Everything an audit found.

    Attributes:
        findings: Errors first.
        confounders: Every confounder against every target.
        within_sites: Per target, where predictions and sites are known.
        models: Per target, where there are predictions.
        copies: Equal slides within the cohort.
        slides: Slides that were looked at.
        compared: Slides with enough tissue on their picture to be compared.
        permutations: Of the confounders' p-values.
        out: Folder with audit.json; None if nothing was written.
    """

    findings: tuple[Finding, ...]
    confounders: tuple[ConfounderResult, ...]
    within_sites: tuple[WithinSites, ...] = ()
    models: tuple[ModelOrder, ...] = ()
    copies: tuple[Copy, ...] = ()
    slides: int = 0
    compared: int = 0
    permutations: int = 0
    out: Path | None = Field(None, exclude=True)

    def __repr__(self) -> str:
        rows = [f"{each.level:<8} {each.where}  {each.what}: {each.found}" for each in self.findings]
        return "\n".join([*rows, self._counted()])

    def _repr_html_(self) -> str:
        rows = ""
        for each in self.findings:
            cells = (each.level, each.where, each.what, each.found, each.todo)
            shown = "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells)
            rows += f"<tr>{shown}</tr>"
        return f"<table><caption>{self._counted()}</caption>{rows}</table>"

    def _counted(self) -> str:
        return f"{self.slides} slides: " + ", ".join(f"{self.count(level)} {level}(s)" for level in LEVELS)

    def count(self, level: Level) -> int:
        """Findings of a level."""
        return sum(finding.level == level for finding in self.findings)


class AuditFile(AuditResult, Document):
    """``audit.json``: what was found, and by which settings."""

    FORMAT = "histonic-audit-1"

    settings: dict[str, Any]


def by_level(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first, else in the given order."""
    return tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level)))


def write_audit(folder: Path, result: AuditResult, settings: Mapping[str, Any]) -> None:
    """Write ``audit.json``, ``audit.csv`` (findings) and ``confounders.csv``.

    Raises:
        OutputError: The folder cannot be written to.
    """
    write_csv(folder / "audit.csv", FINDING_COLUMNS, [asdict(finding) for finding in result.findings])
    columns = list(ConfounderResult.__dataclass_fields__)
    write_csv(folder / "confounders.csv", columns, [asdict(each) for each in result.confounders])
    write_document(folder / "audit.json", AuditFile(**dict(result), settings=settings))


def turned_words(orientation: int) -> str:
    """How a copy lies, in words.

    Example:
        >>> turned_words(0), turned_words(5)
        ('', ', mirrored and turned by 90 degrees')
    """
    parts = ["mirrored"] if orientation >= 4 else []
    parts += [f"turned by {90 * (orientation % 4)} degrees"] if orientation % 4 else []
    return f", {' and '.join(parts)}" if parts else ""
