"""The file of a study is filled in by looking, and says why."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import yaml

from fixtures.command_line import typed
from histonic.core.errors import SettingsError
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.study.file import writing
from histonic.stages.study.file.labels_found import LabelsFound
from histonic.stages.study.file.reading import read_study
from histonic.stages.study.file.slides_found import SlidesFound
from histonic.stages.study.init import init_study

PATIENTS = 12


def write_slides(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_pyramid(folder / f"{name}.tif", np.full((150, 150, 3), 200, np.uint8), mpp=0.5)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides") / "scans"
    write_slides(folder, [f"S{number:02d}" for number in range(PATIENTS)])
    return folder


def kept_workbook(path: Path, slides: int = PATIENTS) -> Path:
    """A label table as people keep it: a cover sheet, titles above the header, own column names."""
    book = openpyxl.Workbook()
    cover = book.active
    cover.title = "Info"
    cover["A1"] = "Exported 3.4.2019"
    sheet = book.create_sheet("Patients")
    sheet.append(["Colon study, surgery"])
    sheet.append([])
    sheet.append(["Patient No", "Scan", "MSI", "Age", "os_months", "os_dead", "Remarks"])
    for number in range(slides):
        sheet.append(
            [f"00{number}", f"S{number:02d}.tif", "MSI-H" if number % 3 == 0 else "MSS", 50 + number]
        )
        sheet.cell(sheet.max_row, 5, 10.5 + number)
        sheet.cell(sheet.max_row, 6, number % 2)
    book.save(path)
    return path


def test_what_lies_beside_the_file_is_found(slides: Path, tmp_path: Path) -> None:
    shutil.copytree(slides, tmp_path / "scans")
    (tmp_path / "masks").mkdir()
    kept_workbook(tmp_path / "Patients 2019.xlsx")
    result = init_study(file=tmp_path / "study.yaml")
    text = result.file.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    assert values["compress"]["slides"] == ["scans"] and values["out"] == "study"
    assert values["train"]["labels"] == "Patients 2019.xlsx" and values["train"]["sheet"] == ["Patients"]
    assert values["train"]["columns"] == {"patient_id": "Patient No", "slide_id": "Scan"}
    # Several columns could be asked for: none is chosen, all are told.
    assert values["train"]["target"] is None
    assert "# - os:survival:os_months,os_dead" in text and "12 patients, 6 events" in text
    assert "# - MSI\n" in text and "MSS 8" in text and "MSI-H 4" in text
    assert "Remarks" not in text
    with pytest.raises(SettingsError, match=r"train\.target says nothing"):
        read_study(result.file)


def test_a_file_with_a_target_can_be_run_at_once(slides: Path, tmp_path: Path) -> None:
    labels = kept_workbook(tmp_path / "labels.xlsx")
    shown = typed(
        "init", "s.yaml", "--slides", str(slides), "--labels", str(labels), "--target", "MSI", cwd=tmp_path
    )
    assert shown.code == 0, shown.err
    assert "12 slides" in shown.out and "next: histonic run s.yaml --dry-run" in shown.out
    study = read_study(tmp_path / "s.yaml")
    assert study.train["target"] == ["MSI"] and study.out == tmp_path / "study"
    again = typed("init", "s.yaml", cwd=tmp_path)
    assert again.code == 2 and "It is there already" in again.err


def test_the_only_column_is_taken_and_sites_are_told(slides: Path, tmp_path: Path) -> None:
    rows = [
        (f"P{n}", f"S{n:02d}", "north" if n % 2 else "south", "ab"[n % 2], 40 + n, "cd"[n % 2])
        for n in range(PATIENTS)
    ]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("patient_id", "slide_id", "site", "subtype", "age", "PD-L1: <1%"), *rows]
        )
    result = init_study(file=tmp_path / "study.yaml", slides=[slides])
    text = result.file.read_text()
    values = yaml.safe_load(text)
    assert values["train"]["target"] == ["subtype"]
    assert "The only column that can be a target" in text and "2 sites (north 6, south 6)" in text
    assert "# - age" in text and "cannot be used as it is: Its name is read otherwise: rename" in text
    assert result.labels is not None and result.labels.patients == (12, 12)


def test_slides_of_one_name_in_two_folders_are_named_by_folder(tmp_path: Path) -> None:
    write_slides(tmp_path / "scans" / "a", ["x"])
    write_slides(tmp_path / "scans" / "b", ["x"])
    values = yaml.safe_load(init_study(file=tmp_path / "study.yaml").file.read_text())
    assert values["compress"]["names"] == "path"


def test_slides_without_resolution_and_broken_ones_are_told(slides: Path, tmp_path: Path) -> None:
    import tifffile

    (tmp_path / "scans").mkdir()
    tifffile.imwrite(tmp_path / "scans" / "plain.tif", np.full((300, 300, 3), 200, np.uint8), tile=(256, 256))
    (tmp_path / "scans" / "torn.svs").write_text("no slide")
    result = init_study(file=tmp_path / "study.yaml")
    text = result.file.read_text()
    assert "1 of 2 slides do not say their resolution, such as plain" in text and "# mpp: 0.5" in text
    assert "1 cannot be read" in text and "torn" in text
    assert isinstance(result.slides, SlidesFound) and result.slides.without_mpp == ("plain",)
    known = init_study(file=tmp_path / "b.yaml", mpp=0.25).file
    assert yaml.safe_load(known.read_text())["compress"]["mpp"] == 0.25


def test_nothing_there_is_said_and_still_a_file(tmp_path: Path) -> None:
    shown = typed("init", cwd=tmp_path)
    assert shown.code == 0 and "fill in compress.slides" in shown.out
    values = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert values["compress"]["slides"] == [] and values["train"]["labels"] is None
    run = typed("run", "study.yaml", cwd=tmp_path)
    assert run.code == 2 and "compress.slides says nothing" in run.err and "line" in run.err


def test_another_cohort_is_written(slides: Path, tmp_path: Path) -> None:
    labels = kept_workbook(tmp_path / "labels.xlsx")
    given = {"slides": [slides], "labels": labels, "target": ["MSI"]}
    with pytest.raises(SettingsError, match="Only one of its slides"):
        init_study(file=tmp_path / "a.yaml", external_slides=[slides], **given)
    file = init_study(
        file=tmp_path / "a.yaml",
        external_slides=[slides],
        external_labels=labels,
        external_name="Ulm",
        **given,
    ).file
    (other,) = read_study(file).externals
    assert other.name == "Ulm" and other.external["columns"]["patient_id"] == "Patient No"


@pytest.mark.parametrize(
    "value", ["no", "1_0", "a: b", "# x", "", "  ", "ä", "a,b", "[x", "0012", "1e3", None]
)
def test_values_come_back_as_they_were_written(value: str | None) -> None:
    assert yaml.safe_load(f"key: {writing.flow(value)}")["key"] == value
    assert yaml.safe_load(f"key: {writing.flow([value, 1])}")["key"] == [value, 1]


def test_real_follow_up_is_told_and_not_taken_silently(data_dir: Path, tmp_path: Path) -> None:
    table = data_dir / "survival" / "tcga_blca.csv"
    result = init_study(file=tmp_path / "study.yaml", labels=table)
    text = result.file.read_text()
    assert isinstance(result.labels, LabelsFound) and result.labels.patients[0] > 300
    # censorship is the inverse of an event: nothing is trained on it before that is said.
    assert "censor" in text and yaml.safe_load(text)["train"]["target"] is None
