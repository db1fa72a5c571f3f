"""Patient-level rates by hand."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.errors import CohortError
from histonic.metrics.challenges.patients import patient_scores, recognition_rate


def test_patients_count_alike_however_many_images_they_have() -> None:
    patients = ["a"] * 10 + ["b"]
    right = np.array([True] * 10 + [False])
    assert patient_scores(patients, right) == {"a": 1.0, "b": 0.0}
    assert recognition_rate(patients, right) == 0.5
    assert right.mean() == pytest.approx(10 / 11)


def test_images_of_nobody_are_refused() -> None:
    with pytest.raises(CohortError, match="2 images, 1 of nobody"):
        recognition_rate(["a", ""], np.array([True, True]))
