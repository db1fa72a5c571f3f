"""The rotation: every patient tested once, validated once, and never in two roles."""

from __future__ import annotations

import pytest

from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.stages.train.splitting.folds import inner_folds, make_folds, rotate

SCORE = Task("score", "regression", ("s",))
OS = Task("os", "survival", ("t", "e"))


def people(n: int = 12) -> tuple[Patient, ...]:
    return tuple(Patient(f"P{i:02d}", (f"s{i}",), targets={"score": float(i)}) for i in range(n))


@pytest.mark.parametrize("parts", [3, 4, 5])
def test_roles_rotate(parts: int) -> None:
    cohort = Cohort((SCORE,), people())
    split = {patient.patient_id: i % parts for i, patient in enumerate(cohort.patients)}
    folds = rotate(cohort, split, parts)
    for fold in folds:
        everyone = [*fold.train, *fold.validation, *fold.test]
        assert sorted(patient.patient_id for patient in everyone) == [p.patient_id for p in people()]
        assert {split[p.patient_id] for p in fold.test} == {fold.number}
        assert {split[p.patient_id] for p in fold.validation} == {(fold.number + 1) % parts}
    assert sorted(p.patient_id for fold in folds for p in fold.test) == [p.patient_id for p in people()]


def test_a_part_that_can_judge_nothing_is_refused() -> None:
    outcomes = [
        (5.0, 1.0),
        (6.0, 1.0),
        (7.0, 0.0),
        (4.0, 0.0),
        (9.0, 0.0),
        (8.0, 0.0),
        (3.0, 1.0),
        (4.0, 0.0),
    ]
    patients = tuple(Patient(f"P{i}", (f"s{i}",), targets={"os": out}) for i, out in enumerate(outcomes))
    split = {f"P{i}": i // 3 for i in range(8)}
    with pytest.raises(CohortError, match="Validate fold 1"):
        rotate(Cohort((OS,), patients), split, 3)


def with_roles(count: int, roles: str) -> Cohort:
    patients = people(count)
    return Cohort(
        (SCORE,), patients, roles={p.patient_id: r for p, r in zip(patients, roles.split(), strict=True)}
    )


def ids(patients: tuple[Patient, ...]) -> set[str]:
    return {patient.patient_id for patient in patients}


def test_repeats_split_anew_and_the_first_is_that_of_a_single_run() -> None:
    cohort = Cohort((SCORE,), people(24))
    made, folds = make_folds(cohort, "auto", folds=3, repeats=3, seed=5)
    assert made == "random"
    assert [(fold.repeat, fold.number) for fold in folds] == [(r, n) for r in range(3) for n in range(3)]
    assert folds[:3] == make_folds(cohort, "random", folds=3, repeats=1, seed=5)[1]
    parts = [{frozenset(ids(fold.test)) for fold in folds if fold.repeat == r} for r in range(3)]
    assert parts[0] != parts[1] != parts[2]


def test_a_fixed_split_is_one_fold_with_validation_from_training() -> None:
    cohort = with_roles(15, "train " * 10 + "test " * 5)
    made, folds = make_folds(cohort, "auto", folds=4, repeats=2, seed=0)
    assert made == "fixed" and [fold.repeat for fold in folds] == [0, 1]
    for fold in folds:
        assert ids(fold.test) == {f"P{i}" for i in range(10, 15)}
        assert len(fold.validation) == 2 and ids(fold.train) | ids(fold.validation) == {
            f"P{i:02d}" for i in range(10)
        }
    given = with_roles(8, "train train train train val val test test")
    assert ids(make_folds(given, "table", folds=4, repeats=1, seed=0)[1][0].validation) == {"P04", "P05"}


def test_the_tables_own_split_can_be_set_aside_or_demanded() -> None:
    cohort = with_roles(15, "train " * 10 + "test " * 5)
    assert make_folds(cohort, "random", folds=3, repeats=1, seed=0)[0] == "random"
    with pytest.raises(CohortError, match="no column 'fold' with parts and no column 'split'"):
        make_folds(Cohort((SCORE,), people()), "table", folds=3, repeats=1, seed=0)
    with pytest.raises(CohortError, match="is in test"):
        make_folds(with_roles(6, "train train train train val val"), "table", folds=3, repeats=1, seed=0)
    parts = {patient.patient_id: i % 3 for i, patient in enumerate(people())}
    given = Cohort((SCORE,), people(), folds=parts)
    assert make_folds(given, "auto", folds=3, repeats=1, seed=0)[0] == "given parts"
    with pytest.raises(CohortError, match="gives one split"):
        make_folds(given, "auto", folds=3, repeats=2, seed=0)


def with_turns(*turns: str) -> Cohort:
    patients = people(len(turns[0]))
    word = {"r": "train", "v": "val", "t": "test"}
    return Cohort(
        (SCORE,),
        patients,
        turns=tuple(
            {p.patient_id: word[role] for p, role in zip(patients, turn, strict=True) if role in word}
            for turn in turns
        ),
    )


def test_the_tables_own_folds_are_honoured_exactly() -> None:
    given = ("ttvvrrrr--", "rrttvvrr--", "vvrr-rttrr")
    made, folds = make_folds(with_turns(*given), "auto", folds=4, repeats=1, seed=0)
    assert made == "given folds" and [fold.number for fold in folds] == [0, 1, 2]
    for fold, turn in zip(folds, given, strict=True):
        for role, letter in ((fold.train, "r"), (fold.validation, "v"), (fold.test, "t")):
            assert ids(role) == {f"P{i:02d}" for i, each in enumerate(turn) if each == letter}
        for inner in inner_folds(with_turns(*given), fold, 3, made, seed=1):
            assert ids(inner.train) | ids(inner.validation) == ids(fold.train) | ids(fold.validation)
    without = with_turns("ttrrrrrrrr", "rrttrrrrrr")
    for fold in make_folds(without, "table", folds=4, repeats=1, seed=0)[1]:
        assert len(fold.test) == 2 and len(fold.validation) == 2 and len(fold.train) == 6


def test_folds_that_test_a_patient_twice_are_refused_with_the_way_out() -> None:
    monte_carlo = with_turns("ttvvrrrrrr", "vvrtrrrrrt", "rtrrvvrrrr")
    with pytest.raises(CohortError, match=r"1 of 4 tested patients are tested in several") as caught:
        make_folds(monte_carlo, "auto", folds=4, repeats=1, seed=0)
    assert "--columns split=COLUMN" in caught.value.todo
    with pytest.raises(CohortError, match="gives one split"):
        make_folds(with_turns("ttvvrr", "vvttrr"), "auto", folds=4, repeats=2, seed=0)
    assert make_folds(monte_carlo, "random", folds=3, repeats=1, seed=0)[0] == "random"


def test_sites_stay_whole_in_outer_and_inner_folds() -> None:
    patients = tuple(
        Patient(f"P{i:02d}", (f"s{i}",), "ABCDEF"[i % 6], {"score": float(i)}) for i in range(36)
    )
    cohort = Cohort((SCORE,), patients)
    made, folds = make_folds(cohort, "site", folds=3, repeats=1, seed=0)
    for fold in folds:
        for group in (fold, *inner_folds(cohort, fold, 2, made, seed=1)):
            sites = [{p.site for p in role} for role in (group.train, group.validation, fold.test)]
            assert not sites[0] & sites[1] and not (sites[0] | sites[1]) & sites[2]


def of_sites(*sizes: int) -> Cohort:
    names = [f"h{k}" for k, size in enumerate(sizes) for _ in range(size)]
    return Cohort(
        (SCORE,),
        tuple(Patient(f"P{i:03d}", (f"s{i}",), site, {"score": i % 7}) for i, site in enumerate(names)),
    )


@pytest.mark.parametrize(
    ("sizes", "folds", "told"),
    [
        ((30, *[1] * 10), 4, "part 1 with 30 patients (h0 30)|histonic external"),
        ((60, 15, 15, 10), 4, "(h0 60)|histonic external"),
        ((50, 49, 48, 2), 4, "(h3 2)|--folds 3"),
        ((30, 30, 28, *[1] * 8), 11, "(h1 30)|--folds 5"),
    ],
)
def test_parts_by_site_that_cannot_be_comparable_are_refused_with_their_table(sizes, folds, told) -> None:
    with pytest.raises(CohortError, match="Split the patients by site") as caught:
        make_folds(of_sites(*sizes), "site", folds=folds, repeats=1, seed=0)
    for words in told.split("|"):
        assert words in caught.value.found + caught.value.todo


def test_small_sites_are_grouped_into_parts_as_large_as_the_largest() -> None:
    _, folds = make_folds(of_sites(10, *[1] * 30), "site", folds=4, repeats=1, seed=0)
    assert [len(fold.test) for fold in folds] == [10] * 4
    _, folds = make_folds(of_sites(20, 10, 5, 5, 3, 3, 2, 1, 1), "site", folds=4, repeats=1, seed=0)
    assert sorted(len(fold.test) for fold in folds) == [10, 10, 10, 20]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_inner_folds_never_hold_the_outer_test_patients(count: int) -> None:
    cohort = Cohort((SCORE,), people(24))
    made, folds = make_folds(cohort, "random", folds=3, repeats=1, seed=0)
    inner = inner_folds(cohort, folds[1], count, made, seed=3)
    assert len(inner) == count
    for each in inner:
        assert not ids(folds[1].test) & (ids(each.train) | ids(each.validation))
        assert not ids(each.train) & ids(each.validation)
    if count > 1:
        validated = [name for each in inner for name in sorted(ids(each.validation))]
        assert sorted(validated) == sorted(ids(folds[1].train) | ids(folds[1].validation))


def test_a_fixed_split_that_teaches_nothing_is_refused() -> None:
    patients = tuple(
        Patient(f"P{i}", (f"s{i}",), targets={"score": 1.0 if i < 4 else float(i)}) for i in range(8)
    )
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    roles = {patient.patient_id: part for patient, part in zip(patients, parts, strict=True)}
    with pytest.raises(CohortError, match="'score' has no event, or one value only, in 4 training"):
        make_folds(Cohort((SCORE,), patients, roles=roles), "table", folds=3, repeats=1, seed=0)


def test_few_sites_cannot_be_divided_anew() -> None:
    patients = tuple(Patient(f"P{i:02d}", (f"s{i}",), "ABC"[i % 3], {"score": float(i)}) for i in range(36))
    with pytest.raises(CohortError, match="gave 1 different division"):
        make_folds(Cohort((SCORE,), patients), "site", folds=3, repeats=2, seed=0)


def test_an_inner_rotation_needs_no_part_to_spare() -> None:
    """Three positive patients of 30 do for inner folds that leave out one part each."""
    task = Task("msi", "binary", ("m",), ("no", "yes"))
    patients = tuple(Patient(f"P{i:02d}", (f"s{i}",), targets={"msi": float(i < 3)}) for i in range(30))
    cohort = Cohort((task,), patients)
    fold = Fold(0, patients[:20], patients[20:25], patients[25:])
    assert len(inner_folds(cohort, fold, 3, "random", seed=0)) == 3
