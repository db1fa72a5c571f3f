"""What the doctor found: a line each, as text and as a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Literal

import pandas as pd

Severity = Literal["ok", "warning", "error"]
MOST_SHOWN = 40
"""Lines that are shown of an object; errors and warnings first where there are more."""
_COLOURS = {"ok": "#2e7d32", "warning": "#b26a00", "error": "#c62828"}


@dataclass(frozen=True)
class DoctorLine:
    """One line of the doctor: a slide, or a problem in the table."""

    severity: Severity
    where: str
    text: str

    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.severity:<8} {self.where}  {self.text}"


@dataclass(frozen=True, repr=False)
class DoctorResult:
    """All findings, in the order in which they were made.

    Attributes:
        findings: One a slide, then those of the table.

    Example:
        >>> found = DoctorLine("ok", "a.svs", "40x"), DoctorLine("error", "b.svs", "is empty")
        >>> result = DoctorResult(found)
        >>> print(result)
        error    b.svs  is empty
        ok       a.svs  40x
        1 ok, 0 warning(s), 1 error(s)
        >>> result.ok, [finding.where for finding in result.errors], len(result)
        (False, ['b.svs'], 2)
    """

    findings: tuple[DoctorLine, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing would fail; warnings may be there."""
        return not self.errors

    @property
    def errors(self) -> list[DoctorLine]:
        """What would fail."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[DoctorLine]:
        """What would be left out, or looks odd."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    @property
    def summary(self) -> str:
        """The counts in one line."""
        errors, warnings = len(self.errors), len(self.warnings)
        return f"{len(self) - errors - warnings} ok, {warnings} warning(s), {errors} error(s)"

    def frame(self) -> pd.DataFrame:
        """The findings as a table with the columns severity, where and text."""
        return pd.DataFrame(
            [vars(finding) for finding in self.findings], columns=["severity", "where", "text"]
        )

    def __iter__(self) -> Iterator[DoctorLine]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __bool__(self) -> bool:
        return True  # without findings, too: ``ok`` says whether all is well

    def __repr__(self) -> str:
        return "\n".join([*(finding.line() for finding in self._shown()), *self._rest(), self.summary])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="color:{_COLOURS[each.severity]};text-align:left">{each.severity}</td>'
            f'<td style="text-align:left">{escape(each.where)}</td>'
            f'<td style="text-align:left">{escape(each.text)}</td></tr>'
            for each in self._shown()
        )
        rest = "".join(f'<tr><td></td><td colspan="2">{escape(line)}</td></tr>' for line in self._rest())
        return f"<table><caption>{escape(self.summary)}</caption>{rows}{rest}</table>"

    def _shown(self) -> list[DoctorLine]:
        rank = ("error", "warning", "ok")
        return sorted(self.findings, key=lambda finding: rank.index(finding.severity))[:MOST_SHOWN]

    def _rest(self) -> list[str]:
        return [f"... and {len(self) - MOST_SHOWN} more"] if len(self) > MOST_SHOWN else []
