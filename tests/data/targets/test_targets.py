"""Targets: kind inference, columns, survival coding, agreement of rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import TargetRequest, parse_target
from histonic.data.tables.issues import raise_first
from histonic.data.tables.label_table import LabelTable, read_labels
from histonic.data.targets.event_names import is_censor_named
from histonic.data.targets.targets import join_patients, read_target, read_targets


def make_table(folder: Path, **columns: list[str]) -> LabelTable:
    """Patients P0, P1 ... with the columns given; row of the file = position + 2."""
    count = len(next(iter(columns.values())))
    lines = [",".join(["patient_id", *columns])]
    lines += [",".join([f"P{i}", *(cells[i] for cells in columns.values())]) for i in range(count)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return read_labels(folder / "labels.csv")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "0", "1", "NA"], "binary"),
        (["1.0", "0", "1"], "binary"),
        (["yes", "no", ""], "binary"),
        (["a", "b", "c", "a"], "multiclass"),
        ([str(i / 7) for i in range(11)], "regression"),
        (["a", "a"], "binary"),
    ],
)
def test_kind_is_inferred(tmp_path, cells, kind):
    assert read_target(make_table(tmp_path, y=cells), TargetRequest("y")).kind == kind


def test_few_numbers_must_be_named(tmp_path):
    table = make_table(tmp_path, grade=["1", "2", "3", "1"])
    with pytest.raises(TableError, match="grade:ordinal or grade:regression"):
        read_target(table, TargetRequest("grade"))
    assert read_target(table, parse_target("grade:ordinal")).values == {2: "1", 3: "2", 4: "3", 5: "1"}
    assert read_target(table, parse_target("grade:regression")).values == {2: 1.0, 3: 2.0, 4: 3.0, 5: 1.0}


def test_many_different_words_are_not_taken_for_classes(tmp_path):
    table = make_table(tmp_path, y=[f"{i}.5 kg" for i in range(12)])
    with pytest.raises(TableError, match="12 different words in 12 rows"):
        read_target(table, TargetRequest("y"))


def test_wholly_missing_column_is_refused(tmp_path):
    with pytest.raises(TableError, match="Every cell is empty"):
        read_target(make_table(tmp_path, y=["", "NA"]), TargetRequest("y"))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("OS", ("OS_days", "OS_event")),
        ("OS:survival", ("OS_days", "OS_event")),
        ("os", ("OS_days", "OS_event")),
        ("death:survival", ("time", "event")),
        ("x:survival:OS_days,event", ("OS_days", "event")),
    ],
)
def test_survival_columns_are_found(tmp_path, text, columns):
    table = make_table(
        tmp_path, OS=["0", "1"], OS_days=["10", "20"], OS_event=["1", "0"], time=["1", "2"], event=["0", "1"]
    )
    target = read_target(table, parse_target(text))
    assert (target.kind, target.columns) == ("survival", columns)


def test_survival_needs_a_pair_and_only_one(tmp_path):
    with pytest.raises(TableError, match="TIME_COLUMN,EVENT_COLUMN"):
        read_target(make_table(tmp_path, months=["1"], dead=["1"]), parse_target("os:survival"))
    table = make_table(tmp_path, os_days=["1"], os_months=["1"], os_event=["1"])
    with pytest.raises(TableError, match="os_days, os_months"):
        read_target(table, parse_target("os"))


def test_unknown_column_names_the_nearest(tmp_path):
    table = make_table(tmp_path, grade=["a", "b"])
    with pytest.raises(TableError, match="Did you mean 'grade'"):
        read_target(table, TargetRequest("grad"))
    with pytest.raises(TableError, match="Did you mean 'grade'"):
        read_target(table, parse_target("y:binary:Grades"))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("score:regression", "write 'score_regression::score:regression', or rename it"),
        ("g:ordinal:Grade: WHO:low<high", "Rename the column 'Grade: WHO'"),
        ("p::PD-L1", "Rename the column 'PD-L1: <1%'"),
    ],
)
def test_a_column_with_a_colon_is_told_how_to_be_asked_for(tmp_path, asked, words):
    table = make_table(
        tmp_path,
        **{"score:regression": ["1.5", "2.5"], "Grade: WHO": ["low", "high"], "PD-L1: <1%": ["a", "b"]},
    )
    with pytest.raises(TableError, match=words):
        read_target(table, parse_target(asked))
    assert read_target(table, parse_target("g::Grade: WHO")).kind == "binary"


@pytest.mark.parametrize("column", ["censorship", "Censored", "os_censor", "cens"])
def test_censor_named_column_is_refused_unless_inverted(tmp_path, column):
    table = make_table(tmp_path, months=["5", "6"], **{column: ["1", "0"]})
    request = parse_target(f"os:survival:months,{column}")
    with pytest.raises(TableError, match="--event-coding censored"):
        read_target(table, request)
    target = read_target(table, request, event_coding="censored")
    assert target.values == {2: (5.0, 0.0), 3: (6.0, 1.0)}


@pytest.mark.parametrize("column", ["uncensored", "un_censored", "not_censored", "event", "dead"])
def test_other_names_are_events(tmp_path, column):
    assert not is_censor_named(column)
    table = make_table(tmp_path, months=["5", "6"], **{column: ["1", "0"]})
    assert read_target(table, parse_target(f"os:survival:months,{column}")).values[2] == (5.0, 1.0)


def test_one_word_may_not_invert_two_codings(tmp_path):
    table = make_table(tmp_path, t=["5", "6"], dead=["1", "0"], censored=["0", "1"])
    requests = [parse_target("a:survival:t,dead"), parse_target("b:survival:t,censored")]
    with pytest.raises(TableError, match="dead would be turned upside down"):
        read_targets(table, requests, event_coding="censored")


def test_target_names_are_unique_and_not_none(tmp_path):
    table = make_table(tmp_path, y=["a", "b"])
    with pytest.raises(SettingsError, match="'y' occurs twice"):
        read_targets(table, [TargetRequest("y"), TargetRequest("y", "multiclass")])
    with pytest.raises(SettingsError, match="No target"):
        read_targets(table, [])


@pytest.mark.parametrize(
    ("time", "event", "what", "row"),
    [
        ("ten", "1", "Time that is not a number", 3),
        ("-2", "1", "Negative time", 3),
        ("inf", "1", "Time that is not a number", 3),
        ("2", "perhaps", "Event that is not 0 or 1", 3),
        ("2", "2", "Event codes beyond 0 and 1", 3),
    ],
)
def test_bad_survival_cells_name_column_and_row(tmp_path, time, event, what, row):
    table = make_table(tmp_path, os_time=["1", time], os_event=["0", event])
    target = read_target(table, TargetRequest("os"))
    assert [issue.what for issue in target.issues] == [what]
    with pytest.raises(TableError, match=rf"column 'os_(time|event)', row {row}"):
        raise_first(target.issues)


def test_time_of_zero_counts_and_half_a_pair_is_missing(tmp_path):
    table = make_table(tmp_path, os_time=["0", "3", ""], os_event=["1", "NA", "1"])
    assert read_target(table, TargetRequest("os")).values == {2: (0.0, 1.0)}


def test_word_in_a_regression_column_names_the_row(tmp_path):
    target = read_target(make_table(tmp_path, y=["1", "high", "2"]), parse_target("y:regression"))
    with pytest.raises(TableError, match=r"column 'y', row 3"):
        raise_first(target.issues)
    assert target.values == {2: 1.0, 4: 2.0}


def test_decimal_commas_in_semicolon_tables(tmp_path):
    (tmp_path / "a.csv").write_text("patient_id;y\nA;1,5\nB;2,25\n")
    target = read_target(read_labels(tmp_path / "a.csv"), parse_target("y:regression"))
    assert target.values == {2: 1.5, 3: 2.25}


def test_rows_of_a_patient_must_agree(tmp_path):
    (tmp_path / "a.csv").write_text("patient_id,slide_id,y\nA,1,x\nA,2,\nB,3,x\nB,4,z\n")
    table = read_labels(tmp_path / "a.csv")
    values, issues = join_patients(table, read_target(table, TargetRequest("y")))
    assert values == {"A": "x"}
    with pytest.raises(TableError, match=r"column 'y', rows 4, 5, patient 'B'") as caught:
        raise_first(issues)
    assert "x, z" in caught.value.found
