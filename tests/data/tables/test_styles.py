"""Column names of other tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import SettingsError, TableError
from histonic.data.tables.settings import TableSettings
from histonic.data.tables.styles import STYLES, name_columns

FILE = Path("labels.csv")
TABLES = {
    "histonic": (["patient_id", "slide_id", "site", "time", "event", "fold", "grade"],
                 {n: n for n in ("patient_id", "slide_id", "site", "fold", "time", "event")}),
    "clam": (["case_id", "slide_id", "label"], {"patient_id": "case_id", "slide_id": "slide_id"}),
    "trident": (["wsi", "mpp"], {"path": "wsi", "mpp": "mpp"}),
    "stamp": (["PATIENT", "FILENAME", "isMSIH"], {"patient_id": "PATIENT", "path": "FILENAME"}),
    "pathobench": (["case_id", "slide_id", "OS", "OS_event", "OS_days", "fold_0"],
                   {"patient_id": "case_id", "slide_id": "slide_id"}),
    "gdc": (["case_id", "case_submitter_id", "days_to_death"], {"patient_id": "case_submitter_id"}),
    "slide2vec": (["sample_id", "image_path", "mask_path", "spacing_at_level_0"],
                  {"slide_id": "sample_id", "path": "image_path", "mpp": "spacing_at_level_0",
                   "mask": "mask_path"}),
}  # fmt: skip


@pytest.mark.parametrize("style", sorted(TABLES))
def test_each_style_and_auto_find_the_same_columns(style):
    columns, expected = TABLES[style]
    assert name_columns(columns, style, file=FILE) == expected
    assert name_columns(columns, "auto", file=FILE) == expected


def test_styles_are_those_of_the_settings():
    choices = set(TableSettings.model_fields["table_style"].annotation.__args__)
    assert choices == {*STYLES, "auto"} == {*TABLES, "auto"}


def test_own_names_come_first_and_can_hide_a_column():
    columns = ["patient_id", "Case", "slide_id", "fold"]
    named = name_columns(columns, "auto", {"patient_id": "Case", "fold": ""}, file=FILE)
    assert named == {"patient_id": "Case", "slide_id": "slide_id"}


def test_case_matters_only_where_both_exist():
    assert name_columns(["Patient_ID", "SLIDE_ID"], file=FILE) == {
        "patient_id": "Patient_ID",
        "slide_id": "SLIDE_ID",
    }
    assert name_columns(["PATIENT_ID", "patient_id"], file=FILE) == {"patient_id": "patient_id"}


def test_style_takes_its_own_column_before_histonics():
    named = name_columns(["patient_id", "PATIENT"], "stamp", file=FILE)
    assert named["patient_id"] == "PATIENT"


def test_refusals():
    with pytest.raises(TableError, match="Did you mean 'Case number'"):
        name_columns(["Case number", "x"], "auto", {"patient_id": "case numbr"}, file=FILE)
    with pytest.raises(SettingsError, match="'patient' is not a name"):
        name_columns(["a"], "auto", {"patient": "a"}, file=FILE)
    with pytest.raises(SettingsError, match="no such table style"):
        name_columns(["a"], "tridnt", file=FILE)
    with pytest.raises(TableError, match="None of its columns PATIENT, FILENAME"):
        name_columns(["case_id", "slide_id"], "stamp", file=FILE)
