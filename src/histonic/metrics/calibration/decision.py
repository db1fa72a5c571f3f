"""Decision curves: what is gained by treating those whose predicted chance exceeds a threshold.

Vickers and Elkin, Medical Decision Making 26:565 (2006). A threshold of 10 % says that one case found is
worth nine others treated for nothing; net benefit counts cases found per patient, less the others at
that rate. A model is of use where its net benefit is above that of treating all and that of treating none
(0).
"""

from __future__ import annotations

import numpy as np

from histonic.metrics.ranks import BoolArray, FloatArray, as_counts
from histonic.metrics.survival.censoring import still_alive
from histonic.metrics.survival.outcome import Survival


def net_benefit(
    positive: BoolArray, probability: FloatArray, thresholds: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Net benefit of treating the patients whose predicted chance is at least the threshold.

    Args:
        positive: ``(n,)`` bool.
        probability: ``(n,)`` in [0, 1]; all ones for treating everyone.
        thresholds: ``(T,)``, below 1.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        ``(T,)`` or ``(B, T)``, at most the share of positives.

    Example:
        >>> positive, chance = np.array([True, True, False, False]), np.array([0.9, 0.6, 0.6, 0.1])
        >>> net_benefit(positive, chance, np.array([0.2, 0.8])).tolist()
        [0.4375, 0.25]
    """
    drawn = as_counts(counts, len(positive))
    treated = probability[:, None] >= thresholds
    total = drawn.sum(axis=-1, keepdims=True)
    found = drawn @ (treated & positive[:, None]) / total
    needless = drawn @ (treated & ~positive[:, None]) / total
    return np.asarray(found - needless * thresholds / (1 - thresholds))


def net_benefit_by(
    outcome: Survival,
    chance: FloatArray,
    time: float,
    thresholds: FloatArray,
    counts: FloatArray | None = None,
) -> FloatArray:
    """Net benefit for events by ``time`` in the presence of censoring.

    The share of events among those treated is their Kaplan-Meier estimate. Vickers et al., BMC Medical
    Informatics and Decision Making 8:53 (2008).

    Args:
        outcome: From :func:`~histonic.metrics.survival.outcome.check_survival`.
        chance: ``(n,)`` predicted chance of an event by ``time``; all ones for treating everyone.
        time: In the unit of the outcome.
        thresholds: ``(T,)``, below 1.
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; once each by default.

    Returns:
        ``(T,)`` or ``(B, T)``.

    Example:
        >>> outcome = Survival(np.array([1.0, 2.0, 9.0, 9.0]), np.array([True, True, False, False]))
        >>> net_benefit_by(outcome, np.array([0.9, 0.6, 0.6, 0.1]), 5.0, np.array([0.2])).round(4).tolist()
        [0.4375]
    """
    drawn = as_counts(counts, len(chance))
    total = drawn.sum(axis=-1)
    found = []
    for threshold in thresholds:
        treated = drawn * (chance >= threshold)
        share = treated.sum(axis=-1) / total
        alive = still_alive(outcome, np.array([time]), treated)[..., 0]
        found.append(share * ((1 - alive) - alive * threshold / (1 - threshold)))
    return np.stack(found, axis=-1)
