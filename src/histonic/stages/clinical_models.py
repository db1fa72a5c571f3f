"""What clinical columns alone reach, and what the slides add to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics import labels, regression, survival
from histonic.metrics.calibration import logits
from histonic.metrics.ranks import FloatArray
from histonic.metrics.scores import Measure, score_measures
from histonic.stages.clinical_fits import Design, added_by_image, cross_fit
from histonic.stages.compare_runs import difference_measure
from histonic.stages.patient_columns import as_numbers
from histonic.stages.prediction_table import PredictionTable
from histonic.stages.repeats import mean_measures, split_repeats
from histonic.stages.survival_times import parts_of

FEWEST_PATIENTS = 20
MODELS = ("clinical", "image", "both")
METRIC = {
    "binary": "AUROC",
    "multiclass": "AUROC",
    "ordinal": "Spearman correlation",
    "regression": "Spearman correlation",
    "survival": "C-index",
}
"""What the models are judged by: how well they order the patients."""


class _Repeat(NamedTuple):
    """One repeat's patients with a truth."""

    part: npt.NDArray[Any]
    image: FloatArray
    """``(n, W)``, the image's prediction as covariates on a scale for linear models."""


def evaluate_clinical(
    task: Task,
    predictions: pd.DataFrame,
    columns: Mapping[str, Mapping[str, str]],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Judge clinical columns, the image's prediction and both on the same patients.

    The clinical model is linear (logistic, ridge or Cox), and predicts each patient from the patients of the
    other folds. ``both`` adds the image's out-of-fold prediction as a covariate. Numbers are standardised,
    words become indicators, and missing cells take the median or the most frequent word of the patients that
    the model is fitted to. The likelihood-ratio test asks, on all patients, whether the image's out-of-fold
    prediction adds to the clinical columns (F test for values).

    Args:
        task: The target.
        predictions: As for :func:`histonic.stages.evaluate.evaluate_task`.
        columns: Cell per column and patient, as from
            :func:`histonic.stages.patient_columns.read_patient_columns`.
        resamples: Of the patients, for the 95 % intervals; paired for the gains.
        seed: Of the resamples.

    Returns:
        ``n``, ``metric``, ``columns`` (name, kind, missing), ``models`` (name and score), ``gains`` (name and
        score of the difference), ``test`` (statistic, degrees, p, kind, crossed; None if it cannot be
        fitted).

    Raises:
        TableError: The table is damaged.
        CohortError: Too few patients, one outcome only, or a column is empty or the same for all of them.
    """
    tables = [_known(table) for table in split_repeats(PredictionTable(task, predictions))]
    design = _design(tables[0], columns)
    repeats = [_Repeat(parts_of(table.numbers("fold")), image_covariates(table)) for table in tables]
    measures = {
        name: mean_measures([[_measure(design, _scores(design, repeat, name))] for repeat in repeats])[0]
        for name in MODELS
    }
    gains = {
        "both − clinical": difference_measure(measures["both"], measures["clinical"]),
        "both − image": difference_measure(measures["both"], measures["image"]),
        "image − clinical": difference_measure(measures["image"], measures["clinical"]),
    }
    found = score_measures(
        [*measures.values(), *gains.values()],
        design.n,
        resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    scores = dict(zip([*measures, *gains], (score.to_dict() for score in found), strict=True))
    crossed = any(len(np.unique(table.numbers("fold"))) > 1 for table in tables)
    test = added_by_image(design, np.mean([repeat.image for repeat in repeats], axis=0), crossed=crossed)
    return {
        "n": design.n,
        "metric": METRIC[task.kind],
        "columns": design.described(),
        "models": [{"name": name, "score": scores[name]} for name in measures],
        "gains": [{"name": name, "score": scores[name]} for name in gains],
        "test": test,
    }


def _known(table: PredictionTable) -> PredictionTable:
    """The patients with a truth."""
    if table.task.is_classification:
        return table.rows(table.classes("truth", missing=True) >= 0)
    if table.task.kind == "survival":
        time, event = (table.numbers(name, missing=True) for name in ("time", "event"))
        return table.rows(np.isfinite(time) & np.isfinite(event))
    return table.rows(np.isfinite(table.numbers("truth", missing=True)))


def _design(table: PredictionTable, columns: Mapping[str, Mapping[str, str]]) -> Design:
    task, patients = table.task, table.texts("patient_id")
    asked = f"Set the predictions of {task.name!r} against {', '.join(columns)}."
    numbers, words = {}, {}
    for name, values in columns.items():
        cells = [values.get(patient, "") for patient in patients]
        if not any(cells):
            raise CohortError(asked, f"The column {name!r} is empty for all patients.", "Leave it out.")
        if len(known := set(filter(None, cells))) == 1:
            said = f"The column {name!r} is {known.pop()!r} for all patients"
            raise CohortError(asked, f"{said} who have a value.", "Leave it out.")
        found = as_numbers(cells)
        if found is None:
            words[name] = [text or None for text in cells]
        else:
            numbers[name] = found
    if len(patients) < FEWEST_PATIENTS:
        todo = f"A clinical model needs {FEWEST_PATIENTS} at least."
        raise CohortError(asked, f"{len(patients)} patients have a truth.", todo)
    outcome: Any
    if task.kind == "survival":
        outcome = survival.check_survival(table.numbers("time"), table.numbers("event"), patients=patients)
        varies = survival.has_comparable_pair(outcome)
    else:
        outcome = table.classes("truth") if task.is_classification else table.numbers("truth")
        varies = len(np.unique(outcome)) > 1
    if not varies:
        raise CohortError(asked, "The outcome does not vary.", "Add patients, or leave this target out.")
    return Design(task, outcome, pd.DataFrame(numbers), pd.DataFrame(words, dtype=object), len(patients))


def image_covariates(table: PredictionTable) -> FloatArray:
    """The image's prediction ``(n, W)`` for a linear model: log odds, expected class, value or risk.

    Several classes give the log odds of each against the first.
    """
    kind = table.task.kind
    if kind in ("regression", "survival"):
        return table.numbers("predicted" if kind == "regression" else "risk")[:, None]
    probabilities = table.probabilities()
    if kind == "binary":
        return logits(probabilities[:, 1])[:, None]
    if kind == "ordinal":
        return (probabilities @ np.arange(probabilities.shape[1]))[:, None]
    log = np.log(np.clip(probabilities, 1e-6, None))
    return np.asarray(log[:, 1:] - log[:, :1])


def _scores(design: Design, repeat: _Repeat, model: str) -> FloatArray:
    """``(n, W)`` predictions of one model; those of the image alone are taken as they are."""
    if model == "image":
        if design.task.kind != "multiclass":
            return repeat.image
        odds = np.exp(np.concatenate([np.zeros((design.n, 1)), repeat.image], axis=1))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))
    return cross_fit(design, repeat.image if model == "both" else None, repeat.part)


def _measure(design: Design, scores: FloatArray) -> Measure:
    kind, truth = design.task.kind, design.outcome
    name = METRIC[kind]
    if kind == "survival":
        statistic = partial(survival.concordance, truth, scores[:, 0])
        return Measure(name, statistic, 0.5, units=int(truth.event.sum()))
    if kind in ("ordinal", "regression"):
        statistic = partial(regression.spearman, truth.astype(np.float64), scores[:, 0])
        return Measure(name, statistic, 0.0, scale="fisher")
    smallest = int(np.bincount(truth)[np.unique(truth)].min())
    if kind == "binary":
        return Measure(name, partial(labels.auroc, truth == 1, scores[:, 0]), 0.5, units=smallest)
    return Measure(name, partial(labels.macro, labels.auroc, truth, scores), 0.5, units=smallest)
