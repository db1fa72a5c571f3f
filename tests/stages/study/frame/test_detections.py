"""Detections as files: written, read again, and scored over images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from histonic.core.errors import TableError
from histonic.data.maps.peaks import Points
from histonic.metrics.challenges.points import Hits
from histonic.stages.study.frame.detections import (
    f1_line,
    read_detections,
    write_detections,
    write_multiple_points,
)
from histonic.stages.study.frame.settings import RecipeSettings

POINTS = Points(np.array([[400.0, 8000.0], [30.25, 12.0]]), np.array([np.log(9.0), np.log(0.25)]))
SETTINGS = RecipeSettings(name="midog", data=Path("."), resamples=200)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "001.csv"
    assert write_detections(path, POINTS, 0.0) == 1
    assert path.read_text().splitlines() == ["x,y,probability", "400.0,8000.0,0.900000"]
    assert read_detections(path) == [(400.0, 8000.0)]
    path.write_text("1,2\n\n3,4\n")
    assert read_detections(path) == [(1.0, 2.0), (3.0, 4.0)]
    assert read_detections(tmp_path / "absent.csv") == []


@pytest.mark.parametrize("row", ["1;1", "1", "1,2,3,4", "1,nan", "1,2,", "x,y"])
def test_other_rows_are_refused(row: str, tmp_path: Path) -> None:
    path = tmp_path / "001.csv"
    path.write_text(f"x,y\n{row}\n")
    with pytest.raises(TableError, match="Row 2"):
        read_detections(path)


def test_the_organisers_format(tmp_path: Path) -> None:
    """Millimetres; every point, named by the threshold."""
    write_multiple_points(tmp_path / "001.json", POINTS, 0.0, 0.25)
    held = json.loads((tmp_path / "001.json").read_text())
    assert held["type"] == "Multiple points" and held["version"] == {"major": 1, "minor": 0}
    assert held["points"] == [
        {"name": "mitotic figure", "point": [0.1, 2.0, 0], "probability": 0.9},
        {"name": "non-mitotic figure", "point": [0.007562, 0.003, 0], "probability": 0.2},
    ]


def test_f1_is_pooled_and_its_interval_resamples_images() -> None:
    hits = [Hits(8, 1, 1), Hits(2, 4, 6), Hits(0, 0, 0), Hits(5, 2, 1)]
    line = f1_line("detections", hits, SETTINGS)
    # The worst and the best image are F1 of 0.29 and 0.89, and all resamples lie between.
    assert line.value == pytest.approx(2 * 15 / (2 * 15 + 7 + 8)) and line.n == 4
    assert line.low is not None and line.high is not None and 0 < line.low < line.value < line.high < 1
    assert line.note.startswith("15 true, 7 false, 8 missed.")


def test_nothing_true_and_nothing_found_is_undefined() -> None:
    line = f1_line("detections", [Hits(0, 0, 0), Hits(0, 0, 0)], SETTINGS)
    assert line.value is None and line.low is None
    assert f1_line("detections", [Hits(1, 0, 1)], SETTINGS).low is None
