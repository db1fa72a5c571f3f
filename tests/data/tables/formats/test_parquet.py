"""Parquet files: types that are labels and types that are not."""

from __future__ import annotations

import datetime
import decimal
import importlib
import sys

import pyarrow
import pyarrow.parquet
import pytest

from histonic.core.errors import TableError
from histonic.data.tables.files import read_table


def table(folder, names, *columns):
    arrays = [each if isinstance(each, pyarrow.Array) else pyarrow.array(each) for each in columns]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), folder / "a.parquet")
    return read_table(folder / "a.parquet")


def test_single_values_of_every_type(tmp_path):
    read = table(
        tmp_path,
        ["text", "bytes", "money", "day", "kind", "flag"],
        ["A", "B"],
        [b"x", b"y"],
        [decimal.Decimal("1.50"), None],
        [datetime.date(2020, 1, 2), None],
        pyarrow.array(["p", "q"]).dictionary_encode(),
        [True, None],
    )
    assert list(read.frame.loc[2]) == ["A", "x", "1.50", "2020-01-02", "p", "True"]
    assert list(read.frame.loc[3]) == ["B", "y", "", "", "q", ""]


def test_lists_and_bytes_are_left_out_and_said(tmp_path):
    read = table(tmp_path, ["id", "codes", "raw"], ["A"], [[1.0, 2.0]], [b"\xff\xfe"])
    assert read.columns == ["id"]
    assert "no single values" in read.no_column("codes")[0]
    assert "no text" in read.no_column("raw")[0]


def test_two_columns_of_one_name(tmp_path):
    with pytest.raises(TableError, match="'id' occurs 2 times"):
        table(tmp_path, ["id", "id"], ["A"], ["B"])


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("histonic.data.tables.formats.parquet.MOST_CELLS", 3)
    with pytest.raises(TableError, match="2 rows in 2 columns"):
        table(tmp_path, ["a", "b"], ["A", "B"], ["C", "D"])


def test_without_its_package_the_extra_is_named(tmp_path, monkeypatch):
    file = tmp_path / "a.parquet"
    table(tmp_path, ["id"], ["A"])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(TableError, match=r"pyarrow, which is not installed[^$]*histonic\[parquet\]"):
        read_table(file)


def test_a_package_that_does_not_load_is_told_from_one_that_is_absent(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").touch()

    def fail(name):
        raise ImportError(f"{name}: a library is of another version")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(TableError, match=r"cannot be imported: pyarrow\.parquet: a library"):
        read_table(tmp_path / "a.parquet")
