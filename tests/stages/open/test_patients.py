"""One patient on a figure: the slides, what speaks for the prediction, prediction and truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from histonic.core.errors import RunError, StoreError
from histonic.stages.open.run import Run


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    from matplotlib import pyplot

    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


def test_a_patient_is_shown_with_prediction_and_truth(trained: Path) -> None:
    run = Run.open(trained)
    row = run.predictions().iloc[0]
    patient = run.cohort.patients[[each.patient_id for each in run.cohort.patients].index(row["patient_id"])]
    axes = run.show(row["patient_id"])
    assert len(axes) == 2 * len(patient.slide_ids)
    title = axes[0].figure.get_suptitle()
    assert title.startswith(row["patient_id"])
    assert f"predicted {row['predicted']:.3g}, truth {row['truth']:.3g}" in title
    assert axes[0].get_title() == patient.slide_ids[0] and "a higher value" in axes[1].get_title()
    slide, overlay = (np.asarray(each.get_images()[0].get_array()) for each in axes[:2])
    assert slide.shape == overlay.shape and (slide != overlay).any()


def test_slides_alone_need_no_networks(trained: Path) -> None:
    run = Run.open(trained)
    axes = run.show(run.cohort.patients[0].patient_id, method=None)
    assert len(axes) == len(run.cohort.patients[0].slide_ids)


def test_what_is_not_there_is_named(trained: Path, tmp_path: Path) -> None:
    run = Run.open(trained)
    first = run.cohort.patients[0].patient_id
    with pytest.raises(RunError, match="Did you mean"):
        run.show(first + "x")
    with pytest.raises(RunError, match="integrated-gradients"):
        run.show(first, method="saliency")
    with pytest.raises(StoreError, match="no such folder"):
        run.show(first, store=tmp_path / "elsewhere")
