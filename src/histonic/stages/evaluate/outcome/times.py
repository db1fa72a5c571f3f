"""Survival at chosen times with intervals, and whether follow-up ends alike in the risk groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.documents import Part
from histonic.metrics.survival.curves import kaplan_meier, log_rank, numbers_at_risk
from histonic.metrics.survival.incidence import aalen_johansen
from histonic.metrics.survival.outcome import Survival, check_survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.evaluated import fold_or_none
from histonic.stages.evaluate.survival_times import RISK_GROUPS, evaluated_times

FEWEST_OF_A_SITE = 10
"""Patients of a site that gets a row of its own."""
MOST_SITES = 12


class ShareAt(Part):
    """Patients of a group at one time.

    Attributes:
        at_risk: Still followed, without the event, just before that time.
        share: Without the event; of competing causes, with it. None beyond the group's follow-up.
        low: Lower end of the 95 % interval; None where the share has no spread to estimate.
        high: Upper end.
    """

    at_risk: int
    share: float | None
    low: float | None
    high: float | None


class GroupTimes(Part):
    """One group of patients at all times."""

    name: str
    n: int
    events: int
    at: tuple[ShareAt, ...]


class Censoring(Part):
    """Whether the follow-up of the risk groups ends alike, as Uno's C and the Brier score take for granted.

    Attributes:
        time: At which the shares below are.
        low_risk: Share of the low-risk group whose follow-up had not ended by then without an event, by
            reverse Kaplan-Meier.
        high_risk: The same of the high-risk group.
        p: Log-rank test of the ends of follow-up; patients are compared within their fold where predictions
            are cross-validated. None where it cannot be computed.
        crossed: Whether they are.
    """

    time: float
    low_risk: float
    high_risk: float
    p: float | None
    crossed: bool


class OutcomeTimes(Part):
    """Survival of all patients, of the risk groups and of the sites at some times.

    Attributes:
        times: Quartiles of the times of events, and the horizon of calibration.
        competing: The shares are of patients with the event (Aalen-Johansen), not without it.
        groups: All patients first.
        censoring: None where a group is empty, or nobody's follow-up ended without an event.
    """

    times: tuple[float, ...]
    competing: bool
    groups: tuple[GroupTimes, ...]
    censoring: Censoring | None


def outcome_times(table: PredictionTable) -> OutcomeTimes | None:
    """Survival of the patients with a known follow-up, and how it ends.

    Args:
        table: Predictions of one repeat of a survival target.

    Returns:
        None without any event.
    """
    table = table.rows(table.has_truth())
    outcome = check_survival(
        table.numbers("time"), table.numbers("event"), patients=table.texts("patient_id")
    )
    if not outcome.event.any():
        return None
    found = evaluated_times(outcome)
    times = tuple(sorted({*found.quartiles, found.horizon}))
    other = table.competing()
    high = table.numbers("high_risk") > 0.5
    groups = [("all patients", np.ones(len(high), bool))]
    groups += [(name, rows) for name, rows in zip(RISK_GROUPS, (~high, high), strict=True) if rows.any()]
    sites = np.array(table.texts("site"), dtype=object)
    named = [name for name in sorted(set(sites)) if name and (sites == name).sum() >= FEWEST_OF_A_SITE]
    if 1 < len(named) <= MOST_SITES:
        groups += [(f"site {name}", sites == name) for name in named]
    return OutcomeTimes(
        times=times,
        competing=bool(other.any()),
        groups=tuple(_group(name, outcome, other, rows, times) for name, rows in groups),
        censoring=censoring_by_group(outcome, other, high, table.numbers("fold"), found.horizon),
    )


def _group(
    name: str,
    outcome: Survival,
    other: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.bool_],
    times: Sequence[float],
) -> GroupTimes:
    mine = Survival(outcome.time[rows], outcome.event[rows])
    if other.any():
        incidence = aalen_johansen(mine, other[rows])
        time, share = incidence.time, incidence.incidence
        low, high = incidence.low, incidence.high
    else:
        curve = kaplan_meier(mine)
        time, share, low, high = curve.time, curve.survival, curve.low, curve.high
    risk = numbers_at_risk(mine.time, np.array(times))
    at = []
    for moment, left in zip(times, risk, strict=True):
        place = int(np.searchsorted(time, moment, side="right")) - 1
        known = bool(left) or bool(share[place] in (0.0, 1.0) and not other.any() and share[place] == 0.0)
        spread = known and 0 < share[place] < 1
        at.append(
            ShareAt(
                at_risk=int(left),
                share=float(share[place]) if known else None,
                low=float(low[place]) if spread else None,
                high=float(high[place]) if spread else None,
            )
        )
    return GroupTimes(name=name, n=int(rows.sum()), events=int(mine.event.sum()), at=tuple(at))


def censoring_by_group(
    outcome: Survival,
    other: npt.NDArray[np.bool_],
    high: npt.NDArray[np.bool_],
    fold: npt.NDArray[np.float64],
    time: float,
) -> Censoring | None:
    """Whether follow-up ends alike in the low- and the high-risk group.

    Weights for censoring take the same curve for all patients (Uno et al., Statistics in Medicine 30:1105,
    2011). If patients of one group are lost sooner, that curve is neither group's. Ends of follow-up are not
    what the networks learned from: the variance counts once in cross-validation, too
    (``benchmarks/p_values.md``).

    Args:
        outcome: Follow-up.
        other: ``(n,)`` whether another cause ended it; that is no loss from follow-up.
        high: ``(n,)`` the high-risk group.
        fold: ``(n,)``.
        time: At which the shares are given.
    """
    lost = Survival(outcome.time, ~outcome.event & ~other)
    if high.all() or not high.any() or not lost.event.any():
        return None
    shares = []
    for rows in (~high, high):
        curve = kaplan_meier(Survival(lost.time[rows], lost.event[rows]))
        shares.append(float(curve.survival[int(np.searchsorted(curve.time, time, side="right")) - 1]))
    strata = fold_or_none(fold)
    test = log_rank(lost, high, strata=strata)
    return Censoring(
        time=float(time),
        low_risk=shares[0],
        high_risk=shares[1],
        p=None if test is None else test.p,
        crossed=strata is not None,
    )
