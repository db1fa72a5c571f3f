"""What can be wrong with a table: one Issue a problem, listed by doctor and raised by the readers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from histonic.core.errors import HistonicError, TableError

NAMES_SHOWN = 20
"""Names that one message lists before it only counts the rest."""
EXAMPLES_SHOWN = 3
"""Rows that stand for all faults of a kind."""


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


def gather(issues: Iterable[Issue]) -> list[Issue]:
    """One issue for each kind of fault and column, with a count and three examples.

    Kinds are those of the same words (what is wrong, what to do) in the same table and column; their order is
    that of the first of each.

    Example:
        >>> slips = [Issue("error", "No number", f"a.csv, row {k}", f"It is {k!r}.", "") for k in "345"]
        >>> print(gather(slips)[0].to_error().asked, gather(slips)[0].found)
        No number: a.csv. 3 of them: row 3: It is '3'; row 4: It is '4'; row 5: It is '5'.
    """
    kinds: dict[tuple[str, ...], list[Issue]] = {}
    for issue in issues:
        parts = issue.where.split(", ")
        place = ", ".join(parts[:2] if len(parts) > 1 and parts[1].startswith("column") else parts[:1])
        key = (issue.severity, issue.what, issue.todo, issue.error.__name__, place)
        kinds.setdefault(key, []).append(issue)
    return [same[0] if len(same) == 1 else _as_one(key[-1], same) for key, same in kinds.items()]


def _as_one(place: str, same: list[Issue]) -> Issue:
    shown = [
        f"{issue.where[len(place) :].removeprefix(', ') or place}: {issue.found.removesuffix('.')}"
        for issue in same[:EXAMPLES_SHOWN]
    ]
    more = f"; and {len(same) - len(shown)} more" if len(same) > len(shown) else ""
    return replace(same[0], where=place, found=f"{len(same)} of them: {'; '.join(shown)}{more}.")


def raise_first(issues: Iterable[Issue]) -> None:
    """Raise the first kind of severity ``error``, saying how many more kinds there are.

    Raises:
        HistonicError: Of the issue's own type.
    """
    errors = gather(issue for issue in issues if issue.severity == "error")
    if not errors:
        return
    error = errors[0].to_error()
    if len(errors) > 1:
        raise type(error)(
            error.asked, f"{error.found} ({len(errors) - 1} more kind(s) of problem.)", error.todo
        )
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


def list_examples(cells: Mapping[int, str]) -> str:
    """How many cells there are, and three of them with their rows.

    Example:
        >>> list_examples({3: "#REF!", 5: "#N/A", 6: "#REF!", 9: "#REF!"})
        "4 cells: '#REF!' (row 3), '#N/A' (row 5), '#REF!' (row 6) and 1 more"
    """
    shown = ", ".join(f"{text!r} (row {row})" for row, text in list(cells.items())[:EXAMPLES_SHOWN])
    more = f" and {len(cells) - EXAMPLES_SHOWN} more" if len(cells) > EXAMPLES_SHOWN else ""
    return f"{len(cells)} cell{'s' if len(cells) != 1 else ''}: {shown}{more}"


def error_cells(table: str, column: str, cells: Mapping[int, str]) -> Issue:
    """The issue of cells that hold the error of a spreadsheet, or a formula without its value."""
    return Issue(
        "error",
        "Spreadsheet's error in a cell",
        f"{table}, column {column!r}",
        f"{list_examples(cells)}.",
        "Repair the formula and save the table with its values, or leave the cells empty.",
    )


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
