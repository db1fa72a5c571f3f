"""Competing causes: which word of an event column is the event of interest, and which are others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from histonic.core.errors import TableError
from histonic.core.task import EventCodes
from histonic.data.tables.issues import Issue, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.tables.values import DOUBTFUL_WORDS, class_name, natural_key, to_event, to_number
from histonic.data.targets.classes import ODD_NUMBERS, is_typo, join_option

_STATES = ("alive", "living", "censored")
MOST_CAUSES = 10
"""With more different words it is no column of causes."""


def same_cause(word: str, of_interest: str) -> bool:
    """Whether a word of the event column is the event of interest, be it written a little otherwise.

    Example:
        >>> same_cause("2.0", "2"), same_cause("Relapse", "relapse"), same_cause("2:Relapse", "2")
        (True, True, True)
    """
    wanted = class_name(of_interest).casefold()
    number, colon, rest = word.partition(":")
    parts = [word, number, rest] if colon else [word]
    return wanted in [class_name(part).casefold() for part in parts]


def read_causes(
    table: LabelTable,
    target: str,
    column: str,
    codes: EventCodes,
    of_interest: str,
    words: Mapping[int, str],
) -> tuple[dict[int, str], list[Issue]]:
    """The cause of each event by row, and what is wrong with the words.

    Args:
        table: For messages.
        target: Name of the target.
        column: The event column.
        codes: What its codes mean: who is censored.
        of_interest: The code or word that is the event.
        words: By row, none of them missing.

    Raises:
        TableError: The event of interest means censored.
    """
    where = table.where(column)
    if to_event(of_interest, codes) == 0:
        raise TableError(
            f"Take {of_interest!r} for the event of the target {target!r} ({where}).",
            f"With --event-coding {codes} it means censored.",
            "Name the code or word of an event: --event-of-interest CODE.",
        )
    causes: dict[int, str] = {}
    odd: dict[str, int] = {}
    names: dict[str, str] = {}
    for row, word in words.items():
        if to_event(word, codes) == 0 and not same_cause(word, of_interest):
            continue
        name = names.setdefault(class_name(word).casefold(), class_name(word))
        if same_cause(word, of_interest) or not _is_doubtful(name, codes):
            causes[row] = name
        else:
            odd[name] = odd.get(name, 0) + 1
    counts = Counter(causes.values())
    issues = [_doubtful_cause(where, f"{column}:{name}", name, count) for name, count in odd.items()]
    if len(counts) > MOST_CAUSES:
        found = f"It holds {len(counts)} different causes, such as {list_names(list(counts)[:3])}."
        todo = f"Name the time first, then the event: --target {target}:survival:TIME_COLUMN,EVENT_COLUMN."
        issues.append(Issue("error", "No column of events", where, found, todo))
    if not any(same_cause(name, of_interest) for name in counts):
        said = Counter(map(class_name, words.values()))
        every = [f"{word} ({said[word]})" for word in sorted(said, key=natural_key)]
        found = f"No cell says {of_interest!r}; they say {list_names(every) or 'nothing'}."
        todo = "Name one of them that is the event: --event-of-interest CODE."
        issues.append(Issue("error", "Event of interest that no cell has", where, found, todo))
    return causes, issues


def _doubtful_cause(where: str, cell: str, name: str, count: int) -> Issue:
    found = f"{name!r} ({count} rows) would be taken for a cause of its own."
    todo = (
        f"If nobody knows: {join_option([cell], 'NA')}; if alive, =alive; if it is a cause, name it: "
        f"{join_option([cell], f'cause {name}')}."
    )
    return Issue("error", "Competing cause that may be none", where, found, todo)


def _is_doubtful(name: str, codes: EventCodes) -> bool:
    """Whether a word may mean that nobody knows, or be a slip of alive or censored."""
    number = to_number(name)
    if codes == "1/2" and number == 0:
        return True
    if number is not None and (number in ODD_NUMBERS or not number.is_integer()):
        return True
    return name.lower() in DOUBTFUL_WORDS or any(is_typo(name, state) for state in _STATES)
