"""Which columns of a table are offered as targets, and which are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.command_line import typed
from histonic.app.terminal.targets import absent_target, target_lines
from histonic.core.errors import TableError
from histonic.core.task import parse_target
from histonic.data.tables.label_table import read_labels
from histonic.data.targets.targets import read_target

TABLE = "patient_id,slide_id,site,notes,grade,stage,ki67 %,msi,os_months,os_event,batch\n" + "".join(
    f"P{n},P{n}-1,s{n % 3},free text {n},G{n % 3 + 1},{n % 4},{n * 1.5},{'MSI' if n % 5 else 'MSS'},{n},"
    f"{n % 2},one\n"
    for n in range(30)
)


def test_columns_are_offered_with_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(TABLE)
    assert list(target_lines(read_labels(tmp_path / "l.csv"))) == [
        "--target os  (survival: os_months, os_event)",
        "--target grade  (3 classes: G1, G2, G3)",
        "--target stage:ordinal  (4 numbers; or stage:multiclass, stage:regression)",
        "--target 'ki67 %'  (a number, in 30 rows)",
        "--target msi  (2 classes: MSI, MSS)",
    ]


def test_columns_with_colons_are_offered_as_they_can_be_asked_for(tmp_path: Path) -> None:
    head = 'patient_id,slide_id,Grade: WHO,score:regression,"age, years",stage:A,M/S,os:os_months,os:os_event'
    rows = (f"P{n},s{n},G{n % 3 + 1},{n * 1.5},{n * 1.1},{n % 4},{n % 2}x,{n},{n % 2}" for n in range(30))
    (tmp_path / "l.csv").write_text("\n".join([head, *rows]))
    table = read_labels(tmp_path / "l.csv")
    lines = list(target_lines(table))
    assert lines == [
        "--target 'Grade_ WHO::Grade: WHO'  (3 classes: G1, G2, G3)",
        "--target score_regression::score:regression  (a number, in 30 rows)",
        "--target 'age, years'  (a number, in 30 rows)",
        "--target stage_A:ordinal:stage:A  (4 numbers; or stage_A:multiclass:stage:A, "
        "stage_A:regression:stage:A)",
        "--target M_S::M/S  (2 classes: 0x, 1x)",
        "--target os_os_months::os:os_months  (a number, in 30 rows)",
        "--target os_os_event::os:os_event  (2 classes: 0, 1)",
    ]
    for line in lines:
        asked = parse_target(line.removeprefix("--target ").partition("  (")[0].strip("'"))
        assert len(read_target(table, asked).values) == 30 and not set(asked.name) & set(":/")


def test_columns_that_a_target_cannot_name_are_to_be_renamed(tmp_path: Path) -> None:
    head = 'patient_id,slide_id,PD-L1: <1%,"age: months, years",a:<b'
    rows = (f"P{n},s{n},{'yes' if n % 2 else 'no'},{n * 1.5},{n % 4}" for n in range(30))
    (tmp_path / "l.csv").write_text("\n".join([head, *rows]))
    assert list(target_lines(read_labels(tmp_path / "l.csv"))) == [
        "Rename the column 'PD-L1: <1%'  (2 classes: no, yes)",
        "Rename the column 'age: months, years'  (a number, in 30 rows)",
        "--target 'a_b:multiclass:a:<b'  (4 numbers; or 'a_b:regression:a:<b')",
    ]


@pytest.mark.parametrize("command", ["train", "audit"])
def test_a_command_without_a_target_offers_them(command: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(TABLE)
    shown = typed(command, "store", "--labels", "l.csv", cwd=tmp_path)
    assert shown.code == 2 and "--target is missing" in shown.err
    assert "Give --target once or more" in shown.err and "\n    --target grade  (3 classes" in shown.err


def test_without_a_table_the_option_is_explained(tmp_path: Path) -> None:
    assert absent_target({}, "target") == "" and absent_target({"labels": "l.csv"}, "out") == ""
    with pytest.raises(TableError, match="no such file"):
        absent_target({"labels": tmp_path / "none.csv"}, "target")
    (tmp_path / "l.csv").write_text("patient_id,slide_id\na,b\n")
    assert "No column of l.csv" in absent_target({"labels": tmp_path / "l.csv"}, "target")


@pytest.mark.skipif("HISTONIC_DATA" not in os.environ, reason="HISTONIC_DATA names no folder of real data")
@pytest.mark.parametrize("name", ["tcga_blca.csv", "tcga_brca.csv"])
def test_what_is_offered_of_real_tables_can_be_read(name: str) -> None:
    table = read_labels(Path(os.environ["HISTONIC_DATA"]) / "survival" / name)
    lines = list(target_lines(table))
    assert lines
    for line in lines:
        word = line.removeprefix("--target ").partition("  (")[0].strip("'")
        assert read_target(table, parse_target(word)).values
