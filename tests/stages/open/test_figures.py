"""The report's figures by name, with their axes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fixtures.runs import ALL_TASKS, MSI, SCORE, SURVIVAL
from histonic.core.errors import RunError, SettingsError
from histonic.stages.evaluate.evaluate import evaluate_run
from histonic.stages.open.figures import FIGURES, figure_names
from histonic.stages.open.run import Run
from histonic.stages.report.figures.targets import PICTURES


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Run:
    where = tmp_path_factory.mktemp("drawn") / "run"
    return Run.open(make_run(where, ALL_TASKS, patients=60, pictures=False))


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    from matplotlib import pyplot

    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


def test_every_figure_of_the_report_has_a_name() -> None:
    for kind, pictures in PICTURES.items():
        assert set(FIGURES[kind].values()) == set(pictures), kind


def test_the_roc_curve_is_that_of_the_evaluation(run: Run) -> None:
    axes = run.plot("roc", MSI.name, resamples=50)
    assert isinstance(axes, Axes)
    (found,) = [each for each in evaluate_run(run.folder, resamples=50) if each.task == MSI]
    drawn = axes.get_lines()[1]
    np.testing.assert_allclose(drawn.get_xdata(), found.curves.roc[0].x)
    np.testing.assert_allclose(drawn.get_ydata(), found.curves.roc[0].y)
    assert f"{found.scores[0].value:.2f}" in axes.get_legend().get_texts()[0].get_text()


def test_a_figure_of_several_axes_is_a_list(run: Run) -> None:
    above, below = run.plot("km", SURVIVAL.name, resamples=50)
    assert above.get_ylabel() == "Share without event" and below.get_title(loc="left") == "Patients at risk"


def test_it_draws_on_a_part_of_ones_own_figure(run: Run) -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    run.plot("roc", MSI.name, figure=left, resamples=50)
    axes = run.plot("scatter", SCORE.name, figure=right, resamples=50)
    assert axes.figure is right and len(figure.axes) == 2


def test_a_forest_of_a_column(run: Run) -> None:
    axes = run.plot("forest", MSI.name, resamples=50)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[0] == "All patients" and any(label.startswith("site: ") for label in labels)


def test_what_is_not_there_is_named(run: Run) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'roc'"):
        run.plot("rock", MSI.name)
    with pytest.raises(SettingsError, match="scatter, calibration, forest, training"):
        run.plot("xyz", SCORE.name)
    with pytest.raises(RunError, match="Name one of them"):
        run.plot("roc")
    assert run.figures(SURVIVAL.name) == figure_names("survival")


def test_a_figure_leaves_the_sessions_settings_as_a_backend_set_them(run: Run) -> None:
    """As the first one of a session, too: a notebook shows no figure where it is not interactive."""
    code = (
        "import sys, matplotlib; matplotlib.use('agg', force=False); from matplotlib import pyplot\n"
        "import histonic; made = pyplot.figure\n"
        "def figure(**more):\n"
        "    matplotlib.interactive(True)\n"
        "    return made(**more)\n"
        "pyplot.figure = figure\n"
        "histonic.Run.open(sys.argv[1]).plot('roc', 'msi', resamples=20); print(matplotlib.is_interactive())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "True"
