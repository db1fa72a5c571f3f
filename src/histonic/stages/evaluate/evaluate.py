"""Out-of-fold predictions of a run to metrics with intervals, and the data of their figures.

Each patient was predicted by networks that never saw that patient. Metrics of order compare patients of the
same fold, whom the same networks predicted, and all these pairs count alike; metrics of level take all
patients. With repeated cross-validation a metric is the mean of its values in the repeats; patients, with all
their predictions, are resampled within their fold. The intervals say how the metrics of *these* networks
would vary with other patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histonic.core.errors import CohortError
from histonic.core.notebooks.cards import Card
from histonic.core.task import Task, TaskKind
from histonic.metrics.inference.intervals import bootstrap, percentile_band
from histonic.metrics.inference.scores import Score, score_measures
from histonic.runs.predictions import PredictionTable, read_predictions
from histonic.runs.repeats import mean_measures, mean_table, split_repeats
from histonic.runs.run import read_facts
from histonic.stages.evaluate.curves import Curves, FoldScore
from histonic.stages.evaluate.evaluated import Evaluated, listed, number_or_none, same_folds
from histonic.stages.evaluate.labels import evaluate_classes, evaluate_ordinal
from histonic.stages.evaluate.operating_points import PointEvaluation, evaluate_points
from histonic.stages.evaluate.survival import evaluate_survival
from histonic.stages.evaluate.values import evaluate_regression

BAND_RESAMPLES = 500
"""Resamples for the bands of curves, which need no more to be drawn."""


@dataclass(frozen=True, repr=False)
class TaskEvaluation:
    """What the predictions of one target are worth.

    Attributes:
        task: The target.
        n: Patients with a truth; the others are left out.
        scores: Metrics with intervals, the leading one first.
        curves: Data of the figures; see :mod:`histonic.stages.evaluate.curves`.
        points: What the calls at the operating points of a binary target are worth.
    """

    task: Task
    n: int
    scores: tuple[Score, ...]
    curves: Curves
    points: tuple[PointEvaluation, ...] = ()

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        rows = [("patients", str(self.n))]
        for score in self.scores:
            ends = "" if score.low is None else f" ({score.low:.3f} to {score.high:.3f})"
            rows.append((score.name, "undefined" if score.value is None else f"{score.value:.3f}{ends}"))
        return Card(f"Evaluation of {self.task.name!r}", tuple(rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without NaN."""
        return {
            "task": self.task.to_dict(),
            "n": self.n,
            "scores": [score.to_dict() for score in self.scores],
            "curves": self.curves.model_dump(mode="json", by_alias=True),
            "operating_points": [each.to_dict() for each in self.points],
        }


def evaluate_task(
    task: Task,
    predictions: pd.DataFrame,
    *,
    resamples: int = 2000,
    seed: int = 0,
    reference: pd.DataFrame | None = None,
) -> TaskEvaluation:
    """Score the predictions of one target.

    Args:
        task: The target.
        predictions: One row a patient and repeat, columns as in ``predictions/<task>.csv`` of a run.
        resamples: Resamples of the patients for the 95 % intervals.
        seed: Of the resamples; the same for all targets.
        reference: For a cohort from elsewhere, the predictions of the run's own patients. For survival, the
            step from risk to predicted survival is fitted to them (with repeats, to each patient's mean
            risk) and to nobody of the cohort that is scored; other targets need none.

    Raises:
        TableError: A column is absent or a cell cannot be used.
        CohortError: Too few patients, one class only, a constant truth, no comparable survival times.

    Example:
        >>> table = pd.DataFrame({
        ...     "patient_id": list("abcd"), "site": "", "fold": 0,
        ...     "truth": [1.0, 2.0, 3.0, 4.0], "predicted": [1.5, 2.0, 2.5, 3.0]})
        >>> result = evaluate_task(Task("ki67", "regression", ("ki67",)), table, resamples=100)
        >>> result.scores[0].name, result.scores[0].value
        ('Spearman correlation', 1.0)
    """
    tables = split_repeats(PredictionTable(task, predictions))
    evaluate = evaluator_of(task, reference)
    each = [evaluate(table) for table in tables]
    shown = each[0] if len(each) == 1 else evaluate(mean_table(tables))
    n = len(shown.fold)
    rng = np.random.default_rng(seed)
    measures = mean_measures([one.measures for one in each])
    fold = same_folds([one.fold for one in each])
    scores = score_measures(measures, n, resamples=resamples, rng=rng, fold=fold)
    curves = _with_bands(shown, n, min(resamples, BAND_RESAMPLES), seed)
    curves = curves.model_copy(update={"repeats": len(each), "folds": tuple(_per_fold(each))})
    return TaskEvaluation(task, n, scores, curves, evaluate_points(tables))


def _with_bands(shown: Evaluated, n: int, resamples: int, seed: int) -> Curves:
    """The curves, those that have one with the ends of their 95 % band."""
    banded = {}
    for name, statistic in shown.bands.items():
        drawn = bootstrap([statistic], n, resamples, np.random.default_rng(seed))[0]
        low, high = (tuple(listed(end)) for end in percentile_band(drawn))
        banded[name] = getattr(shown.curves, name).model_copy(update={"low": low, "high": high})
    return shown.curves.model_copy(update=banded)


def evaluate_run(run: str | Path, *, resamples: int = 2000, seed: int = 0) -> list[TaskEvaluation]:
    """Score all targets of a run folder, in the order in which they were trained.

    Args:
        run: Folder made by ``histonic train``.
        resamples: Resamples of the patients for the 95 % intervals.
        seed: Of the resamples.

    Raises:
        RunError: The run is not finished, or a file of it is damaged.
        TableError: A column or cell of a table of predictions cannot be used.
        CohortError: A target cannot be evaluated; see :func:`evaluate_task`.
    """
    folder = Path(run)
    return [
        evaluate_task(task, read_predictions(folder, task).frame, resamples=resamples, seed=seed)
        for task in read_facts(folder).tasks
    ]


def _per_fold(each: Sequence[Evaluated]) -> list[FoldScore]:
    """The leading metric on each fold's patients alone; None where it is undefined."""
    rows = []
    for repeat, one in enumerate(each):
        names = np.unique(one.fold)
        here = (one.fold == names[:, None]).astype(np.float64)
        values = one.measures[0].statistic(here)
        rows += [
            FoldScore(repeat=repeat, fold=int(name), n=int(row.sum()), value=number_or_none(value))
            for name, row, value in zip(names, here, values, strict=True)
        ]
    return rows


EVALUATORS: dict[TaskKind, Callable[[PredictionTable], Evaluated]] = {
    "binary": evaluate_classes,
    "multiclass": evaluate_classes,
    "ordinal": evaluate_ordinal,
    "regression": evaluate_regression,
    "survival": evaluate_survival,
}
"""One evaluator per kind of target."""


def evaluator_of(task: Task, reference: pd.DataFrame | None = None) -> Callable[[PredictionTable], Evaluated]:
    """The evaluator of a target's kind.

    Args:
        task: The target.
        reference: As for :func:`evaluate_task`.
    """
    if task.kind != "survival" or reference is None:
        return EVALUATORS[task.kind]
    own = mean_table(split_repeats(PredictionTable(task, reference)))
    return partial(evaluate_survival, reference=own)


def evaluate_target(
    table: PredictionTable, *, resamples: int, seed: int, reference: PredictionTable | None = None
) -> TaskEvaluation | CohortError:
    """Score one target; one that cannot be scored must not cost the reader the others.

    Args:
        table: Its predictions.
        resamples: Resamples of the patients.
        seed: Of the resamples.
        reference: For a cohort from elsewhere, the run's own predictions.

    Returns:
        The evaluation, or what was found instead: too few patients, one class only, no event.

    Raises:
        TableError: The table of predictions is damaged.
    """
    try:
        own = None if reference is None else reference.frame
        return evaluate_task(table.task, table.frame, resamples=resamples, seed=seed, reference=own)
    except CohortError as error:
        return error
