"""What the name of an event column says: that 1 is an event, a censored patient, a living one, or nothing."""

from __future__ import annotations

import re
from typing import Literal

Meaning = Literal["event", "censored", "alive", "unclear", ""]
"""What 1 or yes means by the name: ``unclear`` of vital status and the like, empty where it says nothing."""
_CENSORED = re.compile(
    r"(?<!un)(?<!non)(?<!not)(?<!nicht)(?<!un[_ -])(?<!non[_ -])(?<!not[_ -])(?<!nicht[_ -])[cz]ens"
)
_LOST = re.compile(
    r"\blost\b.*\b(follow|fu\b|f u\b)|\bltfu\b|\bloss (to|of) (follow|fu\b)|\bwithdr[ae]w|\bdrop(ped)? ?out\b"
)
_ENDS = r"(event|disease|progression|relapse|recurrence|recurrences|metastas[ei]s|failure|tumou?r|rezidiv)"
_FREE = re.compile(rf"\b{_ENDS}s? ?(free|frei)\b|\bno evidence of disease\b")
_ALIVE = re.compile(
    r"alive|\bliv(ing|es)\b|\bsurviv(ed|es|ing|ors?)\b|\b(ü|ue)berleb(t|te|end|ende)\b|"
    r"\b(lebt|lebte|lebend|lebendig|am leben|en vie|vivante?s?|viv[aoe]s?|vivente|levend)\b"
)
_DEAD = re.compile(
    r"dead|death|\bdied\b|decea|\bdie\b|\bdies\b|\bexitus\b|\bfatal|\bmort|\bm(ue|ö)rt[aoe]|\bd[eé]c[eè]d|"
    r"\b(tot|tod|gestorben|verstorben|overleden|morto)\b|"
    r"\bevents?\b|\bevt\b|relaps|recurr|progress|metasta|\bfailure\b|\brezidiv\b"
)
_NOT = r"\b(not|non|no|un|without|nicht|kein|keine|ohne) ?"
_NOT_ALIVE = re.compile(rf"{_NOT}({_ALIVE.pattern})|\bnonsurviv")
_NOT_DEAD = re.compile(rf"{_NOT}({_DEAD.pattern})")
_EITHER = re.compile(
    r"\bvital|survival|\bsurv\b|\blife status\b|\b(ü|ue)berleben|"
    r"\b(ned|remission|cured|healthy|geheilt|gesund)\b"
)
"""The end that was waited for, or that it did not come."""


def is_censor_named(column: str) -> bool:
    """Whether a column's name says that it marks the censored.

    Example:
        >>> is_censor_named("censorship_dss"), is_censor_named("uncensored"), is_censor_named("os_event")
        (True, False, False)
    """
    return _CENSORED.search(column.lower()) is not None


def name_meaning(column: str) -> Meaning:
    """What 1, yes or true means in an event column, by its name.

    Example:
        >>> [name_meaning(name) for name in ("dead", "is_alive", "disease-free", "vital_status", "os")]
        ['event', 'alive', 'alive', 'unclear', '']
        >>> name_meaning("lost_to_follow_up"), name_meaning("NonSurvivor"), name_meaning("dead_or_alive")
        ('censored', 'event', 'unclear')
    """
    if is_censor_named(column):
        return "censored"
    text = _plain(column)
    if _LOST.search(text):
        return "censored"
    free = _FREE.search(text)
    if free:
        rest = f"{text[: free.start()]} {text[free.end() :]}"
        return "event" if _DEAD.search(rest) else "unclear" if re.search("surviv|status", rest) else "alive"
    if _NOT_ALIVE.search(text):
        return "event"
    if _NOT_DEAD.search(text):
        return "alive"
    alive, dead = _ALIVE.search(text), _DEAD.search(text)
    if alive:
        return "unclear" if dead or "status" in text else "alive"
    if dead:
        return "event"
    return "unclear" if _EITHER.search(text) else ""


def _plain(column: str) -> str:
    """Lower case, in words divided by single blanks: ``isAlive`` is ``is alive``."""
    apart = re.sub(r"(?<=[a-zäöü])(?=[A-ZÄÖÜ])", " ", column)
    return " ".join(re.findall(r"[^\W_]+", apart.lower()))
