"""Figures as files: every figure of the page, and the numbers that are drawn in it."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from histonic.core.errors import OutputError
from histonic.core.task import Task
from histonic.stages.report.figures.drawing import Picture, draw_figure
from histonic.stages.report.figures.export import file_name, named_pictures, write_figures
from histonic.stages.report.figures.marks import read_marks
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings

MSI = Task("msi", "binary", ("msi",), ("stable", "instable"))
GRADE = Task("grade", "ordinal", ("grade",), ("low", "intermediate", "high"))


def test_lines_bands_intervals_cells_and_texts_are_read() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1, 2], [1, np.nan, 3], label="loss")
    axes.fill_between([0, 1], [0.5, 0.6], [1.5, 1.6])
    axes.errorbar([4], [5], yerr=[[1], [2]], fmt="o")
    axes.imshow(np.array([[0.25]]))
    axes.text(7, 8, "12\n50 %")
    axes.set(xlabel="epoch", ylabel="value")
    marks = read_marks(figure)
    by_kind = {kind: [mark for mark in marks if mark.kind == kind] for kind in {each.kind for each in marks}}
    assert [(mark.x, mark.y) for mark in by_kind["point"] if mark.series == "loss"] == [(0, 1), (2, 3)]
    assert [(mark.x, mark.low, mark.high) for mark in by_kind["band"]] == [(0, 0.5, 1.5), (1, 0.6, 1.6)]
    assert [(mark.x, mark.low, mark.high) for mark in by_kind["interval"]] == [(4, 4, 7)]
    assert [mark.text for mark in by_kind["cell"]] == ["0.25"]
    assert [(mark.text, mark.x, mark.y) for mark in by_kind["text"]] == [("12 50 %", 7, 8)]
    assert {(mark.x_axis, mark.y_axis) for mark in marks} == {("epoch", "value")}


def test_names_of_a_forest_stand_beside_its_points() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot(0.7, 1, "o")
    axes.set_yticks([0, 1], ["site: a", "site: b"])
    assert read_marks(figure)[0].text == "site: b"


def test_all_figures_of_a_page_are_written_with_their_numbers(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = make_run(tmp_path / "run", [MSI, GRADE], pictures=False)
    page = write_report(ReportSettings(run=run, resamples=100, figures=tmp_path / "paper")).read_text()
    embedded = {base64.b64decode(each) for each in re.findall(r"image/svg\+xml;base64,([^\"]+)", page)}
    files = sorted((tmp_path / "paper").glob("*.svg"))
    assert {path.read_bytes() for path in files} == embedded and len(files) == len(embedded) > 8
    for path in files:
        with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)), path
    with (tmp_path / "paper" / "figures.csv").open(encoding="utf-8", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {path.name for path in files}


def test_no_two_figures_share_a_file_and_a_name_is_safe(tmp_path: Path) -> None:
    picture = Picture("A/B: ../c", draw_figure(lambda figure: None), "alt", "caption")
    drawn = {
        "targets": [[picture, picture]],
        "forests": [None],
        "external": [[[picture]]],
        "audit": [picture],
        "training": None,
    }
    names = [name for name, _ in named_pictures(["os"], {"elsewhere": ["os"]}, drawn)]
    assert len(set(names)) == 4 and all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert file_name("../..") == "figure" and file_name("Grüße 1") == "grüße-1"
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError):
        write_figures(tmp_path / "taken", [("a", picture)])
