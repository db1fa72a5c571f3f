"""What the calls at each operating point are worth: from columns of a table of predictions to numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from histonic.core.calls import PointName, call_column
from histonic.core.documents import Part
from histonic.metrics.discrimination.operating_points import CallCounts, CallScore, score_calls
from histonic.runs.predictions import PredictionTable


class PointScore(Part):
    """One number of an operating point.

    Attributes:
        name: As the reader sees it.
        value: None where it is infinite or undefined.
        low: Lower end of the 95 % interval; None where the value is undefined.
        high: Upper end; None where it is infinite or undefined.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, score: CallScore) -> PointScore:
        """The same for JSON, which has neither NaN nor infinity."""
        low, high = score.interval or (None, None)
        return cls(name=score.name, value=_finite(score.value), low=_finite(low), high=_finite(high))

    @property
    def is_infinite(self) -> bool:
        """Whether the value is greater than any number, not undefined."""
        return self.value is None and self.low is not None


class PointEvaluation(Part):
    """What the calls at one operating point are worth.

    With repeats the four counts are means over them, and the numbers are those of these counts.

    Attributes:
        point: Its name.
        n: Patients with a truth and a call.
        uncalled: Patients with a truth whom no threshold could call.
        true_positive: Patients who are positive and called, and so on.
        false_positive: See above.
        false_negative: See above.
        true_negative: See above.
        scores: Sensitivity, specificity, PPV, NPV, LR+, LR− and F1.
    """

    point: PointName
    n: int
    uncalled: int
    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float
    scores: tuple[PointScore, ...]

    @property
    def positives(self) -> int:
        """Patients who are positive."""
        return round(self.true_positive + self.false_negative)


def evaluate_points(tables: Sequence[PredictionTable]) -> tuple[PointEvaluation, ...]:
    """Score the calls at the operating points that a binary target's tables have.

    A patient counts once, also with repeats: as the share of them in which it is called.

    Args:
        tables: One a repeat, with the same patients in the same order.

    Returns:
        One item a point; none where nobody has a call, nor for other kinds of targets.

    Raises:
        TableError: A cell names no class.
    """
    return tuple(found for point in tables[0].points if (found := _evaluate(tables, point)) is not None)


def _evaluate(tables: Sequence[PredictionTable], point: str) -> PointEvaluation | None:
    known = tables[0].has_truth()
    calls = np.stack([each.rows(known).classes(call_column(point), missing=True) for each in tables])
    some = (calls >= 0).any(axis=0)
    if not some.any():
        return None
    positive = tables[0].rows(known).classes("truth")[some] == 1
    called = (calls[:, some] == 1).sum(axis=0) / (calls[:, some] >= 0).sum(axis=0)
    counts = CallCounts.of(positive, called)
    return PointEvaluation(
        point=point,
        n=int(some.sum()),
        uncalled=int((~some).sum()),
        **counts._asdict(),
        scores=tuple(PointScore.of(each) for each in score_calls(counts)),
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
