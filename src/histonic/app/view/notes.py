"""Notes on patients in a CSV beside what is looked at: the one file that the viewer writes."""

from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, datetime
from pathlib import Path

from histonic.core.errors import TableError
from histonic.core.files import csv_text, restore_cell, write_text

COLUMNS = ("patient_id", "note", "changed")
MOST_LETTERS = 20_000
"""In one note; spreadsheets hold 32,767 in a cell."""


class NoteChanged(Exception):
    """Somebody else has changed the note meanwhile.

    Attributes:
        note: What it says now.
    """

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


class Notes:
    """Notes by patient, read and written anew at each change, so that two viewers do not undo each other.

    Columns that somebody added to the file stay, as do lines of patients who are not shown. No cell of the
    file is taken for a formula by a spreadsheet.

    Args:
        path: The CSV; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def read(self) -> dict[str, str]:
        """Note per patient.

        Raises:
            TableError: The file is no table of notes.
        """
        _, rows = self._rows()
        return {row["patient_id"]: row["note"] for row in rows if row["note"]}

    def save(self, patient_id: str, note: str, before: str) -> None:
        """Change one note; an empty one is kept as an empty line.

        Args:
            patient_id: Whose.
            note: What it shall say.
            before: What the writer believes that it says.

        Raises:
            NoteChanged: It says something else.
            TableError: The file is no table of notes, or the note is too long.
            OutputError: The file cannot be written.
        """
        if len(note) > MOST_LETTERS:
            raise TableError(
                f"Keep a note on {patient_id!r}.",
                f"It has {len(note)} letters.",
                f"Keep it below {MOST_LETTERS}.",
            )
        with self._lock:
            columns, rows = self._rows()
            mine = next((row for row in rows if row["patient_id"] == patient_id), None)
            now = mine["note"] if mine else ""
            if now not in (before, note):
                raise NoteChanged(now)
            if mine is None:
                mine = dict.fromkeys(columns, "") | {"patient_id": patient_id}
                rows.append(mine)
            mine["note"] = note
            mine["changed"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            write_text(self.path, csv_text(columns, ([row[name] for name in columns] for row in rows)))

    def _rows(self) -> tuple[list[str], list[dict[str, str]]]:
        """Columns and lines of the file."""
        if not self.path.is_file():
            return list(COLUMNS), []
        todo = "Save it as CSV with commas and UTF-8, or move it away; nothing was changed."
        try:
            # As bytes: carriage returns within notes stay what they are.
            text = self.path.read_bytes().decode("utf-8-sig")
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except (OSError, ValueError, csv.Error) as error:
            raise TableError(f"Read the notes in {self.path}.", f"It is no table: {error}.", todo) from error
        columns = [restore_cell(name) for name in lines[0]] if lines else list(COLUMNS)
        wrong = [name for name in COLUMNS if columns.count(name) != 1]
        if wrong or len(set(columns)) < len(columns):
            found = f"Its columns are {', '.join(map(repr, columns))}; wanted are {', '.join(COLUMNS)}."
            raise TableError(f"Read the notes in {self.path}.", found, todo)
        rows = []
        for number, line in enumerate(lines[1:], start=2):
            if not line:
                continue
            if len(line) != len(columns):
                found = f"Line {number} has {len(line)} cells, not {len(columns)}."
                raise TableError(f"Read the notes in {self.path}.", found, todo)
            rows.append(dict(zip(columns, map(restore_cell, line), strict=True)))
        return columns, rows
