"""Splits: whole patients, equal sizes, balance, reproducibility, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.stages.train.splitting.splits import given_parts, split_parts

GRADE = Task("grade", "multiclass", ("grade",), ("a", "b", "c"))
SCORE = Task("score", "regression", ("score",))
OS = Task("os", "survival", ("time", "event"))


def make_cohort(count: int, seed: int, *, missing: float = 0.0, sites: int = 3) -> Cohort:
    rng = np.random.default_rng(seed)
    patients = []
    for number in range(count):
        targets: dict[str, float | tuple[float, float]] = {
            "grade": float(rng.choice(3, p=[0.2, 0.3, 0.5])),
            "score": float(rng.normal()),
            "os": (float(rng.exponential(10)), float(rng.random() < 0.5)),
        }
        kept = {name: value for name, value in targets.items() if rng.random() >= missing}
        site = f"site{rng.integers(sites)}"
        patients.append(Patient(f"P{number:04d}", (f"s{number}a", f"s{number}b"), site, kept))
    return Cohort((GRADE, SCORE, OS), tuple(patients))


def counts(cohort: Cohort, split: dict[str, int], parts: int, has) -> np.ndarray:
    found = np.zeros(parts)
    for patient in cohort.patients:
        found[split[patient.patient_id]] += has(patient)
    return found


@settings(max_examples=30, deadline=None)
@given(count=st.integers(40, 150), parts=st.integers(3, 6), seed=st.integers(0, 10**6))
def test_every_patient_is_in_one_part_and_sizes_differ_by_at_most_one(count, parts, seed):
    cohort = make_cohort(count, seed, missing=0.1)
    split = split_parts(cohort, parts, seed)
    assert sorted(split) == [patient.patient_id for patient in cohort.patients]
    sizes = np.bincount(list(split.values()), minlength=parts)
    assert len(sizes) == parts
    assert sizes.max() - sizes.min() <= 1


@settings(max_examples=30, deadline=None)
@given(count=st.integers(40, 200), seed=st.integers(0, 10**6))
def test_classes_events_quarters_and_sites_are_spread_evenly(count, seed):
    cohort = make_cohort(count, seed)
    split = split_parts(cohort, 4, seed)
    quarter = np.quantile(cohort.targets(SCORE), 0.25)
    groups = [lambda p, c=c: p.targets["grade"] == c for c in range(3)]
    groups += [lambda p, s=s: p.site == f"site{s}" for s in range(3)]
    groups += [lambda p: p.targets["os"][1] == 1, lambda p: p.targets["score"] <= quarter]
    for has in groups:
        found = counts(cohort, split, 4, has)
        assert np.abs(found - found.mean()).max() <= 2, found


def test_split_is_more_even_than_chance():
    errors = {"split": [], "chance": []}
    for seed in range(20):
        cohort = make_cohort(80, seed)
        shuffled = np.random.default_rng(seed).permutation(np.arange(80) % 4)
        chance = {p.patient_id: int(k) for p, k in zip(cohort.patients, shuffled, strict=True)}
        for name, split in (("split", split_parts(cohort, 4, seed)), ("chance", chance)):
            for number in range(3):
                found = counts(cohort, split, 4, lambda p, c=number: p.targets["grade"] == c)
                errors[name].append(np.abs(found - found.mean()).max())
    assert np.mean(errors["split"]) < 0.4 * np.mean(errors["chance"])
    assert np.max(errors["split"]) <= 1


def test_late_and_early_events_are_spread_separately():
    patients = tuple(
        Patient(f"P{i}", (f"s{i}",), targets={"os": (float(i), float(i % 2))}) for i in range(40)
    )
    cohort = Cohort((OS,), patients)
    split = split_parts(cohort, 4, 3)
    found = counts(cohort, split, 4, lambda p: p.targets["os"][0] > 19.5 and p.targets["os"][1] == 1)
    assert found.max() - found.min() <= 1  # 10 late events over 4 parts


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.randoms(use_true_random=False))
def test_split_does_not_depend_on_the_order_of_the_patients(seed, order):
    cohort = make_cohort(50, seed)
    patients = list(cohort.patients)
    order.shuffle(patients)
    assert split_parts(Cohort(cohort.tasks, tuple(patients)), 4, seed) == split_parts(cohort, 4, seed)


def test_seed_decides_and_reproduces():
    cohort = make_cohort(60, 1)
    assert split_parts(cohort, 4, 5) == split_parts(cohort, 4, 5)
    assert split_parts(cohort, 4, 5) != split_parts(cohort, 4, 6)


def test_rare_class_reaches_every_training_set():
    patients = tuple(Patient(f"P{i:02d}", (f"s{i}",), targets={"grade": float(i < 3)}) for i in range(40))
    task = Task("grade", "binary", ("grade",), ("no", "yes"))
    split = split_parts(Cohort((task,), patients), 4, 0)
    assert len({split[f"P{i:02d}"] for i in range(3)}) == 3


def test_too_rare_class_is_refused_by_name():
    patients = tuple(Patient(f"P{i:02d}", (f"s{i}",), targets={"grade": float(i < 2)}) for i in range(40))
    task = Task("grade", "binary", ("grade",), ("no", "yes"))
    with pytest.raises(CohortError, match="'yes' 2"):
        split_parts(Cohort((task,), patients), 4, 0)


def test_no_events_left_is_refused():
    patients = tuple(Patient(f"P{i}", (f"s{i}",), targets={"os": (i + 1.0, float(i < 1))}) for i in range(12))
    with pytest.raises(CohortError, match="no event is left; there are 1 events"):
        split_parts(Cohort((OS,), patients), 4, 0)


def test_constant_regression_is_refused():
    patients = tuple(Patient(f"P{i}", (f"s{i}",), targets={"score": 1.0}) for i in range(12))
    with pytest.raises(CohortError, match="score"):
        split_parts(Cohort((SCORE,), patients), 4, 0)


def test_fewer_patients_than_folds_is_refused():
    with pytest.raises(CohortError, match="Fewer patients than folds: 3"):
        split_parts(make_cohort(3, 0), 4, 0)


def with_folds(cohort: Cohort, folds: dict[str, int]) -> Cohort:
    return Cohort(cohort.tasks, cohort.patients, folds=folds)


def test_given_split_is_used_as_it_is():
    cohort = make_cohort(60, 2)
    folds = {patient.patient_id: i % 4 for i, patient in enumerate(cohort.patients)}
    assert given_parts(with_folds(cohort, folds), 4) == folds


@pytest.mark.parametrize("parts", [3, 5])
def test_given_split_with_another_number_of_parts_is_refused(parts):
    cohort = make_cohort(60, 2)
    folds = {patient.patient_id: i % 4 for i, patient in enumerate(cohort.patients)}
    with pytest.raises(CohortError, match="Ask for 4 folds"):
        given_parts(with_folds(cohort, folds), parts)


def test_given_split_with_a_gap_or_a_missing_patient_is_refused():
    cohort = make_cohort(60, 2)
    gap = {patient.patient_id: (i % 4) * 2 for i, patient in enumerate(cohort.patients)}
    with pytest.raises(CohortError, match="Complete the fold column"):
        given_parts(with_folds(cohort, gap), 4)
    short = {patient.patient_id: i % 4 for i, patient in enumerate(cohort.patients[1:])}
    with pytest.raises(CohortError, match="have no part: P0000"):
        given_parts(with_folds(cohort, short), 4)


def test_targets_are_nan_where_missing():
    patients = (
        Patient("A", ("a",), targets={"grade": 2.0}),
        Patient("B", ("b",), targets={"os": (3.0, 1.0)}),
    )
    cohort = Cohort((GRADE, OS), patients)
    np.testing.assert_array_equal(cohort.targets(GRADE), [2, np.nan])
    np.testing.assert_array_equal(cohort.targets(OS), [[np.nan, np.nan], [3, 1]])
    np.testing.assert_array_equal(cohort.targets(OS, patients[1:]), [[3, 1]])
