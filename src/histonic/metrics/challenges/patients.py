"""Rates over patients of whom there are many images, as BreakHis is scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError


def patient_scores(patients: Sequence[str], right: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Of each patient the share of the images that were called right.

    Args:
        patients: ``(n,)``, whose each image is.
        right: ``(n,)`` bool.

    Raises:
        CohortError: There is no image, one is nobody's, or the lengths differ.
    """
    called = np.asarray(right, bool)
    if not len(patients) or len(patients) != len(called) or not all(patients):
        raise CohortError(
            "Score patients by their images.",
            f"{len(patients)} images, {sum(not each for each in patients)} of nobody, {len(called)} calls.",
            "Give every image its patient and its call.",
        )
    names, of = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    shares = np.bincount(of, weights=called) / np.bincount(of)
    return {str(name): float(share) for name, share in zip(names, shares, strict=True)}


def recognition_rate(patients: Sequence[str], right: npt.NDArray[np.bool_]) -> float:
    """BreakHis's patient-level recognition rate: the mean of the patients' scores, not of the images.

    Args:
        patients: ``(n,)``, whose each image is.
        right: ``(n,)`` bool.

    Raises:
        CohortError: As of :func:`patient_scores`.

    Example:
        >>> recognition_rate(["a", "a", "a", "a", "b"], np.array([True, True, True, False, False]))
        0.375
    """
    return float(np.mean(list(patient_scores(patients, right).values())))
