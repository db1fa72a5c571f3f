"""Text as people see it: one form of each letter, no invisible characters, blanks that are blanks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
"""Soft hyphens, zero-width characters, marks of direction and of variants."""
_HYPHENS = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")

_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_MARKS = {" ": "blanks", "-": "hyphens", "_": "underscores", ".": "points"}


def tidy(text: str) -> str:
    r"""Text in composed letters (NFC), without invisible characters, blanks as blanks, none at the ends.

    Two cells that look the same on a screen become the same text.

    Example:
        >>> tidy("Mu\u0308ller\u200b\u00a0") == "M\u00fcller"
        True
    """
    if text.isascii():
        return text.strip()
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    return "".join(" " if letter.isspace() and letter not in "\t\r\n" else letter for letter in text).strip()


def loose_key(text: str) -> str:
    """What is left of an identifier when writing habits are taken off.

    Upper and lower case, blanks, hyphens, underscores and points do not count, but for one between two
    digits: 1-12 and 11-2 stay two. Leading zeros count: 01 and 1 may be two.

    Example:
        >>> loose_key("Case_12"), loose_key("case 12"), loose_key("1-12"), loose_key("1.12")
        ('case12', 'case12', '1-12', '1-12')
    """
    plain = tidy(text)
    if not plain.isascii():
        plain = _HYPHENS.sub("-", tidy(unicodedata.normalize("NFKC", plain)))
    plain = re.sub(r"[\s_.\-]+", "-", plain.casefold()).strip("-")
    return re.sub(r"(?<![0-9])-|-(?![0-9])", "", plain) or plain


def without_zeros(text: str) -> str:
    """The loose key without the zeros before its numbers, which a spreadsheet takes away.

    Example:
        >>> without_zeros("0012"), without_zeros("P-012"), without_zeros("1-00"), without_zeros("100")
        ('12', 'p12', '1-0', '100')
    """
    return _ZEROS.sub("", loose_key(text))


def writing_apart(names: Sequence[str]) -> str:
    """In what identifiers differ that are alike but for the writing, as words of a sentence.

    Example:
        >>> writing_apart(["0012", "12"])
        'leading zeros, which a spreadsheet takes away'
        >>> writing_apart(["Q-012", "Q12"]), writing_apart(["Case 7", "case_7"])
        ('hyphens, leading zeros', 'case, blanks, underscores')
    """
    plain = [_HYPHENS.sub("-", unicodedata.normalize("NFKC", tidy(name))) for name in names]
    bare = [_ZEROS.sub("", re.sub(r"\s", " ", name)) for name in plain]

    def without_marks(name: str, but: str = "") -> str:
        return "".join(letter for letter in name if letter == but or letter not in _MARKS)

    found = []
    for mark, word in _MARKS.items():
        if len({without_marks(name.casefold(), but=mark) for name in bare}) > 1:
            found.append(word)
    letters = {without_marks(name) for name in bare}
    if len(letters) > len({name.casefold() for name in letters}):
        found.insert(0, "case")
    if len(set(map(loose_key, names))) > 1:
        taken = all(name.isdecimal() for name in plain)
        found.append("leading zeros" + ", which a spreadsheet takes away" * taken)
    return ", ".join(found) or "the form of their letters"
