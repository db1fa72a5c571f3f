"""The order of classes, as far as their words, signs and numbers say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from histonic.data.classes.scales import COUNTED, RESPONSE, SCALES, Spans, normal, word_reader
from histonic.data.classes.steps import (
    read_gleason,
    read_letters,
    read_numbers,
    read_ranges,
    read_signs,
    read_steps,
)
from histonic.data.tables.values import natural_key


@dataclass(frozen=True)
class KnownOrder:
    """An order that the classes say themselves.

    Attributes:
        classes: Lowest first.
        why: By what, for the user.
        directed: Whether the last class has more of something; clusters 1 and 2 have not.
    """

    classes: tuple[str, ...]
    why: str
    directed: bool = True


def order_classes(names: Collection[str]) -> tuple[str, ...]:
    """Classes from lowest to highest: as they say, see :func:`known_order`; else in natural order.

    Example:
        >>> order_classes(["high", "low", "medium"]), order_classes(["10", "9"]), order_classes(["G2", "G1"])
        (('low', 'medium', 'high'), ('9', '10'), ('G1', 'G2'))
    """
    known = known_order(names)
    return known.classes if known else tuple(sorted(set(names), key=natural_key))


def known_order(names: Collection[str]) -> KnownOrder | None:
    """The order that is certain, or None.

    Read are numbers; ranges (``<10 %``, ``10-50%``, ``>50%``), none of which may overlap; signs (-, +, ++; 0,
    1+, 2+); Gleason sums; grades and stages (G1, T1a, Tis, IIIB, I/II); single letters from A on; and the
    words of :data:`SCALES`. Of ``1: low`` and ``G1 (low)`` both halves are read. Readings that contradict
    each other are none.

    Example:
        >>> known_order(["CR", "PR", "SD", "PD"]).classes, known_order(["red", "blue"])
        (('PD', 'SD', 'PR', 'CR'), None)
    """
    unique = sorted(set(names), key=natural_key)
    if len(unique) < 2 or any(_MONTH.search(name) or len(name) > MOST_LETTERS for name in unique):
        return None
    found = []
    for view in _views(unique):
        for read, why in _READERS:
            spans = read(list(view.values()))
            ordered = _ordered(view, spans, why)
            if read is read_ranges and spans is not None and not ordered:
                return None
            found += ordered
    if len({each.classes for each in found}) != 1:
        return None
    return next((each for each in found if each.directed), found[0])


MOST_LETTERS = 100
"""Longer names are sentences, which are not read."""
_MONTH = re.compile(
    r"(\d[-./ ]?(jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)|"
    r"(jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[-./ ]?\d)",
    re.IGNORECASE,
)
"""A range such as 1-9 that a spreadsheet has made a date."""


def _ordered(view: Mapping[str, str], spans: Spans | None, why: str) -> list[KnownOrder]:
    """The classes by their spans, if these are disjoint."""
    if spans is None:
        return []
    placed = sorted(zip(spans.values, view, strict=True), key=lambda pair: (pair[0], natural_key(pair[1])))
    for (one, _), (two, _) in pairwise(placed):
        if one[1] > two[0] or one == two:
            return []
    return [KnownOrder(tuple(name for _, name in placed), spans.why or why, spans.directed)]


def _views(names: Sequence[str]) -> list[dict[str, str]]:
    """Ways to look at the classes: as they are, without what all share, and each half of ``1: low``."""
    plain = {name: normal(name) for name in names}
    views = [plain]
    split = {name: re.fullmatch(r"(\d+)\s*[:=.)\-]\s*([^\d\s<>=].*)", text) for name, text in plain.items()}
    if all(split.values()):
        views += [{name: match[k] for name, match in split.items() if match} for k in (1, 2)]
    aside = {name: re.fullmatch(r"(.+?)\s*[(\[](.+?)[)\]]", text) for name, text in plain.items()}
    if any(aside.values()):
        views.append({name: match[1] if (match := aside[name]) else plain[name] for name in names})
    if all(aside.values()):
        views.append({name: match[2] for name, match in aside.items() if match})
    for view in list(views):
        for divider in (r"[\s_]+", r"[\s_]+|(?<=[^\W\d_])-+"):
            lists = strip_common([re.split(divider, text) for text in view.values()])
            views.append(dict(zip(names, (" ".join(each) for each in lists), strict=True)))
    distinct: list[dict[str, str]] = []
    for view in views:
        if view not in distinct and len(set(view.values())) == len(names) and all(view.values()):
            distinct.append(view)
    return distinct


def strip_common(lists: Sequence[list[str]]) -> list[list[str]]:
    """Lists without the words with which all begin, and with which all end.

    Example:
        >>> strip_common([["low", "risk"], ["high", "risk"]])
        [['low'], ['high']]
    """
    cut = [list(each) for each in lists]
    for end in (0, -1):
        while len(cut) > 1 and all(cut) and len({each[end] for each in cut}) == 1 and _is_word(cut[0][end]):
            for each in cut:
                each.pop(end)
    return cut


def _is_word(text: str) -> bool:
    """Whether a letter is in it: the 0 of 0-5 and 0-9 says something."""
    return any(each.isalpha() for each in text)


_READERS: tuple[tuple[Callable[[Sequence[str]], Spans | None], str], ...] = (
    (read_numbers, "numbers"),
    (read_ranges, "ranges"),
    (read_signs, "signs"),
    (read_gleason, "Gleason sums"),
    (read_steps, "their numbers"),
    (read_letters, "letters"),
    (word_reader(RESPONSE, "best response highest"), "words"),
    *((word_reader(each), "words") for each in SCALES),
    *((word_reader(each, directed=False), "words") for each in COUNTED),
)
