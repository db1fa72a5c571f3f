"""The cells of an event column: who had the event, who is censored, and what cannot be taken for either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from histonic.core.errors import TableError
from histonic.core.task import EventCodes
from histonic.data.tables.formats.frames import row_of
from histonic.data.tables.issues import Issue, error_cells, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import (
    class_name,
    is_date,
    is_missing,
    is_spreadsheet_error,
    natural_key,
    to_event,
)
from histonic.data.tables.values import to_number as plain_number
from histonic.data.targets.causes import read_causes, same_cause
from histonic.data.targets.classes import ODD_NUMBERS, join_option, spelled_cells
from histonic.data.targets.event_names import name_meaning

MOST_CODES = 10
"""With more different numbers it is no column of events."""
FEWEST_BLANK = 3
BLANK_SHARE = 0.2
"""So many rows have a time and a blank event, before blank is taken to mean something."""
_NAMES_OF_NONE = ("", ".", "na", "nan", "n/a", "#n/a", "<na>", "null")
"""Cells that are blank, or become so where a table is written by a program."""


@dataclass(frozen=True)
class Events:
    """An event column as read.

    Attributes:
        known: By row, 1 for an event and 0 for none, or for one of another cause.
        causes: By row the cause of an event, where an event of interest was named.
        blank: Rows without a word.
        written: Every word, before any are joined.
        issues: What is wrong with the cells.
    """

    known: Mapping[int, float]
    causes: Mapping[int, str] = field(default_factory=dict)
    blank: frozenset[int] = frozenset()
    written: frozenset[str] = frozenset()
    issues: tuple[Issue, ...] = field(default=())


def interest_of(target: str, given: Sequence[str]) -> str:
    """The code or word that is a target's event: ``TARGET=CODE``, or else ``CODE``; empty if none is given.

    Example:
        >>> given = ["1", "css=2"]
        >>> interest_of("css", given), interest_of("os", given), interest_of("os", given[1:])
        ('2', '1', '')
    """
    own = [text.partition("=")[2] for text in given if text.partition("=")[0].strip() == target]
    shared = [text for text in given if "=" not in text]
    return [*shared, *own][-1].strip() if shared or own else ""


def read_events(
    table: LabelTable, target: str, column: str, codes: EventCodes, of_interest: str = ""
) -> Events:
    """Read an event column.

    Args:
        table: The labels; its ``classes`` may say what a word means (``status:tot=dead``, ``status:9=NA``).
        target: Name of the target.
        column: The event column.
        codes: What 1 means.
        of_interest: The code or word that is the event; all others that are not censored are then competing
            causes.

    Raises:
        TableError: By the column's name 1 means the inverse of an event, and nobody has said so; or the event
            of interest means censored.
    """
    cells = {row_of(row): str(cell) for row, cell in table.frame[column].items()}
    blank = frozenset(row for row, cell in cells.items() if cell.strip().lower() in _NAMES_OF_NONE)
    given = {row: cell for row, cell in cells.items() if not is_missing(cell)}
    wrong = {row: cell for row, cell in given.items() if is_spreadsheet_error(cell)}
    issues = [error_cells(table.text.name, column, wrong)] if wrong else []
    words = spelled_cells(table, column, {row: cell for row, cell in given.items() if row not in wrong})
    counts = Counter(map(class_name, words.values()))
    causes: dict[int, str] = {}
    if of_interest:
        causes, unfit = read_causes(table, target, column, codes, of_interest, words)
        issues += unfit
    read = {row: to_event(word, codes) for row, word in words.items()}
    known = {row: event for row, event in read.items() if event is not None}
    coded = [words[row] for row in known if _is_code(words[row])]
    _refuse_inverse(table, target, column, codes, coded)
    known |= {row: float(same_cause(cause, of_interest)) for row, cause in causes.items()}
    odd = {row: word for row, word in words.items() if row not in known}
    issues += _odd_issues(table, target, column, odd, counts)
    issues += [] if causes else _name_issues(table, column, codes, coded)
    return Events(known, causes, blank, frozenset(given.values()), tuple(issues))


def has_codes(table: LabelTable, column: str) -> bool:
    """Whether an event column is there and holds words such as 1 or yes, which a coding must explain."""
    if column not in table.frame.columns:
        return False
    cells = {row_of(row): str(cell) for row, cell in table.frame[column].items() if not is_missing(cell)}
    return any(_is_code(word) for word in spelled_cells(table, column, cells).values())


def _is_code(word: str) -> bool:
    """Whether a word needs a coding to say what it means: 1 or yes, not dead."""
    return to_event(word, "event") != to_event(word, "censored")


def _kinds(words: Sequence[str]) -> list[str]:
    return sorted({class_name(word) for word in words}, key=natural_key)


def _refuse_inverse(
    table: LabelTable, target: str, column: str, codes: EventCodes, coded: Sequence[str]
) -> None:
    """Refuse codes in a column whose name says the inverse of an event, or not which yes it means."""
    meaning = name_meaning(column)
    if codes != "event" or not coded:
        return
    asked = f"Read the events of the target {target!r} ({table.where(column)})."
    yes = next((word for word in _kinds(coded) if to_event(word) == 1), "1")
    no = next((word for word in _kinds(coded) if to_event(word) == 0), "0")
    escape = join_option([f"{column}:{yes}"], "dead") + " " + join_option([f"{column}:{no}"], "alive")
    if meaning in ("censored", "alive"):
        whom, means = ("the censored", "censored") if meaning == "censored" else ("the living", "alive")
        raise TableError(
            asked,
            f"By its name, {yes} marks {whom} there, which is the inverse of an event; taken as events it "
            "would turn every risk upside down.",
            f"If {yes} means {means}, say --event-coding censored; if {yes} means event, rename the column "
            f"(or say {escape}).",
        )
    if meaning == "unclear" and not set(_kinds(coded)) <= {"0", "1"}:
        raise TableError(
            asked,
            f"Its name does not say whether {yes} means alive or dead.",
            f"If {yes} means alive, say --event-coding censored; if {yes} means the event, say {escape}.",
        )


def _name_issues(table: LabelTable, column: str, codes: EventCodes, coded: Sequence[str]) -> list[Issue]:
    """Warnings where the name of a column of codes leaves its meaning open, or contradicts what was said."""
    meaning = name_meaning(column)
    if not coded or codes == "1/2":
        return []
    if codes == "event" and meaning == "unclear":
        found = "Its name does not say whether 1 means alive or dead; 1 is taken for the event."
        todo = "If 1 means alive, say --event-coding censored. Nothing, if 1 means the event."
        return [Issue("warning", "Event coding that nothing names", table.where(column), found, todo)]
    if codes == "censored" and meaning == "event":
        yes = next((word for word in _kinds(coded) if to_event(word) == 1), "1")
        found = f"By its name, {yes} marks the event; --event-coding censored takes it for none."
        todo = "Leave out --event-coding censored. Nothing, if it is so."
        return [Issue("warning", "Event coding against the name", table.where(column), found, todo)]
    return []


def _odd_issues(
    table: LabelTable, target: str, column: str, odd: Mapping[int, str], counts: Counter[str]
) -> list[Issue]:
    """Errors for words that are neither an event nor none: codes of one column together, other words each."""
    numbers = {row: word for row, word in odd.items() if plain_number(word) is not None}
    issues = []
    if numbers:
        issues.append(_odd_codes(table, target, column, numbers, counts))
    todo = (
        f"Use 1 or 0, true or false, or words such as dead and alive (or --classes '{column}:WORD=dead'); "
        "empty if missing. Of competing causes say which is the event: --event-of-interest WORD."
    )
    odd_word = "Event that is not 0 or 1"
    dates = "Write 1 where there is a date of the event and 0 (or alive) where there is none."
    for row, word in odd.items():
        if row not in numbers:
            what, mend = ("Date in place of an event", dates) if is_date(word) else (odd_word, todo)
            issues.append(Issue("error", what, table.where(column, row), f"The cell is {word!r}.", mend))
    return issues


def _odd_codes(
    table: LabelTable, target: str, column: str, numbers: Mapping[int, str], counts: Counter[str]
) -> Issue:
    """Codes such as 2 or 9, with what each may be."""
    where = table.where(column, *list(numbers)[:3])
    kinds = _kinds(list(numbers.values()))
    if len(kinds) > MOST_CODES:
        found = f"It holds {len(kinds)} different numbers, such as {list_names(kinds[:3])}."
        todo = f"Name the time first, then the event: --target {target}:survival:TIME_COLUMN,EVENT_COLUMN."
        return Issue("error", "No column of events", where, found, todo)
    codes = sorted((word for word in counts if plain_number(word) is not None), key=natural_key)
    found = f"Its codes are {list_names(f'{code} ({counts[code]} rows)' for code in codes)}."
    if set(codes) == {"1", "2"}:
        found += " There is no 0: in R's survival, 1 is censored and 2 dead."
        todo = "If so, say --event-coding 1/2. If nobody is censored: --event-of-interest 1 (or 2)."
        return Issue("error", "Event codes 1 and 2", where, found, todo)
    odd = [code for code in kinds if float(code) in ODD_NUMBERS]
    aside = f"If nobody knows: {join_option([f'{column}:{code}' for code in odd], 'NA')}. " if odd else ""
    first = next(code for code in codes if to_event(code) != 0)
    todo = (
        f"{aside}If they are causes, say which is the event: --event-of-interest {first} (the others then "
        f"compete). Else say what they mean: {join_option([f'{column}:{kinds[0]}'], 'alive')} or =dead."
    )
    return Issue("error", "Event codes beyond 0 and 1", where, found, todo)


def blank_issues(
    table: LabelTable, column: str, events: Events, timed: frozenset[int] | set[int]
) -> list[Issue]:
    """What is wrong if only those with an event, or only those without, have a word in the event column.

    Args:
        table: For the message.
        column: The event column.
        events: As read.
        timed: Rows with a follow-up time.
    """
    blank = len(events.blank & timed)
    said = [float(row in events.causes or event) for row, event in events.known.items() if row in timed]
    if blank < max(FEWEST_BLANK, BLANK_SHARE * (blank + len(said))) or not said:
        return []
    dead = int(sum(said))
    if 0 < dead < len(said):
        few = min(dead, len(said) - dead)
        if blank <= 3 * few:
            return []  # missing here and there
    which, other = ("an event", "alive") if dead > len(said) / 2 else ("no event", "dead")
    alone = dead in (0, len(said))
    filled = f"{len(said)} filled cells"
    every = f"Every one of the {filled} says" if alone else f"Most of the {filled} say"
    code = "0" if other == "alive" else "1"
    return [
        Issue(
            "error" if alone else "warning",
            "Event that is blank for the others",
            table.where(column),
            f"{every} {which}, and {blank} rows with a time are blank: they would be left out.",
            f"If blank means {other}, write {code} (or {other}) into those cells; if nobody knows, write "
            "unknown.",
        )
    ]
