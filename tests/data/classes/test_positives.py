"""The positive one of two classes: words and signs that say yes or no, and what says neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.classes.positives import order_binary, positive_class

CERTAIN = [
    ("0", "1"),
    ("No", "Yes"),
    ("False", "True"),
    ("-", "+"),
    ("normal", "tumor"),
    ("tumour free", "tumour"),
    ("alive", "dead"),
    ("DiseaseFree", "Recurred"),
    ("non_mitosis", "mitosis"),
    ("zebra", "positive"),
    ("negative", "ambiguous"),
    ("HER2-", "HER2+"),
    ("ER (−)", "ER (+)"),
    ("ER negative", "ER positive"),
    ("receptor-negative", "receptor-positive"),
    ("N0", "N+"),
    ("N0", "N1"),
    ("HER2 0", "HER2 1+"),
    ("pMMR", "dMMR"),
    ("MMR-P", "MMR-D"),
    ("proficient", "deficient"),
    ("HRP", "HRD"),
    ("retained", "lost"),
    ("wild-type", "mutated"),
    ("BRCA1 wt", "BRCA1 mut"),
    ("IDHwt", "IDHmut"),
    ("PIK3CA_WT", "PIK3CA_MUT"),
    ("WT", "V600E"),
    ("MSS", "MSI-H"),
    ("MSI-L/MSS", "MSI-H"),
    ("nonMSIH", "MSIH"),
    ("stable", "unstable"),
    ("unmethylated", "methylated"),
    ("not amplified", "amplified"),
    ("1p/19q intact", "1p/19q codeleted"),
    ("non-responder", "responder"),
    ("NR", "R"),
    ("SD/PD", "CR/PR"),
    ("poor response", "good response"),
    ("favorable", "unfavorable"),
    ("survivor", "non-survivor"),
    ("pMMR/MSS", "dMMR/MSI-H"),
    ("ER-/PR-", "ER+/PR+"),
    ("EGFR-ve", "EGFR+ve"),
    ("never", "ever"),
    ("non-TNBC", "TNBC"),
    ("low", "high"),
    ("none", "severe"),
    ("G1", "G3"),
    ("I-II", "III-IV"),
    ("<1%", ">=1%"),
]


@pytest.mark.parametrize(("negative", "positive"), CERTAIN)
def test_positive_class_is_second(negative: str, positive: str) -> None:
    assert order_binary({positive, negative}) == (negative, positive)
    assert order_binary([negative, positive]) == (negative, positive)
    assert positive_class([positive, negative]).certain


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        ("A", "B"),
        ("female", "male"),
        ("F", "M"),
        ("1", "2"),
        ("cluster 1", "cluster 2"),
        ("basal", "luminal"),
        ("sensitive", "resistant"),
        ("ER+/HER2-", "ER-/HER2+"),
    ],
)
def test_what_says_neither_is_not_certain(other: str, taken: str) -> None:
    found = positive_class([taken, other])
    assert (found.other, found.name, found.certain) == (other, taken, False)


@pytest.mark.parametrize(
    "word", ["wildtype", "wild type", "WT", "proficient", "pMMR", "negative", "ER-", "alive"]
)
@pytest.mark.parametrize("other", ["zebra", "A", "something else", "3", "p.V600E"])
def test_a_word_that_says_no_is_never_the_positive_class(word: str, other: str) -> None:
    assert positive_class([word, other]).name == other
    assert positive_class([word, f"not {word}"]).name == f"not {word}"


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_any_two_names_have_one_positive_class(names: list[str]) -> None:
    assert order_binary(names) == order_binary(names[::-1])
    assert sorted(order_binary(names)) == sorted(names)
