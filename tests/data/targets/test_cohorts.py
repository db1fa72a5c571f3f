"""Labels joined with maps: who is used, who is left out and why, and real follow-up tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.core.cohort import Cohort, Exclusion
from histonic.core.errors import CohortError, TableError
from histonic.core.task import parse_target
from histonic.data.tables.styles import NO_SPLIT
from histonic.data.targets.cohorts import build_cohort, check_labels, read_labels
from histonic.stages.train.splitting.splits import split_parts


def cohort_of(folder: Path, text: str, targets: list[str], slides: list[str], **options: str) -> Cohort:
    (folder / "labels.csv").write_text(text)
    table = read_labels(folder / "labels.csv")
    return build_cohort(table, [parse_target(target) for target in targets], slides, **options)


TEXT = """patient_id,slide_id,site,grade,ki67,os_time,os_event
0012,a1.svs,north,low,1.5,10,1
0012,a2.svs,south,,1.5,,
0007,b.svs,north,high,,5,0
C,c.svs,,NA,3,NA,1
D,d.svs,,,,,
E,e.svs,,low,2,1,1
"""


def test_patients_slides_targets_and_exclusions(tmp_path):
    targets = ["grade:ordinal", "ki67:regression", "os"]
    cohort = cohort_of(tmp_path, TEXT, targets, ["a1", "a2", "b", "c", "d", "stray"])
    assert [patient.patient_id for patient in cohort.patients] == ["0007", "0012", "C"]
    first, second, third = cohort.patients
    assert second.slide_ids == ("a1", "a2")
    assert (first.site, second.site, third.site) == ("north", "north+south", "")
    assert first.targets == {"grade": 1.0, "os": (5.0, 0.0)}
    assert second.targets == {"grade": 0.0, "ki67": 1.5, "os": (10.0, 1.0)}
    assert third.targets == {"ki67": 3.0}
    assert cohort.tasks[0].classes == ("low", "high")
    assert cohort.tasks[2].columns == ("os_time", "os_event")
    assert cohort.exclusions == (
        Exclusion("patient", "D", "every target is missing"),
        Exclusion("patient", "E", "the store holds no map of e"),
        Exclusion("slide", "stray", "no row of the label table names it"),
    )


def test_named_slide_without_a_map_of_a_used_patient_is_listed(tmp_path):
    text = "patient_id,slide_id,y\nA,a1,0\nA,a2,0\nB,b,1\n"
    cohort = cohort_of(tmp_path, text, ["y"], ["a1", "b"])
    assert cohort.exclusions == (Exclusion("slide", "a2", "the store holds no map of it (patient A)"),)


def test_order_of_rows_and_slides_does_not_matter(tmp_path):
    lines = TEXT.splitlines()
    shuffled = "\n".join([lines[0], *lines[:0:-1]]) + "\n"
    targets, slides = ["grade:ordinal", "os"], ["a1", "a2", "b", "c"]
    assert cohort_of(tmp_path, TEXT, targets, slides) == cohort_of(tmp_path, shuffled, targets, slides[::-1])


def test_store_name_with_ome_left_on_it_is_found(tmp_path):
    cohort = cohort_of(tmp_path, "patient_id,slide_id,y\nA,a.ome.tif,0\nB,b,1\n", ["y"], ["a.ome", "b"])
    assert cohort.patients[0].slide_ids == ("a.ome",)


def test_slides_are_matched_by_patient_where_none_is_named(tmp_path):
    text = "patient_id,y\nTCGA-1,0\nTCGA-2,1\n3,1\n"
    cohort = cohort_of(tmp_path, text, ["y"], ["TCGA-1-DX1", "TCGA-1-DX2", "TCGA-2", "30"])
    assert [patient.slide_ids for patient in cohort.patients] == [("TCGA-1-DX1", "TCGA-1-DX2"), ("TCGA-2",)]
    assert [exclusion.name for exclusion in cohort.exclusions] == ["3", "30"]


def test_slide_that_two_patients_could_own_is_refused(tmp_path):
    with pytest.raises(TableError, match="P1, P1-2"):
        cohort_of(tmp_path, "patient_id,y\nP1,0\nP1-2,1\n", ["y"], ["P1-2-DX"])


def test_classes_are_those_of_the_patients_with_maps(tmp_path):
    text = "patient_id,slide_id,y\nA,a,x\nB,b,y\nC,c,z\nD,d,w\n"
    cohort = cohort_of(tmp_path, text, ["y"], ["a", "b", "c"])
    assert (cohort.tasks[0].kind, cohort.tasks[0].classes) == ("multiclass", ("x", "y", "z"))


@pytest.mark.parametrize(
    ("text", "target", "word"),
    [
        ("patient_id,slide_id,y\nA,a,1\nB,b,1\n", "y", "All 2 patients with a map are 1"),
        ("patient_id,slide_id,y\nA,a,x\nB,b,x\nC,c,z\n", "y", "One class only"),
        (
            "patient_id,slide_id,y_time,y_event\nA,a,1,0\nB,b,2,0\n",
            "y",
            "None of the 2 patients .* has an event",
        ),
        ("patient_id,slide_id,y\nA,a,5\nB,b,5\n", "y:regression", "no two different values"),
        ("patient_id,slide_id,y\nA,a,\nC,c,1\nD,d,0\n", "y", "lacks every target"),
        ("patient_id,slide_id,y\nA,q1,0\nB,q2,1\n", "y", "for instance q1, q2, the store a, b"),
    ],
)
def test_nothing_to_learn_is_a_cohort_error(tmp_path, text, target, word):
    with pytest.raises(CohortError, match=word):
        cohort_of(tmp_path, text, [target], ["a", "b"])


def test_binary_with_three_classes_is_refused(tmp_path):
    text = "patient_id,slide_id,y\nA,a,x\nB,b,y\nC,c,z\n"
    with pytest.raises(TableError, match="3 classes: x, y, z"):
        cohort_of(tmp_path, text, ["y:binary"], ["a", "b", "c"])


def test_given_folds_are_numbered_in_natural_order(tmp_path):
    rows = "".join(f"P{i},s{i},{i % 2},part {[2, 10, 1, 3][i % 4]}\n" for i in range(12))
    text = "patient_id,slide_id,y,fold\n" + rows
    cohort = cohort_of(tmp_path, text, ["y"], [f"s{i}" for i in range(12)])
    assert [cohort.folds[f"P{i}"] for i in range(4)] == [1, 3, 0, 2]


def test_used_patient_without_a_fold_is_refused_by_name(tmp_path):
    text = "patient_id,slide_id,y,fold\nA,a,0,0\nB,b,1,1\nC,c,1,\n"
    assert cohort_of(tmp_path, text, ["y"], ["a", "b"]).folds == {"A": 0, "B": 1}
    with pytest.raises(CohortError, match="no fold: C"):
        cohort_of(tmp_path, text, ["y"], ["a", "b", "c"])


@pytest.mark.parametrize(("name", "patients"), [("blca", 359), ("brca", 871)])
def test_real_follow_up_is_refused_and_right_when_inverted(data_dir, name, patients):
    file = data_dir / "survival" / f"tcga_{name}.csv"
    table = read_labels(file)
    raw = pd.read_csv(file).drop_duplicates("case_id").set_index("case_id")
    slides = [Path(slide).stem for slide in pd.read_csv(file)["slide_id"]]
    request = [parse_target("os:survival:survival_months,censorship")]
    with pytest.raises(TableError, match="--event-coding censored"):
        build_cohort(table, request, slides)
    cohort = build_cohort(table, request, slides, event_coding="censored")
    assert len(cohort.patients) == patients
    assert sum(len(patient.slide_ids) for patient in cohort.patients) == len(slides)
    assert not cohort.exclusions
    order = [patient.patient_id for patient in cohort.patients]
    expected = np.column_stack([raw.loc[order, "survival_months"], 1 - raw.loc[order, "censorship"]])
    np.testing.assert_allclose(cohort.targets(cohort.tasks[0]), expected)
    split = split_parts(cohort, 4, 0)
    events_per_part = [
        sum(p.targets["os"][1] for p in cohort.patients if split[p.patient_id] == part) for part in range(4)
    ]
    assert max(events_per_part) - min(events_per_part) <= 2


def test_a_split_with_gaps_can_be_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("patient_id,slide_id,msi,split\nP1,a,yes,train\nP2,b,no,\nP3,c,no,test\n")
    requests = [parse_target("msi:binary")]
    with pytest.raises(CohortError, match="have no split: P2"):
        build_cohort(read_labels(file), requests, ["a", "b", "c"])
    cohort = build_cohort(read_labels(file, columns=NO_SPLIT), requests, ["a", "b", "c"])
    assert not cohort.roles and len(cohort.patients) == 3
    found = check_labels(file, targets=requests, slide_ids=["a", "b", "c"])
    assert [issue.what for issue in found if issue.severity == "error"] == ["Split with gaps"]
    file.write_text("patient_id,slide_id,msi,split\nP1,a,yes,train\nP2,b,no,validation\nP3,c,no,Test\n")
    assert build_cohort(read_labels(file), requests, ["a", "b", "c"]).roles == {
        "P1": "train",
        "P2": "val",
        "P3": "test",
    }
    file.write_text("patient_id,slide_id,msi,split\nP1,a,yes,train\nP1,b,yes,test\nP3,c,no,test\n")
    with pytest.raises(CohortError, match="One patient in two parts of the split"):
        read_labels(file)


def test_a_split_that_cannot_be_read_is_never_passed_over(tmp_path: Path) -> None:
    """Whoever held patients out must not find them in training."""
    file = tmp_path / "labels.csv"
    file.write_text("patient_id,slide_id,msi,split\nP1,a,yes,discovery\nP2,b,no,replication\n")
    with pytest.raises(TableError, match=r"(?s)column 'split'.*'replication'.*--columns split=none"):
        read_labels(file)
    assert read_labels(file, columns={"split": "none"}).roles is None
    file.write_text("patient_id,slide_id,msi,cohort\nP1,a,yes,Training set\nP2,b,no,validation\n")
    with pytest.raises(TableError, match=r"(?s)column 'cohort'.*does not name both train and test"):
        read_labels(file, columns={"split": "cohort"})
    file.write_text(
        "patient_id,slide_id,msi,cohort\nP1,a,yes,Training set\nP2,b,no,hold-out\nP3,c,no,test_set\n"
    )
    roles = read_labels(file, columns={"split": "cohort"}).roles
    everyone = tmp_path / "everyone.csv"
    everyone.write_text("patient_id,slide_id,msi,split\nP1,a,yes,train\nP2,b,no,train\n")
    assert read_labels(everyone).roles is None
    assert roles is not None and roles.tolist() == ["train", "test", "test"]


def test_one_class_in_two_spellings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("patient_id,slide_id,msi\nP1,a,yes\nP2,b,no\nP3,c,No\n")
    with pytest.raises(TableError, match=r"(?s)'msi'.*'No', 'no' differ only in upper and lower case"):
        build_cohort(read_labels(file), [parse_target("msi")], ["a", "b", "c"])
