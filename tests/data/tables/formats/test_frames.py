"""DataFrames as people keep them: typed columns, indices of patients, filtered rows."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.errors import TableError
from histonic.core.places.frames import FrameTable
from histonic.data.tables.files import read_table
from histonic.data.tables.formats.frames import RowLabel, read_frame_rows, row_of
from histonic.data.tables.label_table import column_cells, read_labels
from histonic.data.targets.checks import examine_labels


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    return read_table(FrameTable(frame)).frame


def test_cells_are_text_as_a_person_writes_it() -> None:
    frame = pd.DataFrame(
        {
            "patient_id": ["0012", "0013", "0014"],
            "age": [64.0, np.nan, 71.5],
            "few": np.array([0.1, 12, 2.5], np.float32),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "grade": pd.Categorical(["low", "high", None]),
            "day": [pd.Timestamp("2020-03-01"), pd.NaT, pd.Timestamp("2021-01-01")],
            "born": [datetime.date(1950, 1, 2), None, None],
            "yes": [True, False, True],
            7: ["a  b", " c", ""],
        }
    )
    found = texts(frame)
    assert list(found.columns) == ["patient_id", "age", "few", "count", "grade", "day", "born", "yes", "7"]
    assert found["patient_id"].tolist() == ["0012", "0013", "0014"]
    assert found["age"].tolist() == ["64", "", "71.5"]
    assert found["few"].tolist() == ["0.1", "12", "2.5"]
    assert found["count"].tolist() == ["1", "", "3"]
    assert found["grade"].tolist() == ["low", "high", ""]
    assert found["day"].tolist()[1] == "" and found["day"].tolist()[0].startswith("2020-03-01")
    assert found["born"].tolist() == ["1950-01-02", "", ""]
    assert found["yes"].tolist() == ["True", "False", "True"]


def test_a_number_with_three_decimals_is_no_thousand() -> None:
    table = read_labels(FrameTable(pd.DataFrame({"patient_id": ["a", "b"], "ki67": [1.234, 2.345]})))
    assert [float(cell) for cell in column_cells(table, "ki67").values()] == [1.234, 2.345]


def test_rows_are_called_by_their_labels() -> None:
    frame = pd.DataFrame(
        {"age": [*map(float, range(40, 50)), "old"]},
        index=pd.Index([f"P{n}" for n in range(11)], name="case"),
    )
    table = read_labels(FrameTable(frame), columns={"patient_id": "case"})
    assert list(table.patients)[:2] == ["P0", "P1"]
    with pytest.raises(TableError, match="Row P10 says 'old'") as raised:
        column_cells(table, "age")
    assert "of DataFrame" in str(raised.value) and "'age'" in str(raised.value)


def test_filtered_rows_keep_their_labels() -> None:
    frame = pd.DataFrame({"patient_id": ["a", "b", None, "d"], "grade": ["x", "y", "x", "y"]})
    (issue,) = [
        each for each in examine_labels(FrameTable(frame[1:])).issues if "patient identifier" in each.what
    ]
    assert issue.where == "DataFrame, column 'patient_id', row 2"


def test_labels_that_occur_twice_say_their_place() -> None:
    rows, _ = read_frame_rows(pd.DataFrame({"patient_id": ["a", "b"]}, index=["x", "x"]))
    assert [str(row) for row, _ in rows[1:]] == ["x (iloc 0)", "x (iloc 1)"]
    assert [row_of(row) for row, _ in rows[1:]] == [0, 1]


def test_what_is_no_table_of_single_values_is_refused_or_left_out() -> None:
    levels = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    with pytest.raises(TableError, match="2 levels"):
        texts(levels)
    with pytest.raises(TableError, match="'a' occurs 2 times"):
        texts(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TableError, match="no rows"):
        texts(pd.DataFrame({"patient_id": []}))
    table = read_table(FrameTable(pd.DataFrame({"patient_id": ["a"], "box": [[1, 2]]})))
    assert table.columns == ["patient_id"] and "list" in table.no_column("box")[0]


def test_a_multi_index_with_names_is_columns() -> None:
    index = pd.MultiIndex.from_tuples([("P1", "s1"), ("P2", "s2")], names=["patient_id", "slide_id"])
    table = read_labels(FrameTable(pd.DataFrame({"grade": ["x", "y"]}, index=index)))
    assert table.text.columns == ["patient_id", "slide_id", "grade"]
    assert list(table.links["slide_id"]) == ["s1", "s2"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))), min_size=1, max_size=8)
)
def test_a_frame_and_its_file_are_read_alike(cells: list[str]) -> None:
    frame = pd.DataFrame({"patient_id": [f"p{row}" for row in range(len(cells))], "word": cells})
    found = texts(frame)
    assert len(found) == len(cells) and found.index.tolist() == list(range(len(cells)))
    assert found["patient_id"].tolist() == frame["patient_id"].tolist()


def test_a_label_is_a_number_that_keeps_its_word() -> None:
    label = RowLabel(4)
    label.label = "P9"
    assert row_of(label) == 4 and f"{row_of(label)}" == "P9" and row_of(np.int64(4)) == 4
    assert Path("x") / str(label) == Path("x/P9")
