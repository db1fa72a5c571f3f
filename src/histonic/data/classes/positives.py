"""Which of two classes is the positive one, as far as their words and signs say it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from histonic.data.classes.orders import known_order, order_classes, strip_common
from histonic.data.tables.values import to_number


@dataclass(frozen=True)
class Positive:
    """The positive one of two classes.

    Attributes:
        name: Of the class.
        other: The other class.
        certain: Whether the words say so; else it is only the second in order.
    """

    name: str
    other: str
    certain: bool


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


_NEGATIVE = _words_of(
    "no|n|negative|negatives|negativ|neg|normal|benign|healthy|alive|living|survived|survivor|survivors|absent|none|false|wildtype|"
    "wt|mss|control|controls|censored|proficient|intact|retained|preserved|unaltered|stable|never|inactive|"
    "favorable|favourable|incomplete|undetected|undetectable|nr|pmmr|mmrp|hrp|diploid|euploid|nein|nicht|non|negatif|négatif|negativo|"
    "negativa"
)
_POSITIVE = _words_of(
    "yes|y|positive|positives|positiv|pos|tumor|tumour|cancer|carcinoma|malignant|malignancy|dead|deceased|died|"
    "death|present|true|mutated|mutant|mut|mutation|msi|msih|metastasis|metastases|metastatic|relapse|relapsed|"
    "recurrence|recurrent|recurred|event|deficient|deficiency|lost|loss|altered|alteration|amplified|"
    "amplification|deleted|deletion|codeleted|codeletion|fusion|rearranged|rearrangement|translocated|"
    "translocation|methylated|hypermethylated|responder|responders|response|responded|responsive|pcr|detected|"
    "detectable|active|complete|disease|diseased|case|cases|invasion|invasive|involved|affected|abnormal|infected|"
    "aneuploid|instable|instability|progression|progressed|progressive|expressed|dmmr|mmrd|hrd|ja|oui|si|sí|"
    "unfavorable|unfavourable|adverse|positif|positivo|positiva"
)
_DENY = _words_of("no|not|non|without|never|free|un|kein|keine|ohne|nicht|sans|sin|senza")
_REPAIR = frozenset({"mmr", "hr"})
_TAILS = {"mut": 1, "mutant": 1, "mutated": 1, "pos": 1, "positive": 1, "wt": -1, "wildtype": -1, "neg": -1}
_TAILS["negative"] = -1
"""Of words written together, such as IDHmut."""
_LIKELIER = frozenset({"resistant", "refractory"})
"""Taken for the positive class, but not with certainty."""


def order_binary(names: Collection[str]) -> tuple[str, ...]:
    """Two classes, the positive one second, see :func:`positive_class`; else as in ``order_classes``.

    Example:
        >>> order_binary(["tumor", "normal"]), order_binary(["MSIH", "nonMSIH"]), order_binary(["A", "B"])
        (('normal', 'tumor'), ('nonMSIH', 'MSIH'), ('A', 'B'))
    """
    unique = set(names)
    if len(unique) != 2:
        return order_classes(unique)
    found = positive_class(unique)
    return found.other, found.name


def positive_class(names: Collection[str]) -> Positive:
    """The positive one of two classes.

    That is the one that says yes (yes, +, mutated, deficient, dead, responder ...) or, beside one that says
    no (no, -, wild type, proficient, alive, non-X beside X ...), the other; else the higher of two that
    have an order (low and high, G1 and G3, 0 and 1). Where the words do not tell, it is the second in
    natural order, which is not certain.

    Args:
        names: Two classes.

    Example:
        >>> positive_class(["HER2+", "HER2-"]).name, positive_class(["pMMR", "dMMR"]).name
        ('HER2+', 'dMMR')
        >>> positive_class(["female", "male"]).certain
        False
    """
    one, two = order_classes(names)
    numbers = to_number(one), to_number(two)
    if numbers[0] is not None and numbers[1] is not None:
        return Positive(two, one, min(numbers[0], numbers[1]) <= 0)
    ranks = _ranks(one, two)
    if ranks[0] != ranks[1]:
        return Positive(one, two, True) if ranks[0] > ranks[1] else Positive(two, one, True)
    if {one.strip().lower(), two.strip().lower()} == {"t", "f"}:
        return Positive(two, one, True)
    order = known_order(names)
    if order is not None and order.directed:
        return Positive(two, one, True)
    words = [set(_words(name)) for name in (one, two)]
    if words[0] & _LIKELIER and not words[1] & _LIKELIER:
        return Positive(one, two, False)
    return Positive(two, one, False)


def _ranks(one: str, two: str) -> tuple[int, int]:
    """1 for a class that says yes, -1 for one that says no, else 0; what both classes say is left out."""
    both = [_words(one), _words(two)]
    denied = _denied(*both)
    if denied is not None:
        return denied
    first, second = strip_common(both)
    shared = set(both[0]) & set(both[1])
    if shared & _REPAIR and {tuple(first), tuple(second)} == {("d",), ("p",)}:
        return (1, -1) if first == ["d"] else (-1, 1)
    return _rank(first), _rank(second)


def _denied(one: list[str], two: list[str]) -> tuple[int, int] | None:
    """Ranks of X and non-X; a class that says no does not become the positive one by being denied."""
    for mine, other, turned in ((one, two, False), (two, one, True)):
        longer, shorter = "".join(mine), "".join(other)
        head = longer.removesuffix(shorter)
        if longer != shorter and shorter and longer.endswith(shorter) and head in _DENY:
            ranks = (1, -1) if _rank(other) < 0 else (-1, 1)
            return ranks[::-1] if turned else ranks
    return None


def _rank(words: list[str]) -> int:
    # A letter is a word only where it stands alone: N+ and N0 are nodes.
    says = [_says(word) if len(word) > 1 or len(words) == 1 else 0 for word in words]
    yes, no = 1 in says, -1 in says
    if any(word in _DENY for word in words):
        return 1 if no and not yes and any(_says(word) < 0 for word in words if word not in _DENY) else -1
    return int(yes) - int(no)


def _says(word: str) -> int:
    if word in _POSITIVE or word in _NEGATIVE:
        return 1 if word in _POSITIVE else -1
    for head in ("non", "not", "un"):
        rest = word.removeprefix(head)
        if rest != word and rest in _POSITIVE | _NEGATIVE:
            return -1 if rest in _POSITIVE else 1
    for tail, value in _TAILS.items():
        if word.endswith(tail):
            return value
    return -1 if word.endswith("free") and word.removesuffix("free") in _POSITIVE else 0


def _words(name: str) -> list[str]:
    """Words in lower case, a + or - behind or as a word turned into positive or negative.

    Example:
        >>> _words("HER2 (+)"), _words("ER-"), _words("wild-type"), _words("MSI-H")
        (['her2', 'positive'], ['er', 'negative'], ['wildtype'], ['msih'])
    """
    text = unicodedata.normalize("NFKC", name).lower()
    text = re.sub("[‐‑‒–—−]", "-", text)
    text = re.sub(r"\bwild[\s_-]*type\b|\bwildtyp\b", "wildtype", text)
    text = re.sub(r"\btriple[\s_-]*negative\b", "tnbc", text)
    text = re.sub(r"\b(?:poor|bad)[\s_-]+respon\w*", "nonresponder", text)
    text = re.sub(r"\b(?:good|major)[\s_-]+respon\w*", "responder", text)
    text = re.sub(r"\bmsi[\s_-]*(?:h|high)\b", "msih", text)
    text = re.sub(r"\bmsi[\s_-]*(?:l|low)\b", "msil", text)
    text = re.sub(r"\(?\+(?:ve\b)?\)?(?=$|[\s/,;_)])", " positive ", text)
    text = re.sub(r"(?:(?<=^)|(?<=[\w\s(]))\(?-(?:ve\b)?\)?(?=$|[\s/,;_)])", " negative ", text)
    return re.findall(r"[^\W_]+", text)
