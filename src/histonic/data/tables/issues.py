"""What can be wrong with a table: one Issue a problem, listed by doctor and raised by the readers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from histonic.core.errors import HistonicError, TableError

NAMES_SHOWN = 20
"""Names that one message lists before it only counts the rest."""


@dataclass(frozen=True)
class Issue:
    """One problem in a label or slide table.

    Attributes:
        severity: ``error`` stops training; ``warning`` means something is left out or odd.
        what: The problem in a few words.
        where: Table, column, row, patient or slide.
        found: What was found.
        todo: What the user can do about it.
        error: The error that :meth:`to_error` makes of it.

    Example:
        >>> print(Issue("error", "Negative time", "a.csv, row 3", "-1", "Correct it.").to_error().asked)
        Negative time: a.csv, row 3.
    """

    severity: Literal["error", "warning"]
    what: str
    where: str
    found: str
    todo: str
    error: type[HistonicError] = field(default=TableError, compare=False, repr=False)

    def to_error(self) -> HistonicError:
        """The same problem as an error with three parts."""
        return self.error(f"{self.what}: {self.where}.", self.found, self.todo)


def raise_first(issues: Iterable[Issue]) -> None:
    """Raise the first issue of severity ``error``, saying how many more there are.

    Raises:
        HistonicError: Of the issue's own type.
    """
    errors = [issue for issue in issues if issue.severity == "error"]
    if not errors:
        return
    error = errors[0].to_error()
    if len(errors) > 1:
        raise type(error)(error.asked, f"{error.found} ({len(errors) - 1} more problem(s).)", error.todo)
    raise error


def list_names(names: Iterable[str]) -> str:
    """Names joined by commas, at most :data:`NAMES_SHOWN` of them.

    Example:
        >>> list_names(["a", "b"])
        'a, b'
    """
    every = list(names)
    shown = ", ".join(every[:NAMES_SHOWN])
    return shown if len(every) <= NAMES_SHOWN else f"{shown} and {len(every) - NAMES_SHOWN} more"


def suggest(name: str, known: Iterable[str]) -> str:
    """What to say about a name that does not exist: the nearest one, or all of them.

    Example:
        >>> suggest("grad", ["grade", "age"])
        "Did you mean 'grade'?"
    """
    options = list(known)
    by_lower = {option.lower(): option for option in reversed(options)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"Did you mean {by_lower[near[0]]!r}?" if near else f"Its columns are: {list_names(options)}."
