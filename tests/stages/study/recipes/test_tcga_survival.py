"""TCGA: barcodes, sections, and three forms of clinical tables with their traps."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, surveyed, words
from histonic.core.errors import TableError
from histonic.stages.study.recipes.tcga_survival import DAYS_OF_MONTH, SLIDE, FollowUp, read_follow_up

OLD = "case_submitter_id\tvital_status\tdays_to_death\tdays_to_last_follow_up\n"


def test_only_diagnostic_tumour_slides_of_followed_patients_are_used(bare: Bare, tmp_path: Path) -> None:
    folder = bare("tcga-survival")
    found, place, _ = planned("tcga-survival", folder, tmp_path / "out")
    assert not found.errors and "18 slides of 15 patients" in words(found)
    assert "GDC's clinical table, old form" in words(found)
    table = pd.read_csv(place.table("train"), dtype=str)
    assert len(table) == 16 and table["patient_id"].nunique() == 15
    assert table["path"].str.contains("DX").all() and set(table["site"]) == {"2Z", "A3", "BQ"}
    reasons = {case.left_out for case in found.cases if case.left_out}
    assert reasons == {"no diagnostic (DX) slide: a frozen section or another kind"}
    assert len([case for case in found.cases if case.left_out]) == 2


def table(folder: Path, text: str, name: str = "clinical.tsv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_several_rows_a_case_are_one(tmp_path: Path) -> None:
    rows = [
        "TCGA-AA-0001\tDead\t300\t'--",
        "TCGA-AA-0001\tDead\t300\t280",
        "TCGA-AA-0002\tAlive\t'--\t100",
        "TCGA-AA-0002\tAlive\t'--\t250",
        "TCGA-AA-0003\tAlive\t'--\t100",
        "TCGA-AA-0003\tDead\t120\t'--",
        "TCGA-AA-0004\tDead\t'--\t90",
        "TCGA-AA-0005\tNot Reported\t'--\t90",
        "TCGA-AA-0006\tAlive\t'--\t0",
    ]
    found, form = read_follow_up(table(tmp_path, OLD + "\n".join(rows) + "\n"))
    assert form.endswith("old form")
    assert found["TCGA-AA-0001"] == FollowUp(300, True) and found["TCGA-AA-0002"] == FollowUp(250, False)
    assert found["TCGA-AA-0003"].why == "rows of the clinical table disagree"
    assert found["TCGA-AA-0004"].why == "dead, and no day of death"
    assert found["TCGA-AA-0005"].why == "vital status is not reported"
    assert found["TCGA-AA-0006"].why == "followed for no day"


def test_the_new_form_takes_its_last_contact_from_the_follow_up(tmp_path: Path) -> None:
    head = "cases.submitter_id\tdemographic.vital_status\tdemographic.days_to_death"
    text = f"{head}\tdiagnoses.days_to_last_follow_up\nTCGA-AA-0001\tAlive\t'--\t'--\n"
    later = table(
        tmp_path, "case_submitter_id\tdays_to_follow_up\nTCGA-AA-0001\t50\nTCGA-AA-0001\t77\n", "f.tsv"
    )
    found, form = read_follow_up(table(tmp_path, text), later)
    assert form.endswith("new form") and found == {"TCGA-AA-0001": FollowUp(77, False)}


def test_the_oldest_form_has_plain_dashes_and_small_letters(tmp_path: Path) -> None:
    head = "case_id\tsubmitter_id\tvital_status\tdays_to_death\tdays_to_last_follow_up\n"
    rows = ["x\tTCGA-AA-0001\talive\t--\t1059", "y\tTCGA-AA-0002\tdead\t--\t26"]
    text = head + "\n".join([*rows, "z\tTCGA-AA-0003\tdead\t320\t30"]) + "\n"
    found, form = read_follow_up(table(tmp_path, text))
    assert form.endswith("oldest form") and found["TCGA-AA-0001"] == FollowUp(1059, False)
    assert found["TCGA-AA-0002"].why == "dead, and no day of death"
    assert found["TCGA-AA-0003"] == FollowUp(320, True)


def test_contradicting_rows_of_cbioportal_are_left_out(tmp_path: Path) -> None:
    head = "PATIENT_ID\tOS_STATUS\tOS_MONTHS\n"
    rows = ["TCGA-AA-0001\t0:LIVING\t10", "TCGA-AA-0001\t1:DECEASED\t4", "TCGA-AA-0002\t0:LIVING\t2"]
    text = head + "\n".join([*rows, rows[-1], rows[0]]) + "\n"
    found, _ = read_follow_up(table(tmp_path, text, "data_clinical_patient.txt"))
    assert found["TCGA-AA-0001"].why == "rows of the clinical table disagree"
    assert found["TCGA-AA-0002"] == FollowUp(2 * DAYS_OF_MONTH, False)


def test_a_real_frozen_section_is_left_out(data_dir: Path) -> None:
    """Its name has no UUID, and its section is TS1."""
    (name,) = (path.name for path in (data_dir / "slides").glob("TCGA-*.svs"))
    found = re.fullmatch(SLIDE, name, re.IGNORECASE)
    assert found is not None and found.group(1).upper() == "TCGA-CR-7395" and found.group(4) == "TS1"


def test_cbioportal(tmp_path: Path) -> None:
    head = "#Patient\tStatus\tMonths\n#a\tb\tc\n#STRING\tSTRING\tNUMBER\n#1\t1\t1\n"
    text = f"{head}PATIENT_ID\tOS_STATUS\tOS_MONTHS\nTCGA-AA-0001\t1:DECEASED\t10\nTCGA-AA-0002\tLIVING\t20\n"
    found, _ = read_follow_up(table(tmp_path, text, "data_clinical_patient.txt"))
    assert found["TCGA-AA-0001"] == FollowUp(10 * DAYS_OF_MONTH, True)
    assert found["TCGA-AA-0002"] == FollowUp(20 * DAYS_OF_MONTH, False)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("case_submitter_id\tvital\nTCGA-AA-0001\tDead\n", "Its columns are case_submitter_id, vital"),
        (OLD + "TCGA-AA-0001\tDead\tlong\t'--\n", "Row 2, column 'days_to_death' is 'long'"),
    ],
)
def test_wrong_tables_are_refused(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=named):
        read_follow_up(table(tmp_path, text))


def test_patients_without_slides_or_follow_up_are_named(bare: Bare) -> None:
    folder = bare("tcga-survival")
    path = folder / "clinical.tsv"
    text = path.read_text()
    path.write_text("\n".join(row for row in text.splitlines() if "A004" not in row) + "\n")
    found = surveyed("tcga-survival", folder)
    assert found.errors[0].what.endswith("TCGA-A3-A004.")
    path.write_text(text + text.splitlines()[1].replace("A000", "A999") + "\n")
    assert "missing: slides of patients of the table: TCGA-2Z-A999" in words(
        surveyed("tcga-survival", folder)
    )


@pytest.mark.parametrize("word", ["Deceased", "1"])
def test_an_unknown_word_for_the_dead_does_not_leave_them_out(word: str, bare: Bare) -> None:
    folder = bare("tcga-survival")
    path = folder / "clinical.tsv"
    path.write_text(path.read_text().replace("Dead", word))
    with pytest.raises(TableError, match=f"Row 4, column 'vital_status' is '{word}'"):
        surveyed("tcga-survival", folder)
