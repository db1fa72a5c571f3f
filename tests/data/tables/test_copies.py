from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from histonic.core.errors import OutputError, TableError
from histonic.core.places.frames import FrameTable, GivenTable, GivenTableOrNone
from histonic.core.settings import Settings, make_settings
from histonic.data.tables.copies import store_copies, with_copies
from histonic.data.tables.files import read_table


class Reading(Settings):
    labels: GivenTable
    slide_table: GivenTableOrNone = None
    seed: int = 0


AWKWARD = pd.DataFrame(
    {
        "patient_id": ["001", "#2", "3;4", "5,6", "7"],
        "note": ['say "a"', "sep=;", "x\ny", "12,5", "=SUM(A1)"],
        "ki67": [1.234, 2.5, None, 1e-9, 1e15],
    }
)


def test_the_copy_is_read_as_the_table_was(tmp_path: Path) -> None:
    given = with_copies(make_settings(Reading, {"labels": AWKWARD, "slide_table": "s.csv"}), tmp_path / "run")
    assert store_copies(given) == [tmp_path / "run" / "labels.csv"]
    assert str(given.labels) == (tmp_path / "run" / "labels.csv").as_posix()
    again, before = read_table(tmp_path / "run" / "labels.csv"), read_table(FrameTable(AWKWARD))
    assert again.columns == before.columns
    assert again.frame.to_numpy().tolist() == before.frame.to_numpy().tolist()


def test_a_table_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"# patient": ["a", "b"], "grade": ["x", "y"]})
    given = with_copies(make_settings(Reading, {"labels": frame}), tmp_path)
    with pytest.raises(TableError, match="read as another table"):
        store_copies(given)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_where_there_is_no_folder(tmp_path: Path) -> None:
    given = make_settings(Reading, {"labels": AWKWARD})
    assert with_copies(given, None) is given and store_copies(given) == []
    paths = make_settings(Reading, {"labels": "a.csv"})
    assert with_copies(paths, tmp_path) is paths


def test_copies_go_first_where_the_result_is_made(tmp_path: Path) -> None:
    given = with_copies(make_settings(Reading, {"labels": AWKWARD}), Path("run/external/a"))
    assert store_copies(given, tmp_path) == [tmp_path / "labels.csv"]


def test_a_table_of_the_user_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("patient_id,grade,more\n1,a,b\n")
    given = with_copies(make_settings(Reading, {"labels": AWKWARD}), tmp_path)
    with pytest.raises(OutputError, match="no result of histonic beside it"):
        store_copies(given)
    assert "more" in (tmp_path / "labels.csv").read_text()
    (tmp_path / "settings.yaml").touch()
    assert store_copies(given) == [tmp_path / "labels.csv"]
