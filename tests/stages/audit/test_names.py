"""When two identifiers are one patient."""

from __future__ import annotations

import pytest

from histonic.stages.audit.names import is_worldwide, patient_key, same_patients


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TCGA-3C-AALI", "tcga-3c-aali"),
        ("TCGA-3C-AALI", "TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF.svs"),
        ("TCGA.3C.AALI", "TCGA-3C-AALI"),
        ("Patient 7", " patient_7 "),
        ("12", "12.0"),
        ("P 001", "P-001"),
    ],
)
def test_writing_habits_do_not_count(one, other):
    assert patient_key(one) == patient_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "01"), ("P1", "P11"), ("TCGA-3C-AALI", "TCGA-3C-AALJ"), ("7a", "7b"), ("1.2", "12")],
)
def test_different_patients_stay_different(one, other):
    assert patient_key(one) != patient_key(other)


def test_groups_and_pairs():
    assert same_patients(["b", "a", "A", "c"]) == [("A", "a")]
    assert same_patients(["x", "y"], ["Y", "z"]) == [("y", "Y")]
    assert same_patients(["x", "x"]) == []
    assert is_worldwide("tcga-3c-aali-01") and not is_worldwide("12")
