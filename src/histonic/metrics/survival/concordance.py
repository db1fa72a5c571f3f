"""Harrell's C-index: whether patients of higher risk have the earlier events.

``time`` is from inclusion to event or end of follow-up, ``event`` is 1 for an event and 0 for
censored, and a higher ``risk`` means an earlier event, in every function of this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.metrics.ranks import FloatArray, IntArray, as_counts, ratio
from histonic.metrics.survival.outcome import Survival

PAIRS_AT_ONCE = 2**22
"""Pairs of patients held in memory at a time (32 MiB a matrix)."""


def concordance(
    outcome: Survival,
    risk: FloatArray,
    counts: FloatArray | None = None,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """Harrell's C: how often the patient with the earlier event has the higher risk.

    A pair counts if one has an event and the other lives longer, or is censored at that very time.
    Equal risks count half. Two events at the same time do not count. Harrell et al., Statistics in
    Medicine 15:361 (1996).

    Args:
        outcome: From :func:`check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.
        within: ``(n,)`` labels; only pairs with equal labels count. With the fold as label, risks of
            different models are not compared.

    Returns:
        One value per row of counts, in [0, 1]; chance 0.5; NaN if no pair counts.

    Example:
        >>> from histonic.metrics.survival.outcome import check_survival
        >>> outcome = check_survival([1, 2, 3, 4], [1, 0, 1, 0])
        >>> float(concordance(outcome, np.array([4.0, 3.0, 1.0, 2.0])))
        0.75
    """
    drawn = as_counts(counts, len(risk))
    return weighted_concordance(outcome, risk, np.flatnonzero(outcome.event), drawn, drawn, within=within)


def weighted_concordance(
    outcome: Survival,
    risk: FloatArray,
    events: IntArray,
    weight: FloatArray,
    drawn: FloatArray,
    *,
    within: npt.NDArray[Any] | None = None,
) -> FloatArray:
    """Share of the comparable pairs that the risks put in order.

    Args:
        outcome: From :func:`check_survival`.
        risk: ``(n,)``, finite; higher = earlier event.
        events: Rows of the patients whose events begin a pair.
        weight: ``(n,)`` or ``(B, n)``, what the pairs begun by each patient weigh.
        drawn: The same shape, how often each patient ends a pair.
        within: As in :func:`concordance`.

    Returns:
        One value per row of weights; NaN if no pair counts.
    """
    right, pairs = np.zeros(drawn.shape[:-1]), np.zeros(drawn.shape[:-1])
    step = max(1, PAIRS_AT_ONCE // max(1, len(risk)))
    for start in range(0, len(events), step):
        rows = events[start : start + step]
        counted, ordered = _pairs(outcome, risk, rows, within)
        right += np.sum((weight[..., rows] @ ordered) * drawn, axis=-1)
        pairs += np.sum((weight[..., rows] @ counted) * drawn, axis=-1)
    return ratio(right, pairs)


def _pairs(
    outcome: Survival, risk: FloatArray, rows: IntArray, within: npt.NDArray[Any] | None
) -> tuple[FloatArray, FloatArray]:
    """Whether patient ``rows[i]``, who has an event, counts against each j, and how right the risks are."""
    time, event = outcome
    counted = (time > time[rows, None]) | ((time == time[rows, None]) & ~event)
    if within is not None:
        counted &= within == within[rows, None]
    ordered = 0.5 * (risk[rows, None] > risk) + 0.5 * (risk[rows, None] >= risk)
    return counted.astype(np.float64), ordered * counted
