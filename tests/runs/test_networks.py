"""Tables of single networks: read, absent, damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import RunError
from histonic.core.task import Task
from histonic.runs.networks import networks_path, read_networks

TASK = Task("msi", "binary", ("msi",), ("no", "yes"))


def test_runs_of_earlier_versions_have_none(tmp_path: Path) -> None:
    assert read_networks(tmp_path, TASK) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("patient_id,repeat,fold,initialisation\na,0,0,0\n", "no column part"),
        ("patient_id,repeat,fold,initialisation,part\na,0,0,0,tuning\n", "'tuning'"),
        ("", "cannot be read"),
    ],
)
def test_damaged_ones_are_refused(tmp_path: Path, text: str, found: str) -> None:
    path = networks_path(tmp_path, TASK)
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(RunError, match=found):
        read_networks(tmp_path, TASK)


def test_classes_stay_text(tmp_path: Path) -> None:
    path = networks_path(tmp_path, TASK)
    path.parent.mkdir()
    path.write_text("patient_id,repeat,fold,initialisation,part,truth\n01,0,0,0,test,no\n")
    table = read_networks(tmp_path, TASK)
    assert table is not None and table.texts("patient_id") == ["01"]
