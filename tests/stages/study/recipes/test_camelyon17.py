"""CAMELYON17: two kinds of rows in one table, centres by folder and number, and stages of five nodes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words
from histonic.core.errors import RunError
from histonic.stages.study.frame.plan import Outcome, Place
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.recipes.camelyon17 import _submit, centre_of, stage_scores


def test_nodes_are_cases_and_centres_sites(bare: Bare, tmp_path: Path) -> None:
    folder = bare("camelyon17")
    found, place, steps = planned("camelyon17", folder, tmp_path / "out")
    assert not found.errors and "25 slides of 5 patients" in words(found) and "artificial" in words(found)
    table = pd.read_csv(place.table("train"), dtype=str).set_index("slide_id")
    assert table.loc["patient_020_node_2"]["node"] == "macro"
    assert table.loc["patient_020_node_2"]["patient"] == "patient_020"
    assert table.loc["patient_060_node_0"]["site"] == "3"
    training = next(step for step in steps if step.verb == "train").settings
    assert training["split"] == "site" and training["folds"] == 4


def test_centres() -> None:
    assert centre_of(99, Path("patient_099_node_0.tif")) == "4"
    assert centre_of(7, Path("Centre_3/patient_007/a.tif")) == "3"
    assert centre_of(140, Path("testing/a.tif")) == ""


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("patient,stage", "patient,class", "'stage'"),
        ("patient_000.zip,pN1", "patient_000.zip,pN9", "'pN9'"),
        ("patient_000_node_0.tif,itc", "patient_000_node_0.tif,ITCs", "'ITCs'"),
        ("patient_000_node_0.tif", "patient_000_node_1.tif", "stands there twice"),
        ("patient_000.zip", "case_000.zip", "'case_000.zip'"),
    ],
)
def test_wrong_rows_are_named(bare: Bare, before: str, after: str, named: str) -> None:
    folder = bare("camelyon17")
    path = folder / "training" / "stage_labels.csv"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    assert named in refusal("camelyon17", folder)


def test_missing_nodes_are_named(bare: Bare) -> None:
    folder = bare("camelyon17")
    (folder / "training" / "center_1" / "patient_020" / "patient_020_node_3.tif").unlink()
    (folder / "testing" / "patient_100" / "patient_100_node_4.tif").unlink()
    errors = [each.what for each in surveyed("camelyon17", folder).errors]
    assert errors == [
        "missing: slides of nodes with a class: patient_020_node_3.",
        "missing: nodes of test patients: patient_100_node_4.",
    ]


def test_a_stage_that_its_nodes_do_not_make_is_told(bare: Bare) -> None:
    folder = bare("camelyon17")
    path = folder / "training" / "stage_labels.csv"
    path.write_text(path.read_text().replace("patient_040.zip,pN1", "patient_040.zip,pN2"))
    assert "patient_040 (pN2, by its nodes pN1)" in words(surveyed("camelyon17", folder))


def nodes(patient: str, *classes: str) -> dict[str, str]:
    return {f"{patient}_node_{k}": name for k, name in enumerate(classes)}


def test_stages_are_scored_over_all_five(tmp_path: Path) -> None:
    settings = RecipeSettings(name="camelyon17", data=tmp_path, resamples=100)
    called = nodes("patient_000", *["negative"] * 5) | nodes("patient_001", *["macro"] * 5)
    called |= nodes("patient_002", "micro", "itc", "negative", "negative")  # four nodes only
    stages = {"patient_000": "pN0", "patient_001": "pN1", "patient_002": "pN1"}
    (score,) = stage_scores("stages", called, stages, settings)
    # Two patients: 0 seen as 0, 3 seen as 4. Observed 1; by the margins (16 + 9 + 1) / 2.
    assert score.n == 2 and score.value == pytest.approx(1 - 1 / 13)
    (alone,) = stage_scores("stages", nodes("patient_000", *["itc"] * 5), stages, settings)
    assert alone.value is None and "1 patient" in alone.note


def test_the_submission(tmp_path: Path) -> None:
    place = Place(tmp_path)
    classes = ["macro", "micro", "micro", "micro", "itc"]
    rows = [f"patient_100_node_{k},{name}" for k, name in enumerate(classes)]
    place.predictions.write_text("\n".join(["slide_id,node.predicted", *rows]) + "\n")
    names = [f"patient_100_node_{k}" for k in range(5)]
    outcome = Outcome()
    _submit(place, names, outcome)
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert lines[:3] == ["patient,stage", "patient_100.zip,pN2", "patient_100_node_0.tif,macro"]
    assert "refuse fewer than 100" in outcome.lines[0]
    with pytest.raises(RunError, match="4 of 5 nodes"):
        _submit(place, names[:4], outcome)


def test_patients_without_all_nodes_are_left_out_where_that_is_allowed(tmp_path: Path) -> None:
    place, outcome = Place(tmp_path), Outcome()
    names = [f"patient_{patient}_node_{k}" for patient in (100, 101) for k in range(5)][:-1]
    rows = [f"{name},macro" for name in names]
    place.predictions.write_text("\n".join(["slide_id,node.predicted", *rows]) + "\n")
    _submit(place, names, outcome, allow_missing=True)
    assert (tmp_path / "submission.csv").read_text().count("patient_101") == 0
    assert outcome.lines[0] == "Not in the submission, for want of nodes: patient_101."
    assert "(1 patients" in outcome.lines[1]
    (tmp_path / "submission.csv").unlink()
    alone = Outcome()
    assert len(_submit(place, names[5:], alone, allow_missing=True)) == 4
    assert alone.lines == ["No submission: no test patient has all five nodes."]
    assert not alone.files and not (tmp_path / "submission.csv").exists()


def test_a_slide_in_the_folder_of_another_centre_is_told(bare: Bare) -> None:
    folder = bare("camelyon17")
    slide = next(folder.rglob("patient_000_node_0.tif"))
    other = folder / "training" / "center_3" / slide.name
    other.parent.mkdir(exist_ok=True)
    slide.rename(other)
    told = words(surveyed("camelyon17", folder))
    assert "another centre than by their number: patient_000_node_0 (centre_3)." in told
