"""Regular expressions by which users name groups, labels and choices of files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from histonic.core.errors import HistonicError


def compiled(pattern: str, asked: str, error: type[HistonicError]) -> re.Pattern[str]:
    """A pattern that can be used.

    Raises:
        error: It is no regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as found:
        raise error(asked, f"It is no regular expression: {found}.", "Correct it.") from found


def parts_by_pattern(
    texts: Sequence[str], pattern: str, asked: str, error: type[HistonicError]
) -> list[str | None]:
    """What the group of a pattern (the one called group, else the first) finds in each text; None: nothing.

    Args:
        texts: Names or paths.
        pattern: With a group in brackets.
        asked: What was asked, for messages.
        error: What is raised.

    Raises:
        error: It is no regular expression, or has no group.

    Example:
        >>> from histonic.core.errors import SettingsError
        >>> parts_by_pattern(["01/1.tif", "2.tif"], "^([0-9]+)/", "Group.", SettingsError)
        ['01', None]
    """
    ready = compiled(pattern, asked, error)
    if not ready.groups:
        raise error(asked, "It has no group in brackets.", "Put what is wanted in brackets: '^(P[0-9]+)'.")
    wanted: int | str = "group" if "group" in ready.groupindex else 1
    found = [ready.search(text) for text in texts]
    return [each.group(wanted) or None if each else None for each in found]
