"""Files by their models: written and read alike, and every other file refused by its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from histonic.core.documents import (
    Document,
    Part,
    SealedDocument,
    SparsePart,
    is_changed,
    parse_document,
    read_document,
    read_yaml,
    write_document,
)
from histonic.core.errors import SettingsError, TableError


class Row(Part):
    name: str
    values: tuple[float, ...]


class Sheet(Document):
    FORMAT = "histonic-sheet-2"

    rows: tuple[Row, ...]
    path: Path
    note: str | None = None


SHEET = Sheet(rows=(Row(name="a", values=(1.0, 0.1 + 0.2)),), path=Path("here"))


def read(path: Path) -> Sheet:
    return read_document(Sheet, path, TableError, "Make it again.")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_document(tmp_path / "sheet.json", SHEET)
    assert read(tmp_path / "sheet.json") == SHEET
    assert json.loads((tmp_path / "sheet.json").read_text())["format"] == "histonic-sheet-2"


def test_what_was_not_set_stands_in_no_sparse_file() -> None:
    class Sparse(SparsePart, Document):
        FORMAT = "histonic-sparse-1"
        needed: int
        more: str = ""
        named: str = Field("", alias="class")

    assert Sparse(needed=1).to_dict() == {"format": "histonic-sparse-1", "needed": 1}
    assert set(Sparse.model_validate({"needed": 1, "class": "a"}).to_dict()) == {"format", "needed", "class"}
    assert set(Sparse(needed=1).model_copy(update={"more": "x"}).to_dict()) == {"format", "needed", "more"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "histonic-sheet-1"}, "older than 'histonic-sheet-2'"),
        ({"format": "histonic-sheet-10"}, "newer than 'histonic-sheet-2'"),
        ({"format": "histonic-map-2"}, "no file of the format"),
        ({"format": None}, "its format is None"),
        ({"path": 3}, "path is 3"),
        ({"rows": [{"name": "a"}]}, r"rows\.0\.values is absent"),
        ({"rows": [{"name": "a", "values": ["1"]}]}, r"rows\.0\.values\.0 is '1'"),
        ({"rows": "x" * 500}, r"rows is 'x+\.\.\."),
        ({"colour": "red"}, "colour is 'red'"),
    ],
)
def test_another_file_is_refused_by_its_field(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "sheet.json"
    path.write_text(json.dumps({**SHEET.to_dict(), **change}), encoding="utf-8")
    with pytest.raises(TableError, match=words) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sheet.json"
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"sheet\.json"):
        read(path)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read(tmp_path / "sheet.json")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' stands in the lines 1 and 3"),
        ("a:\n  b: 1\n  b: 2\n", "'b' stands in the lines 2 and 3"),
        ("a: " + "[" * 5000 + "]" * 5000, "more than 40 deep"),
        ("a: " + "9" * 5000, "It is not YAML"),
        ("a: &a [*a]", "holds itself"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join(['*' + chr(97 + k)] * 10)}]\n" for k in range(8)),
         "more than 100,000 values"),
        ("a: 2024-13-45", "month must be"),
        ("a: !!timestamp 1", "It is not YAML"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: [", "It is not YAML"),
        ("# " + "x" * 2_000_000, "It has 2.0 MB"),
    ],
)  # fmt: skip
def test_odd_yaml_is_refused_in_words(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SettingsError, match=word):
        read_yaml(tmp_path / "a.yaml", SettingsError, "Correct it.")


def test_yaml_with_anchors_merges_and_a_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_yaml(tmp_path / "a.yaml", SettingsError, "")["b"] == {"x": 3, "y": 2}
    (tmp_path / "a.yaml").write_text("")
    assert read_yaml(tmp_path / "a.yaml", SettingsError, "") is None


class Sealed(SealedDocument):
    FORMAT = "histonic-sealed-1"

    text: str
    numbers: tuple[float, ...] = ()


def test_a_sealed_document_notices_any_change(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_document(path, Sealed(text="a", numbers=(0.1, 2.0)))
    values = json.loads(path.read_text())
    assert not is_changed(values) and len(values["sha256"]) == 64
    read = parse_document(Sealed, values, path, TableError, "Go.")
    write_document(path, read)
    assert json.loads(path.read_text()) == values
    for change in ({"text": "b"}, {"numbers": [0.1, 2]}, {"numbers": []}, {"sha256": "0"}, {"sha256": None}):
        assert is_changed({**values, **change})


def test_a_document_without_a_seal_counts_as_unchanged() -> None:
    assert not is_changed({"format": "histonic-sealed-1", "text": "a"})
    assert not is_changed([])
