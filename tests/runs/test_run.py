"""A run's JSON files are read with words for what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.runs.run import read_slides, read_store_path, read_tasks

TASK = Task("os", "survival", ("months", "dead"))


def test_what_is_there_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"tasks": [TASK.to_dict()], "store": "maps"}))
    patients = [{"patient_id": "p1", "slide_ids": ["a", "b"]}, {"patient_id": "p2", "slide_ids": ["c"]}]
    (tmp_path / "cohort.json").write_text(json.dumps({"patients": patients}))
    assert read_tasks(tmp_path) == [TASK] and read_store_path(tmp_path) == Path("maps")
    assert read_slides(tmp_path) == {"p1": ("a", "b"), "p2": ("c",)}


@pytest.mark.parametrize("text", [None, "", "[]", "3", '{"tasks": [{}]}', '{"tasks": 3}'])
def test_what_is_damaged_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    for read in (read_tasks, read_store_path):
        with pytest.raises(
            TableError, match=rf"(?s){tmp_path.name}.*run\.json cannot be used.*histonic train"
        ):
            read(tmp_path)
