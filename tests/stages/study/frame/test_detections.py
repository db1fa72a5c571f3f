"""Detections as files: written, read again, and scored over images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import TableError
from histonic.core.progress import Silent
from histonic.data.maps.peaks import Points
from histonic.metrics.challenges.points import Hits
from histonic.stages.study.frame import detections
from histonic.stages.study.frame.detections import (
    detector_scores,
    f1_line,
    read_detections,
    write_detections,
    write_multiple_points,
)
from histonic.stages.study.frame.detector import Annotated, Detected
from histonic.stages.study.frame.plan import Outcome, Place
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


def test_a_table_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """As Excel's "Unicode text" is."""
    path = tmp_path / "001.csv"
    path.write_text("x,y\n1,2\n", encoding="utf-16")
    with pytest.raises(TableError, match=r"It cannot be read: [^\0]*Save it as UTF-8"):
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


class Maps(dict[str, Any]):
    """A store of grids alone."""

    def map(self, name: str) -> Any:
        return self[name]


def test_each_domain_is_scored_by_itself_and_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images of one domain, one of another, one without labels, and one that could not be read."""
    grid = SimpleNamespace(grid=SimpleNamespace(slide_mpp=0.25))
    monkeypatch.setattr(
        detections.Store, "open", lambda path: Maps(dict.fromkeys(("a1", "a2", "b1", "x"), grid))
    )
    nothing = np.zeros((0, 2))
    # The first point is a hit, and the second is below the threshold of domain A.
    truth = {"a1": np.array([[400.0, 8020.0]]), "a2": nothing, "b1": np.array([[30.0, 0.0]]), "gone": nothing}
    found = [
        Detected("A", {"a1": POINTS, "a2": POINTS}, 0.0, Hits(3, 1, 1), 1, {"a1": 0.25, "a2": 0.25}),
        Detected("B", {"b1": POINTS}, -5.0, Hits(3, 1, 1), 2, {"b1": 0.25}),
        Detected("", {"x": POINTS}, 0.0, Hits(3, 1, 1), 3, {"x": 0.25}),
    ]
    asked: list[Any] = []
    monkeypatch.setattr(detections, "detect", lambda *given, **more: asked.append(given[1:]) or found)
    for earlier in ("detections/c1.csv", "submission/c1.json"):
        (tmp_path / earlier).parent.mkdir()
        (tmp_path / earlier).write_text("of an image that is gone")
    outcome = Outcome()
    labelled = [Annotated(name, name[0].upper(), xy, nothing) for name, xy in truth.items()]
    lines, notes = detector_scores(
        SETTINGS, Place(tmp_path), tmp_path, labelled, ["x"], 7.5, Silent(), outcome
    )
    assert [image.slide_id for image in asked[0][0]] == ["a1", "a2", "b1"] and asked[0][1] == ["x"]
    assert [(line.of, line.n) for line in lines] == [
        ("detections, each domain left out", 3),
        ("detections in A, left out", 2),
        ("detections in B, left out", 1),
    ]
    assert [line.note.partition(" Threshold")[0] for line in lines] == [
        "2 true, 2 false, 0 missed.",
        "1 true, 1 false, 0 missed.",
        "1 true, 1 false, 0 missed.",
    ]
    assert lines[0].value == pytest.approx(4 / 6) and "0.500, chosen on 1 images" in lines[1].note
    assert (tmp_path / "detections.csv").read_text().splitlines()[1:] == [
        "a1,A,1,0,0,1.0000,0.500000",
        "a2,A,0,1,0,0.0000,0.500000",
        "b1,B,1,1,0,0.6667,0.006693",
        "x,,,,,,0.500000",
    ]
    for folder, ending in (("detections", "csv"), ("submission", "json")):
        names = sorted(path.name for path in (tmp_path / folder).iterdir())
        assert names == [f"{name}.{ending}" for name in ("a1", "a2", "b1", "x")]
    assert all(path.exists() for path in outcome.files) and notes[-1].endswith("nor scored: gone.")
