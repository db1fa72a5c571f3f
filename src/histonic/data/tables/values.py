"""What the words in label tables mean: missing values, numbers, events, names of classes."""

from __future__ import annotations

import math
import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


MISSING_WORDS = _words(
    "na|n/a|n.a.|#n/a|#nv|#n/d|#n/b|#i/t|#н/д|<na>|nan|null|missing|unknown|not available|not reported|"
    "not evaluated|not applicable|not allowed to collect|[not available]|[not evaluated]|[not applicable]|"
    "[not reported]|[unknown]|[discrepancy]|[pending]|?|.|--|'--|"
)
"""Cells that mean 'no value', in lower case. 'none' and '-' are not among them: both occur as classes."""

DOUBTFUL_WORDS = _words(
    "unk|ukn|unkn|uk|nk|nd|n.d.|n/d|ns|n.s.|nos|tbd|tba|x|xx|xxx|not done|not known|not assessed|"
    "not assessable|"
    "not tested|not determined|undetermined|indeterminate|inconclusive|equivocal|uncertain|unclear|ambiguous|"
    "borderline|pending|to be determined|no data|no result|not done yet|failed|insufficient|"
    "unbekannt|unklar|nicht bestimmt|nicht bekannt|nicht untersucht|nicht beurteilbar|keine angabe|k.a.|"
    "k. a.|entfällt|entf.|n.b.|n. b.|inconnu|non disponible|desconocido|no disponible|sconosciuto|"
    "onbekend"
)
"""Words that may mean 'no value' and may be a class; nobody can know, so they are named."""
_ERROR_WORD = re.compile(r"#[¡¿]?[^\W\d_]+(?:/0)?[!?]|#[A-Z]+_[A-Z]+!?|#{2,}|err:\d{3}", re.IGNORECASE)


def is_spreadsheet_error(text: str) -> bool:
    """Whether a cell is the error of a spreadsheet, in any language, or a formula that was never worked out.

    ``#N/A`` and its like mean a missing value, see :data:`MISSING_WORDS`.

    Example:
        >>> [is_spreadsheet_error(w) for w in ("#REF!", "#DIV/0!", "#BEZUG!", "###", "=A1", "#1", "#N/A")]
        [True, True, True, True, True, False, False]
    """
    if text[:1] == "=":
        return len(text) > 1 and re.match(r"=[=><+\-\s]*$", text) is None
    return text[:1] in "#Ee" and _ERROR_WORD.fullmatch(text) is not None


_EVENT_WORDS = _words("event|dead|deceased|died|death|tot|verstorben|gestorben")
_CENSORED_WORDS = _words("alive|censored|living|lebt|lebend|zensiert")
TRUE_WORDS = _words("1|1.0|yes|y|true|ja|j|oui|si|sí|wahr|vrai")
"""Words that say yes, in lower case."""
FALSE_WORDS = _words("0|0.0|no|n|false|nein|non|falsch|faux")
"""Words that say no."""
_ZERO_ONE = {"0": 0.0, "1": 1.0}
_ONE_TWO = {"1": 0.0, "2": 1.0}


def is_missing(text: str) -> bool:
    """Whether a cell means 'no value', see :data:`MISSING_WORDS`.

    Example:
        >>> is_missing("N/A"), is_missing(""), is_missing("none")
        (True, True, False)
    """
    return text.strip().lower() in MISSING_WORDS


_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}(?!\d).*|\d{1,2}[-./]\d{1,2}[-./](\d{2}|\d{4})(?!\d).*")


def is_date(cell: str) -> bool:
    """Whether a cell is a date.

    Example:
        >>> is_date("2019-03-01T12:00:00"), is_date("1.3.2019"), is_date("12.5")
        (True, True, False)
    """
    return _DATE.fullmatch(cell.strip()) is not None


_DURATION = re.compile(r"[-+]?\d+ days?(,? [-+]?\d+:\d\d(:\d\d(\.\d+)?)?)?", re.IGNORECASE)


def is_duration(cell: str) -> bool:
    """Whether a cell is a length of time as pandas, Excel and Python write it.

    Example:
        >>> is_duration("365 days 00:00:00"), is_duration("1 day, 0:00:00"), is_duration("365")
        (True, True, False)
    """
    return _DURATION.fullmatch(cell.strip()) is not None


def to_number(text: str) -> float | None:
    """A finite number with a decimal point, or None; columns as people write them: see ``numbers.py``.

    Example:
        >>> to_number("1.5"), to_number("1,5"), to_number("inf")
        (1.5, None, None)
    """
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def to_event(text: str, codes: str = "event") -> float | None:
    """1.0 for an event, 0.0 for censoring, None for a word with no meaning.

    Words that name the state (dead, alive, censored, event ...) mean the same whatever the column codes;
    1, 0, yes, no, true and false are inverted where 1 marks the censored. Of cBioPortal's 1:Recurred and
    0:DiseaseFree the number counts, which is no censoring whatever the column is called.

    Args:
        text: A cell.
        codes: ``event``, ``censored`` or ``1/2``, see :data:`histonic.core.task.EventCodes`.

    Example:
        >>> to_event("1"), to_event("1", "censored"), to_event("1", "1/2"), to_event("Dead", "censored")
        (1.0, 0.0, 0.0, 1.0)
        >>> to_event("1:Recurred/Progressed"), to_event("0:DiseaseFree"), to_event("1:LIVING"), to_event("1:")
        (1.0, 0.0, None, None)
    """
    word = text.strip().lower()
    numbers = _ONE_TWO if codes == "1/2" else _ZERO_ONE
    numbered = re.fullmatch(r"([012])\s*:\s*(\S.*)", word)
    if numbered:
        event, rest = numbers.get(numbered[1]), numbered[2]
        known = to_event(rest) if rest in _EVENT_WORDS | _CENSORED_WORDS else None
        if known is None:
            return None if codes == "censored" else event
        return event if event == known else None
    if word in _EVENT_WORDS or word in _CENSORED_WORDS:
        return float(word in _EVENT_WORDS)
    if codes == "1/2":
        return numbers.get(class_name(word))
    if word in TRUE_WORDS or word in FALSE_WORDS:
        return float((word in TRUE_WORDS) != (codes == "censored"))
    return None


def class_name(text: str) -> str:
    """A class as it is called in results: 1.0 and 1 are the same class.

    Example:
        >>> class_name("2.0"), class_name("G2")
        ('2', 'G2')
    """
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", text.strip())


def natural_key(text: str) -> tuple[tuple[tuple[bool, float, str], ...], str]:
    """Sort key that puts G2 before G10 and ignores case.

    Example:
        >>> sorted(["G10", "g2", "G1", "T1a", "T1"], key=natural_key)
        ['G1', 'g2', 'G10', 'T1', 'T1a']
    """
    pieces = re.findall(r"[0-9]+|[^0-9]+", text.lower())
    key = ((False, float(piece), "") if piece[0] in "0123456789" else (True, 0.0, piece) for piece in pieces)
    return tuple(key), text
