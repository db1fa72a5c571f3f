"""The main job as a user does it: the command line, from slide files to a report and predictions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fixtures.command_line import typed
from histonic.simulate.slides import simulate_cohort

TARGETS = ["grade:ordinal", "proliferation_score:regression", "os:survival:os_months,os_event"]


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "histonic", *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def done(*words: str, cwd: Path) -> str:
    shown = run(*words, cwd=cwd)
    assert shown.returncode == 0, shown.stderr + shown.stdout
    return shown.stdout


def here(*words: str, cwd: Path) -> None:
    shown = typed(*words, cwd=cwd)
    assert shown.code == 0, shown.err + shown.out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cohort, compressed, trained and reported on by the command line."""
    folder = tmp_path_factory.mktemp("whole")
    simulate_cohort(folder, patients=12, seed=3, side_px=768, processes=1)
    assert "0 error(s)" in done("doctor", "slides", "--labels", "labels.csv", *flags(), cwd=folder)
    assert "0 failed" in done("compress", "slides", "--encoder", "colour", "--out", "store", cwd=folder)
    words = ["--labels", "labels.csv", *flags(), "--out", "run", "--max-epochs", "3", "--folds", "3"]
    done("train", "store", *words, cwd=folder)
    done("report", "run", "--resamples", "200", cwd=folder)
    return folder


def flags() -> list[str]:
    return [word for target in TARGETS for word in ("--target", target)]


def test_every_patient_is_predicted_once_out_of_fold(folder: Path) -> None:
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    for name in ("grade", "proliferation_score", "os"):
        table = pd.read_csv(folder / "run" / "predictions" / f"{name}.csv", dtype={"patient_id": str})
        assert sorted(table["patient_id"]) == sorted(labels["patient_id"].unique())
        assert table["fold"].nunique() == 3
    regression = pd.read_csv(
        folder / "run" / "predictions" / "proliferation_score.csv", dtype={"patient_id": str}
    )
    truth = labels.drop_duplicates("patient_id").set_index("patient_id")["proliferation_score"].astype(float)
    assert regression.set_index("patient_id")["truth"].to_numpy() == pytest.approx(
        truth[regression["patient_id"]].to_numpy()
    )


def test_no_patient_is_parted(folder: Path) -> None:
    cohort = json.loads((folder / "run" / "cohort.json").read_text())
    parts = {patient["patient_id"]: patient["tested_in"][0][1] for patient in cohort["patients"]}
    assert len(parts) == len(cohort["patients"]) == 12
    assert any(len(patient["slide_ids"]) > 1 for patient in cohort["patients"])


def test_the_report_is_one_file_that_needs_no_network(folder: Path) -> None:
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    for word in ("grade", "proliferation_score", "Kaplan", "95"):
        assert word in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page
    json.loads((folder / "run" / "report.json").read_text())


def test_the_bundle_predicts_slides_and_maps_alike(folder: Path) -> None:
    slide = sorted((folder / "slides").glob("*.tif"))[0]
    bundle = folder / "run" / "bundle"
    assert not list(bundle.rglob("*.pt")) and not list(bundle.rglob("*.pkl"))
    done("predict", str(bundle), str(slide), "--out", "from-slide.csv", cwd=folder)
    here("predict", str(bundle), f"store/{slide.stem}.zarr", "--out", "from-map.csv", cwd=folder)
    assert (folder / "from-slide.csv").read_bytes() == (folder / "from-map.csv").read_bytes()
    table = pd.read_csv(folder / "from-slide.csv")
    assert list(table["slide_id"]) == [slide.stem]
    assert {"grade.predicted", "proliferation_score.predicted", "os.risk"} <= set(table.columns)


def test_the_same_command_changes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "run" / "predictions").iterdir()}
    words = ["--labels", "labels.csv", *flags(), "--out", "run", "--max-epochs", "3", "--folds", "3"]
    here("train", "store", *words, cwd=folder)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "run" / "predictions").iterdir()}


def test_the_same_seed_gives_the_same_numbers_elsewhere(folder: Path) -> None:
    words = ["--labels", "labels.csv", *flags(), "--out", "again", "--max-epochs", "3", "--folds", "3"]
    here("train", "store", *words, cwd=folder)
    for path in (folder / "run" / "predictions").iterdir():
        assert path.read_bytes() == (folder / "again" / "predictions" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("table", "target", "words_found"),
    [
        ("patient_id,slide_id,grade\n", "grade", "no rows"),
        (None, "grad", "'grade'"),
        ("one-class", "grade:binary", "class"),
        ("few", "grade:multiclass", "fold"),
        ("text-time", "os:survival:os_months,os_event", "os_months"),
        ("negative-time", "os:survival:os_months,os_event", "-1"),
    ],
)
def test_bad_tables_end_with_code_2_and_nothing_written(
    cohort_folder: Path, tmp_path: Path, table: str | None, target: str, words_found: str
) -> None:
    labels = pd.read_csv(cohort_folder / "labels.csv", dtype=str)
    if table == "one-class":
        labels["grade"] = "G1"
    elif table == "few":
        labels = labels.drop_duplicates("grade").head(2)
    elif table == "text-time":
        labels.loc[2, "os_months"] = "long"
    elif table == "negative-time":
        labels.loc[2, "os_months"] = "-1"
    text = table if table and table.startswith("patient_id") else labels.to_csv(index=False)
    (tmp_path / "labels.csv").write_text(text)
    words = ["--labels", "labels.csv", "--target", target, "--out", "run"]
    shown = typed("train", str(cohort_folder / "store"), *words, cwd=tmp_path)
    assert shown.code == 2, shown.out
    assert words_found in shown.err and "to do:" in shown.err and "Traceback" not in shown.err
    assert not (tmp_path / "run" / "run.json").exists() and not (tmp_path / "run" / "predictions").exists()
