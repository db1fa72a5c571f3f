"""TUPAC16: rows without names are never shifted, and the submission is the organisers'."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words
from histonic.core.errors import RunError
from histonic.core.progress import Silent
from histonic.stages.study.frame import results
from histonic.stages.study.frame.plan import Place
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.recipes import tupac16

SLIDES = "training_image_data"


def test_row_n_is_of_slide_n(bare: Bare, tmp_path: Path) -> None:
    folder = bare("tupac16")
    rows = (folder / tupac16.TRUTH).read_text().splitlines()
    found, place, steps = planned("tupac16", folder, tmp_path / "out")
    assert not found.errors and "12 of 500 training slides, 3 of 321 test slides" in words(found)
    table = pd.read_csv(place.table("train"), dtype=str).set_index("slide_id")
    assert list(table.index) == [f"TUPAC-TR-{number:03d}" for number in range(1, 13)]
    for number, row in enumerate(rows, start=1):
        cells = table.loc[f"TUPAC-TR-{number:03d}"]
        assert [cells["score"], cells["molecular"]] == row.split(",")
        assert cells["patient_id"] == f"TUPAC-TR-{number:03d}" and cells["group_source"] == "file name"
    tested = pd.read_csv(place.table("test"), dtype=str, keep_default_na=False)
    assert set(tested["split"]) == {"test-unlabelled"} and set(tested["score"]) == {""}
    assert [step.verb for step in steps] == ["compress", "train", "report", "compress", "predict"]
    training = steps[1].settings
    assert (training["folds"], training["initialisations"], training["split"]) == (4, 2, "random")
    assert training["target"] == ["score:ordinal:score:1<2<3", "molecular:regression:molecular"]
    assert {step.settings["orientations"] for step in (steps[0], steps[3])} == {8}


def test_a_missing_slide_is_named_and_moves_no_label(bare: Bare, tmp_path: Path) -> None:
    folder = bare("tupac16")
    rows = (folder / tupac16.TRUTH).read_text().splitlines()
    (folder / SLIDES / "TUPAC-TR-005.svs").unlink()
    found = surveyed("tupac16", folder)
    assert [each.what for each in found.errors] == ["missing: slides of rows with labels: TUPAC-TR-005."]
    found, place, _ = planned("tupac16", folder, tmp_path / "out", allow_missing=True)
    assert not found.errors
    table = pd.read_csv(place.table("train"), dtype=str).set_index("slide_id")
    assert "TUPAC-TR-005" not in table.index
    assert table.loc["TUPAC-TR-006"]["molecular"] == rows[5].split(",")[1]


def test_a_lost_row_is_refused(bare: Bare) -> None:
    folder = bare("tupac16")
    path = folder / tupac16.TRUTH
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    shown = refusal("tupac16", folder)
    assert "11 rows" in shown and "TUPAC-TR-012" in shown


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: "score,molecular\n" + text, "header or empty rows"),
        (lambda text: text.replace("1,", "4,", 1), "first column is '4'"),
        (lambda text: text.replace("\n", ",x\n", 1), "Row 1 has 3 cells"),
        (lambda text: text.replace(text.splitlines()[2], "2,high"), "Row 3, second column is 'high'"),
        (lambda text: "\n".join(",".join(row.split(",")[::-1]) for row in text.splitlines()), "Row 1, first"),
    ],
)
def test_wrong_columns_are_named(bare: Bare, change: object, named: str) -> None:
    folder = bare("tupac16")
    path = folder / tupac16.TRUTH
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    assert named in refusal("tupac16", folder)


def test_a_doubled_case_is_named(bare: Bare) -> None:
    folder = bare("tupac16")
    shutil.copy(folder / SLIDES / "TUPAC-TR-002.svs", folder / SLIDES / "tupac-tr-001.tif")
    (error,) = surveyed("tupac16", folder).errors
    assert error.what.startswith("doubled: slide") and "tupac-tr-001.tif" in error.what
    shutil.copy(folder / SLIDES / "TUPAC-TR-001.svs", folder / SLIDES / "tupac-tr-001.tif")
    found = surveyed("tupac16", folder)
    assert not found.errors and "the same bytes" in words(found)


def test_what_is_extra_and_absent_is_told(bare: Bare) -> None:
    folder = bare("tupac16")
    (folder / "other.svs").write_bytes(b"x")
    (folder / "testing_image_data" / "TUPAC-TE-002.svs").unlink()
    found = surveyed("tupac16", folder)
    assert "extra, not used: other.svs" in words(found)
    assert [each.what for each in found.errors] == ["missing: test slides: TUPAC-TE-002."]
    (folder / tupac16.TRUTH).unlink()
    assert "missing: training_ground_truth.csv." in words(surveyed("tupac16", folder))


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tupac16, "run_scores", lambda *_: [])


def predictions(place: Place, *numbers: int) -> None:
    rows = [f"TUPAC-TE-{n:03d},{1 + n % 3},{-0.5 + n / 10}" for n in numbers]
    place.out.mkdir(exist_ok=True)
    place.predictions.write_text("\n".join(["slide_id,score.predicted,molecular.predicted", *rows]) + "\n")


def test_the_submission_has_no_header_and_a_row_for_each_slide(
    bare: Bare, tmp_path: Path, scored: None
) -> None:
    folder, place = bare("tupac16"), Place(tmp_path / "out")
    predictions(place, 3, 1, 2)
    settings = RecipeSettings(name="tupac16", data=folder, out=place.out)
    outcome = tupac16.finish(settings, tupac16.survey(settings), place, Silent())
    assert (place.out / "submission.csv").read_text() == "2,-0.4\n3,-0.3\n1,-0.2\n"
    assert place.out / "submission.csv" in outcome.files
    assert "0.632 (0.561 to 0.693)" in "\n".join(outcome.lines)
    own = RecipeSettings(name="tupac16", data=folder, out=place.out, target=("molecular",))
    tupac16.finish(own, tupac16.survey(own), place, Silent())
    assert (place.out / "submission.csv").read_text() == "-1,-0.4\n-1,-0.3\n-1,-0.2\n"


def test_a_test_slide_without_prediction_is_refused(
    bare: Bare, tmp_path: Path, scored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, place = bare("tupac16"), Place(tmp_path / "out")
    predictions(place, 1, 3)
    monkeypatch.setattr(results, "_failures", lambda _: {"TUPAC-TE-002": "no mpp"})
    settings = RecipeSettings(name="tupac16", data=folder, out=place.out)
    with pytest.raises(RunError, match=r"TUPAC-TE-002 \(no mpp\)"):
        tupac16.finish(settings, tupac16.survey(settings), place, Silent())
    assert not (place.out / "submission.csv").exists()


def test_a_test_slide_that_may_be_missing_leaves_no_submission_and_no_error(
    bare: Bare, tmp_path: Path, scored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, place = bare("tupac16"), Place(tmp_path / "out")
    next(folder.rglob("TUPAC-TE-002.svs")).unlink()
    predictions(place, 1, 3)
    settings = RecipeSettings(name="tupac16", data=folder, out=place.out, allow_missing=True)
    outcome = tupac16.finish(settings, tupac16.survey(settings), place, Silent())
    told = "No submission: row n is of TUPAC-TE-n, and 319 rows are lacking, the first of TUPAC-TE-002."
    assert told in outcome.lines[-1]
    assert not (place.out / "submission.csv").exists()
    monkeypatch.setattr(tupac16, "TESTED", 3)
    monkeypatch.setattr(tupac16, "_notes", list)  # its intervals are of all test slides
    outcome = tupac16.finish(settings, tupac16.survey(settings), place, Silent())
    assert "and 1 row is lacking, the first of TUPAC-TE-002." in outcome.lines[-1]
