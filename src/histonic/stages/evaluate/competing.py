"""Risk groups where other causes may come before the event: cumulative incidence, never 1 - Kaplan-Meier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.curves import LogRank, numbers_at_risk
from histonic.metrics.survival.incidence import aalen_johansen
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.curves import IncidenceGroup, IncidenceGroups
from histonic.stages.evaluate.evaluated import listed
from histonic.stages.evaluate.survival_times import RISK_GROUPS, round_times

CAUSE_SPECIFIC = "Of the event of interest; patients with a competing cause count as censored at its time."
"""Said beside every measure of order."""


def other_causes(*tables: PredictionTable) -> list[str]:
    """Names of the causes that ended the follow-up of patients before the event could.

    Args:
        *tables: Of the patients that are scored, and of those that a model was fitted to.
    """
    found = (table.rows(table.competing()) for table in tables if table.competing().any())
    return sorted({cause for table in found for cause in table.texts("cause")})


def incidence_groups(
    outcome: Survival,
    competing: npt.NDArray[np.bool_],
    high: npt.NDArray[np.bool_],
    causes: Sequence[str],
    test: LogRank | None,
) -> IncidenceGroups:
    """Cumulative incidence of the event in the low- and high-risk group, and whether their hazards differ.

    Args:
        outcome: Follow-up of all patients; events are those of interest.
        competing: ``(n,)``, whether another cause ended it.
        high: ``(n,)``, above the cut-off that the training patients of the fold gave.
        causes: From :func:`other_causes`.
        test: Of the hazards of the event, the other causes censored.
    """
    at = round_times(float(outcome.time.max()))
    groups = [
        _group(name, Survival(outcome.time[chosen], outcome.event[chosen]), competing[chosen], at)
        for name, chosen in zip(RISK_GROUPS, (~high, high), strict=True)
        if chosen.any()
    ]
    p, chi2 = (None, None) if test is None else (test.p, test.chi2)
    return IncidenceGroups(groups=groups, causes=tuple(causes), at=listed(at), p=p, chi2=chi2)


def _group(name: str, outcome: Survival, competing: npt.NDArray[np.bool_], at: FloatArray) -> IncidenceGroup:
    curve = aalen_johansen(outcome, competing)
    return IncidenceGroup(
        name=name,
        n=curve.n,
        events=curve.events,
        competing=curve.competing,
        time=listed(curve.time),
        incidence=listed(curve.incidence),
        low=listed(curve.low),
        high=listed(curve.high),
        at_risk=numbers_at_risk(outcome.time, at).astype(int).tolist(),
    )
