"""The order of classes: known words, signs, numbers and ranges; what contradicts itself or says nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.data.classes.orders import known_order, order_classes

ORDERED = [
    ("1", "2", "10"),
    ("-1", "0.5", "3"),
    ("0,5", "1,5"),
    ("G1", "G2", "G3", "G10"),
    ("grade 1", "Grade 2"),
    ("low", "medium", "high"),
    ("Mild", "Moderate", "Severe"),
    ("none", "low", "intermediate", "high", "very high"),
    ("negative", "weak", "moderate", "strong"),
    ("none", "few", "some", "many"),
    ("never", "former", "current"),
    ("early", "middle", "late"),
    ("absent", "focal", "diffuse"),
    ("normal", "adenoma", "carcinoma"),
    ("benign", "borderline", "malignant"),
    ("low", "int-1", "int-2", "high"),
    ("Low risk", "Intermediate risk", "High risk"),
    ("low/intermediate", "high"),
    ("well differentiated", "moderately differentiated", "poorly differentiated"),
    ("poor", "fair", "good"),
    ("MSS", "MSI-L", "MSI-H"),
    ("wild type", "heterozygous", "homozygous"),
    ("keine", "wenig", "viele"),
    ("L", "M", "H"),
    ("S", "M", "L"),
    ("I", "II", "III", "IV"),
    ("Stage 0", "Stage I", "Stage IA", "Stage IB", "Stage II", "Stage IIIC", "Stage IV"),
    ("Tis", "T1", "T2", "T4d"),
    ("Ta", "Tis", "T1", "T2a", "T2b"),
    ("pT1", "pT1a", "pT2"),
    ("N0", "N1mi", "N1", "N2a"),
    ("IA1", "IA2", "IB1", "IIIC2"),
    ("I-II", "III-IV"),
    ("T1/T2", "T3/T4"),
    ("PD", "SD", "PR", "CR"),
    ("progressive disease", "stable disease", "partial response", "complete response"),
    ("0", "1+", "2+", "3+"),
    ("-", "+", "++", "+++"),
    ("3+3", "3+4", "4+3", "4+4"),
    ("<10 %", "10-50%", ">50%"),
    ("<1%", "1-49%", ">=50%"),
    ("≤5", "6–10", ">10"),
    ("0%", "1-10%", ">10%"),
    ("none", "<10%", ">=10%"),
    ("0", "1-3", "4+"),
    ("under 50", "50 to 70", "over 70"),
    ("<2 cm", "2-5 cm", ">5 cm"),
    ("1,000-2,000", "2,001-10,000"),
    ("PD-L1 <1%", "PD-L1 1-49%", "PD-L1 >=50%"),
    ("TPS<1%", "TPS 1-49%", "TPS>=50%"),
    ("G1 (well)", "G2 (moderate)", "G3 (poor)"),
    ("1: low", "2: high"),
    ("<20 ng/ml", "20-100 ng/ml", ">100 ng/ml"),
    ("Progressive Disease", "Stable Disease", "Partial Remission/Response", "Complete Remission/Response"),
    ("none", "rare", "moderate", "abundant"),
    ("normal", "overweight", "obese"),
    ("score 0", "score 1+", "score 3+"),
    ("Grade 1-2", "Grade 3-4"),
    ("Child-Pugh A", "Child-Pugh B", "Child-Pugh C"),
    ("A", "b", "C"),
]


@pytest.mark.parametrize("ordered", ORDERED)
def test_order_of_classes(ordered: tuple[str, ...]) -> None:
    for names in (ordered, ordered[::-1], sorted(ordered)):
        found = known_order(names)
        assert found is not None and found.classes == ordered
    assert order_classes(set(ordered)) == ordered


@pytest.mark.parametrize(
    "names",
    [
        ("red", "green", "blue"),
        ("luminal A", "luminal B", "basal"),
        ("low", "high", "UNK"),
        ("T1", "T2", "TX"),
        ("T1", "N1"),
        ("PD", "SD", "PR", "CR", "NE"),
        ("0-10", "5-20"),
        ("0 - 5", "0 - 9"),
        ("under 5 cm", "under 9 cm"),
        ("<2 cm", "20-50 mm"),
        ("1: high", "2: low"),
        ("1 (high)", "2 (low)"),
        ("good", "intermediate", "poor"),
        ("moderate", "poor"),
        ("M", "L"),
        ("low", "weak"),
        ("II", "2"),
        ("3+5", "4+4"),
        ("1-Sep", "5-Oct"),
        ("a" * 5000, "b" * 5000),
    ],
)
def test_what_is_not_certain_is_said(names: tuple[str, ...]) -> None:
    """Words without an order, two of one level, overlapping ranges, halves or scales that disagree."""
    assert known_order(names) is None


def test_the_direction_of_response_is_told() -> None:
    found = known_order(["CR", "PD"])
    assert found is not None and found.why == "best response highest"


def test_clusters_are_counted_but_not_directed() -> None:
    for names, directed in ((("cluster 1", "cluster 2"), False), (("stage 1", "stage 2"), True)):
        found = known_order(names)
        assert found is not None and found.directed == directed


@given(st.lists(st.text(), unique=True))
def test_any_names_can_be_ordered_the_same_way_twice(names: list[str]) -> None:
    assert order_classes(names) == order_classes(names[::-1])
    assert sorted(order_classes(names)) == sorted(names)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6, unique=True), st.sampled_from(["", "%", " cm"]))
def test_ranges_that_follow_each_other_are_ordered_by_their_ends(cuts: list[int], unit: str) -> None:
    cuts.sort()
    between = [f"{a}-{b}{unit}" for a, b in pairwise(cuts)]
    ordered = (f"<{cuts[0]}{unit}", *between, f">{cuts[-1]}{unit}")
    assert order_classes(sorted(ordered)) == ordered
