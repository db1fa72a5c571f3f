"""Splits by site: whole sites, even parts, and what is refused."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.stages.train.splitting.site_splits import split_by_site

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))


def make_cohort(sites: list[str], seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    patients = [
        Patient(f"P{i:03}", (f"s{i}",), site, {"msi": float(rng.random() < 0.5)})
        for i, site in enumerate(sites)
    ]
    return Cohort((MSI,), tuple(patients))


def unevenness(cohort: Cohort, split: dict[str, int], parts: int) -> float:
    total = 0.0
    for chosen in (lambda p: True, lambda p: p.targets["msi"] == 0, lambda p: p.targets["msi"] == 1):
        held = np.zeros(parts)
        for patient in cohort.patients:
            held[split[patient.patient_id]] += chosen(patient)
        total += ((held - held.sum() / parts) ** 2).sum() / held.sum()
    return total


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(60, 200), sites=st.integers(8, 30), parts=st.integers(3, 5), seed=st.integers(0, 10**6)
)
def test_a_site_is_in_one_part_and_every_part_is_used(count, sites, parts, seed):
    rng = np.random.default_rng(seed)
    cohort = make_cohort([f"h{k}" for k in rng.integers(sites, size=count)], seed)
    split = split_by_site(cohort, parts, seed)
    assert len({(p.site, split[p.patient_id]) for p in cohort.patients}) == len(
        {p.site for p in cohort.patients}
    )
    assert set(split.values()) == set(range(parts))
    assert split == split_by_site(Cohort(cohort.tasks, cohort.patients[::-1]), parts, seed)


def test_no_split_of_few_sites_is_more_even():
    rng = np.random.default_rng(3)
    cohort = make_cohort([f"h{k}" for k in rng.choice(7, size=90, p=[0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.05])])
    split = split_by_site(cohort, 3, 0)
    names = sorted({p.site for p in cohort.patients})
    best = min(
        unevenness(cohort, {p.patient_id: choice[names.index(p.site)] for p in cohort.patients}, 3)
        for choice in product(range(3), repeat=7)
        if len(set(choice)) == 3
    )
    assert unevenness(cohort, split, 3) == pytest.approx(best)


def test_sites_that_share_a_patient_stay_together():
    cohort = make_cohort(["A", "B", "C", "D", "A+B", "E"] * 6)
    split = split_by_site(cohort, 3, 0)
    assert len({split[p.patient_id] for p in cohort.patients if p.site in ("A", "B", "A+B")}) == 1


def test_fewer_sites_than_folds_are_refused():
    with pytest.raises(CohortError, match="There are 3 sites: A, B, C"):
        split_by_site(make_cohort(["A", "B", "C"] * 8), 4, 0)


def test_patients_without_site_are_named():
    with pytest.raises(CohortError, match="no site: P001, P003"):
        split_by_site(make_cohort(["A", "", "C", "", "B"] * 1), 3, 0)
