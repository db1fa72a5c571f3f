"""Numbers in the names of classes: amounts, ranges, signs, Gleason sums, grades and stages, letters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from histonic.data.classes.scales import Span, Spans
from histonic.data.tables.values import to_number


def read_numbers(texts: Sequence[str]) -> Spans | None:
    """Numbers, all with a decimal point or all with a comma; directed if one is no larger than 0."""
    comma = all("." not in text for text in texts)
    pointed = [re.sub(r"(?<=\d),(?=\d)", ".", text) if comma else text for text in texts]
    numbers = [number for text in pointed if (number := to_number(text)) is not None]
    if len(numbers) < len(texts):
        return None
    return Spans.points(numbers, directed=any(each <= 0 for each in numbers))


_LESS = re.compile(r"\b(less than|fewer than|lower than|smaller than|under|below|unter)\b")
_AT_MOST = re.compile(r"\b(up to|at most|not more than|maximal|bis zu)\b|=<")
_MORE = re.compile(r"\b(more than|greater than|higher than|larger than|over|above|older than|über)\b")
_AT_LEAST = re.compile(r"\b(at least|not less than|from|ab)\b|=>")
_OR_MORE = re.compile(r"(?<=[\d%a-z])\s*(\+|\b(or|and) (more|above|over|older|higher|greater)\b|plus\b)$")
_OR_LESS = re.compile(r"\b(or|and) (less|fewer|below|under|younger|lower)\b$")
_BETWEEN = re.compile(r"(?<=[\d%a-zµ])\s*(?:-|\bto\b|\bbis\b|\band\b|&|,|\.\.+)\s*(?=[<>=]*\s*-?\d)")
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"(>=?)?({_NUMBER})~(<=?)?({_NUMBER})")


def read_ranges(texts: Sequence[str]) -> Spans | None:
    """``<10 %``, ``10 - 50 %``, ``50+``, ``none``; all in one unit."""
    if read_signs(texts) is not None:
        return None  # 2+ is a colour, not 'two or more'
    spans, heads, units = [], set(), set()
    ranges = 0
    for text in texts:
        if text in ("none", "no", "negative", "neg", "absent", "zero", "nil"):
            spans.append((-math.inf, -math.inf))
            continue
        for words, sign in ((_LESS, "<"), (_AT_MOST, "<="), (_MORE, ">"), (_AT_LEAST, ">=")):
            text = words.sub(sign, text)
        text = ">=" + _OR_MORE.sub("", text) if _OR_MORE.search(text) else text
        text = "<=" + _OR_LESS.sub("", text) if _OR_LESS.search(text) else text
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)
        text = _BETWEEN.sub("~", text)
        head = re.match(r"[^\W\d_]+(?=[\s<>=])", text)
        heads.add(head[0] if head else "")
        text = text.removeprefix(head[0]) if head else text
        found = re.findall(r"%|[^\W\d_]+", text)
        text = re.sub(r"%|[^\W\d_]+(/[^\W\d_]+)?|\s", "", text)
        span = _one_range(text)
        if span is None:
            return None
        units |= {" ".join(dict.fromkeys(found))} - {""}
        spans.append(span)
        ranges += span[0] != span[1] or "%" in found
    return Spans(spans) if ranges and len(units) <= 1 and len(heads) <= 1 else None


def _one_range(text: str) -> Span | None:
    between = _RANGE.fullmatch(text)
    if between:
        low, high = float(between[2]), float(between[4])
        return (low, high) if low < high else None
    below = re.fullmatch(rf"<=?({_NUMBER})", text)
    if below:
        end = float(below[1])
        # Amounts begin above 0, so that a class 0 lies below '<1'.
        return (1e-12 if end > 0 else -math.inf, end)
    above = re.fullmatch(rf">=?({_NUMBER})", text)
    if above:
        return float(above[1]), math.inf
    return (float(text), float(text)) if re.fullmatch(_NUMBER, text) else None


_SIGNS = {"-": 0.0, "negative": 0.0, "neg": 0.0, "0": 0.0, "(+)": 0.5, "+/-": 0.5, "±": 0.5, "-/+": 0.5}


def read_signs(texts: Sequence[str]) -> Spans | None:
    """``-``, ``(+)``, ``+``, ``++``; ``0``, ``1+``, ``2+``."""
    values = []
    for text in texts:
        short = text.replace(" ", "")
        counted = re.fullmatch(r"(\d)\+|\+(\d)", short)
        if counted:
            values.append(float(counted[1] or counted[2]))
        elif re.fullmatch(r"\++", short):
            values.append(float(len(short)))
        elif short in _SIGNS:
            values.append(_SIGNS[short])
        else:
            return None
    return Spans.points(values)


def read_gleason(texts: Sequence[str]) -> Spans | None:
    """``3+4`` lies below ``4+3``; sums of 8 and more are not told apart, as in ISUP's groups."""
    values = []
    for text in texts:
        match = re.fullmatch(r"(?:gleason\s*)?(\d)\s*\+\s*(\d)(?:\s*=\s*\d+)?", text)
        if match is None:
            return None
        first, second = int(match[1]), int(match[2])
        values.append(first + second + 0.5 * (first + second == 7 and first > second))
    return Spans.points(values)


_ROMAN = {
    word: float(k) for k, word in enumerate(("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"), 1)
}
_STEP = re.compile(
    r"(?P<head>[^\d<>=%+/]*?)[\s_\-:.#]*"
    r"(?:(?P<number>\d+(?:\.\d+)?)|(?P<roman>viii|vii|vi|iv|ix|v|iii|ii|i))(?P<letter>mi|[a-e])?(?P<digit>\d)?"
)
_BEFORE = {"tis": 0.5, "ta": 0.4, "cis": 0.5, "is": 0.5, "in situ": 0.5, "dcis": 0.5, "0is": 0.5, "0a": 0.4}
_GRADED = frozenset(
    re.split(
        r"\|",
        "|t|n|m|g|l|v|r|pn|grade|grading|grad|stage|stadium|stade|level|figo|who|ajcc|isup|gleason|"
        "gleason score|score|grade group|who grade|figo stage|stage group|ajcc stage|figo grade|clark|"
        "clark level|cin|pin|vain|asa|nyha|ecog|phase|degree|risk group|quartile|tertile|quintile|decile|q|"
        "bi rads|birads|pi rads|lr|tps|cps|ips",
    )
)
"""What stands before the number of a grade or stage."""


_PARTED = re.compile(r"\s*(?:/|-|&|\bto\b|\band\b)\s*")


def read_steps(texts: Sequence[str]) -> Spans | None:
    """Grades and stages: what stands before the number is the same for all, or absent."""
    spans, heads = [], set()
    for text in texts:
        whole = _step(text)
        parts = [whole] if whole else [_step(part) for part in _PARTED.split(text)]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        values = [value for _, value in known]
        if len(values) > 1 and values != sorted(set(values)):
            return None
        spans.append((values[0], values[-1]))
        heads |= {head for head, _ in known if head}
    if len(heads) > 1:
        return None
    zero = min(low for low, _ in spans) < 1
    return Spans(spans, directed=zero or (bool(heads) and heads <= _GRADED) or _are_roman(texts))


def _are_roman(texts: Sequence[str]) -> bool:
    return all(re.match(r"[iv]+[a-e]?\d?\b", text) for text in texts)


def _step(text: str) -> tuple[str, float] | None:
    """What stands before the number (``t`` for pT and cT, ``grade`` for G), and the place."""
    short = re.sub(r"^(?:[cpyra]{0,3})(?=t(?:is|a)\b)", "", text)
    if short in _BEFORE:
        return ("t" if short[0] == "t" else ""), _BEFORE[short]
    match = _STEP.fullmatch(text)
    if match is None or not text[0].isalnum():
        return None
    head = re.sub(r"[\s_\-:.#]+", " ", match["head"]).strip()
    if match["roman"] and head not in _GRADED:
        return None
    head = re.sub(r"^[cpyra]{1,3}(?=[tnm]$)", "", head)
    head = {"g": "grade", "stadium": "stage"}.get(head, head)
    value = _ROMAN[match["roman"]] if match["roman"] else float(match["number"])
    letter = match["letter"] or ""
    value += -0.005 if letter == "mi" else 0.01 * (ord(letter) - ord("a") + 1) if letter else 0.0
    return head, value + 0.001 * int(match["digit"] or 0)


def read_letters(texts: Sequence[str]) -> Spans | None:
    """``A``, ``B``, ``C``, from A on; 0 may stand before."""
    if not set(texts) <= set("0abcdef") or "a" not in texts:
        return None
    return Spans.points([float(ord(text)) for text in texts], directed=False)
