"""The table of a cohort with several slides a patient, a binary pattern and survival."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fixtures.challenges import Bare, planned, refusal, surveyed, words


def test_both_targets_on_the_same_maps(bare: Bare, tmp_path: Path) -> None:
    folder = bare("liver")
    found, place, steps = planned("liver", folder, tmp_path / "out")
    assert not found.errors and "24 slides of 18 patients" in words(found)
    table = pd.read_csv(place.table("train"), dtype=str)
    assert table["patient_id"].nunique() == 18 and set(table["site"]) == {"hospital 1", "hospital 2"}
    assert steps[1].settings["target"] == [
        "growth:binary:growth_pattern:positive=desmoplastic",
        "os:survival:os_time,os_event",
    ]
    _, _, alone = planned("liver", folder, tmp_path / "two", target=("os",))
    assert alone[1].settings["target"] == ["os:survival:os_time,os_event"]


def test_own_names_of_columns(bare: Bare) -> None:
    folder = bare("liver")
    path = folder / "cohort.csv"
    path.write_text(path.read_text().replace("growth_pattern", "HGP", 1))
    assert "'growth_pattern'" in refusal("liver", folder) and "HGP" in refusal("liver", folder)
    assert not surveyed("liver", folder, columns={"growth_pattern": "hgp"}).errors


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("desmoplastic", "mixed", "growth_pattern has 3 values"),
        ("L02-1", "L01-1", "doubled: slide L01-1"),
        ("L02-1", "L99-1", "missing: slides of the table: L99-1"),
    ],
)
def test_what_is_wrong_is_named(bare: Bare, before: str, after: str, named: str) -> None:
    folder = bare("liver")
    path = folder / "cohort.csv"
    path.write_text(path.read_text().replace(before, after, 1))
    assert named in words(surveyed("liver", folder))


def test_the_table_is_asked_for_where_there_are_two(bare: Bare) -> None:
    folder = bare("liver")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    assert "It holds 2 tables" in refusal("liver", folder)
    assert not surveyed("liver", folder, table=folder / "cohort.csv").errors
