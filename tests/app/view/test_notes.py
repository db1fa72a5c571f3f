"""Notes come back as they were written, whatever is in them, and no change of others is lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.app.view.notes import MOST_LETTERS, NoteChanged, Notes
from histonic.core.errors import OutputError, TableError

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


@settings(max_examples=60)
@given(TEXTS, TEXTS)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, patient: str, note: str) -> None:
    notes = Notes(tmp_path_factory.mktemp("notes") / "run.notes.csv")
    notes.save(patient, note, "")
    assert notes.read() == {patient: note}


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "\t=1", "'=x"])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.notes.csv"
    Notes(path).save(text, text, "")
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r"] and Notes(path).read() == {text: text}


def test_changes_of_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.notes.csv"
    one, two = Notes(path), Notes(path)
    one.save("A", "pen", "")
    two.save("B", "fold", "")
    with pytest.raises(NoteChanged) as changed:
        two.save("A", "blurred", "")
    assert changed.value.note == "pen"
    two.save("A", "blurred", "pen")
    assert one.read() == {"A": "blurred", "B": "fold"}
    one.save("B", "", "fold")
    assert one.read() == {"A": "blurred"} and [path] == list(tmp_path.iterdir())


def test_columns_and_lines_that_somebody_added_stay(tmp_path: Path) -> None:
    path = tmp_path / "run.notes.csv"
    path.write_text("\ufeffreviewer,patient_id,note,changed\nEva,Z9,old,\n\n", encoding="utf-8")
    notes = Notes(path)
    notes.save("A", "new", "")
    text = path.read_text(encoding="utf-8").splitlines()
    assert text[:2] == ["reviewer,patient_id,note,changed", "Eva,Z9,old,"] and text[2].startswith(",A,new,20")


@pytest.mark.parametrize("content", ["a;b\n1;2\n", "patient_id,note\nA,b\n", "patient_id,note,changed\nA\n"])
def test_what_is_no_table_of_notes_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.notes.csv"
    path.write_text(content)
    with pytest.raises(TableError, match="nothing was changed"):
        Notes(path).save("A", "x", "")
    assert path.read_text() == content


def test_long_notes_and_places_without_room_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="letters"):
        Notes(tmp_path / "a.csv").save("A", "x" * (MOST_LETTERS + 1), "")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Notes(tmp_path / "file" / "a.csv").save("A", "x", "")
