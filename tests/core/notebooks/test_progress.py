from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from histonic.core.notebooks.progress import EVERY_S, NotebookProgress


class Screen:
    """Outputs of a cell, each with all that was drawn in its place."""

    def __init__(self) -> None:
        self.outputs: list[list[str]] = []

    def __call__(self, html: str) -> Callable[[str], Any]:
        self.outputs.append([html])
        return self.outputs[-1].append


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def bar(screen: Screen, clock: list[float]) -> NotebookProgress:
    return NotebookProgress(screen, clock=lambda: clock[0])


def test_a_bar_is_drawn_again_in_its_place(bar: NotebookProgress, screen: Screen, clock: list[float]) -> None:
    bar.stage("compress", 200)
    for step in range(100):
        clock[0] = 0.1 * (step + 1)
        bar.advance(1, f"slide <{step}>")
    (output,) = screen.outputs
    assert len(output) <= 1 + 10 / EVERY_S, "not at every step"
    assert "50 %" in output[-1] and "about 10 s left" in output[-1] and "slide &lt;98&gt;" in output[-1]


def test_each_stage_has_an_output_and_ends_full(bar: NotebookProgress, screen: Screen) -> None:
    bar.stage("compress", 2)
    bar.advance(2)
    bar.stage("train", 4)
    bar.advance(1)
    assert len(screen.outputs) == 2
    assert "100 %" in screen.outputs[0][-1] and "left" not in screen.outputs[0][-1]


def test_lines_stay_below_the_bar(bar: NotebookProgress, screen: Screen) -> None:
    bar.say("before any stage")
    bar.stage("doctor")
    bar.advance(3)
    for number in range(20):
        bar.say(f"line {number}")
    last = screen.outputs[-1][-1]
    assert "line 19" in last and "line 11" not in last and "doctor" in last


def test_outside_of_a_notebook_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    bar = NotebookProgress()
    bar.stage("compress", 2)
    bar.advance(2)
    bar.say("done")
    assert capsys.readouterr() == ("", "")


@pytest.mark.long
def test_a_verb_in_a_real_kernel_draws_a_bar_unless_it_is_told_otherwise() -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is part of the extra long")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is part of the extra long")
    pytest.importorskip("ipykernel", reason="ipykernel is part of the extra long")
    verb = "simulate_cohort(Path({0!r}), patients=2, seed=1, side_px=256, processes=1{1});"
    cells = [
        "import histonic\nfrom pathlib import Path\nfrom histonic.simulate.slides import simulate_cohort",
        verb.format("a", ""),
        verb.format("b", ", progress=histonic.Listener()"),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
    first, bar, none = (cell["outputs"] for cell in notebook.cells)
    assert first == [] and none == []
    assert len(bar) == 1 and "100 %" in bar[0]["data"]["text/html"]
