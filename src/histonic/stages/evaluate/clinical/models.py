"""What clinical columns alone reach, and what the slides add to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.documents import Part
from histonic.core.errors import CohortError
from histonic.core.task import Task
from histonic.metrics.calibration.probabilities import logits
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference.scores import Measure, Score, score_measures
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import Survival, check_survival, has_comparable_pair
from histonic.runs.patient_columns import as_numbers
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_measures, split_repeats
from histonic.stages.evaluate.clinical.fits import (
    AddedByImage,
    ClinicalColumn,
    Design,
    added_by_image,
    cross_fit,
    fit_and_predict,
)
from histonic.stages.evaluate.clinical.target_columns import require_no_target
from histonic.stages.evaluate.evaluated import difference_measure, fold_or_none, met_classes, same_folds
from histonic.stages.evaluate.survival_times import parts_of

FEWEST_PATIENTS = 20
FEW_LEVELS = 6
PATIENTS_A_LEVEL = 5
"""A column of words may have so many levels, or one for so many patients."""
MODELS = ("clinical", "image", "both")
METRIC = {
    "binary": "AUROC",
    "multiclass": "AUROC",
    "ordinal": "Spearman correlation",
    "regression": "Spearman correlation",
    "survival": "C-index",
}
"""What the models are evaluated by: how well they order the patients."""


class NamedScore(Part):
    """Score of a model, or of the difference between two."""

    name: str
    score: Score


class Clinical(Part):
    """Clinical columns, the image's prediction and both, on the same patients.

    Attributes:
        n: Patients.
        trained: Patients who trained and to whom the clinical model was fitted; 0 if it is cross-fitted.
        metric: What the models are evaluated by.
        columns: The clinical columns.
        models: ``clinical``, ``image`` and ``both``.
        gains: Their differences.
        test: What the image adds; None if it cannot be fitted.
        problem: Empty.
        summary: What a report says of it.
    """

    n: int
    trained: int
    metric: str
    columns: tuple[ClinicalColumn, ...]
    models: tuple[NamedScore, ...]
    gains: tuple[NamedScore, ...]
    test: AddedByImage | None
    problem: str = ""
    summary: str = ""


class _Clinic(NamedTuple):
    """What the patients who are scored have in columns, and what models were fitted to others."""

    design: Design
    score: FloatArray | None
    """``(n, W)``, of the clinical columns, by a model of the patients who trained; None if all are scored."""
    trained: int
    """Patients that this model was fitted to; 0 if there are none."""


class _Repeat(NamedTuple):
    """One repeat's patients with a truth."""

    fold: npt.NDArray[Any]
    """``(n,)``, within which patients are compared."""
    part: npt.NDArray[Any]
    """``(n,)``, for cross-fitting."""
    image: FloatArray
    """``(n, W)``, the image's prediction as covariates on a scale for linear models."""


def evaluate_clinical(
    task: Task,
    predictions: pd.DataFrame,
    columns: Mapping[str, Mapping[str, str]],
    *,
    resamples: int,
    seed: int,
    training: pd.DataFrame | None = None,
) -> Clinical:
    """Evaluate clinical columns, the image's prediction and both on the same patients.

    Patients of the same fold are compared, as in the leading metric. The clinical model is linear (logistic,
    ridge or Cox), and predicts each patient from the patients of the other folds. ``both`` adds the image's
    out-of-fold prediction as a covariate. Numbers are standardised, words become indicators, and missing
    cells take the median or the most frequent word of the patients that the model is fitted to. The
    likelihood-ratio test asks, on all patients, whether the image's out-of-fold prediction adds to the
    clinical columns (F test for values).

    Where a fixed part is tested, the clinical model is fitted to the patients who trained, as the networks
    were, and kept; ``both`` then weighs its score and the image's prediction by a model that is cross-fitted
    in parts of the tested patients, for only these have predictions by networks that did not see them.

    Args:
        task: The target.
        predictions: As for :func:`histonic.stages.evaluate.evaluate.evaluate_task`.
        columns: Cell per column and patient, as from
            :func:`histonic.runs.patient_columns.read_patient_columns`.
        resamples: Of the patients, for the 95 % intervals; paired for the gains.
        seed: Of the resamples.
        training: With a fixed split, the patients who trained or validated: ``patient_id`` and ``truth``, or
            ``time`` and ``event``.

    Raises:
        TableError: The table is damaged.
        CohortError: Too few patients, one outcome only, or a column is empty, the same for all of them, of
            too many different words, or the target itself.
    """
    tables = [table.rows(table.has_truth()) for table in split_repeats(PredictionTable(task, predictions))]
    clinic = _clinic(tables[0], columns, training)
    design = clinic.design
    folds = [table.numbers("fold") for table in tables]
    repeats = [
        _Repeat(fold, parts_of(fold), image_covariates(table))
        for fold, table in zip(folds, tables, strict=True)
    ]
    measures = {
        name: mean_measures(
            [[_measure(design, _scores(clinic, repeat, name), repeat.fold)] for repeat in repeats]
        )[0]
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
        fold=same_folds(folds),
    )
    scores = [
        NamedScore(name=name, score=score) for name, score in zip([*measures, *gains], found, strict=True)
    ]
    crossed = any(table.is_crossed() for table in tables)
    test = added_by_image(design, np.mean([repeat.image for repeat in repeats], axis=0), crossed=crossed)
    return Clinical(
        n=design.n,
        trained=clinic.trained,
        metric=METRIC[task.kind],
        columns=design.described(),
        models=scores[: len(measures)],
        gains=scores[len(measures) :],
        test=test,
    )


def _clinic(
    table: PredictionTable, columns: Mapping[str, Mapping[str, str]], training: pd.DataFrame | None
) -> _Clinic:
    """Columns and outcomes of the scored patients, and their clinical score if others trained."""
    if training is None:
        return _Clinic(clinical_design(table, columns), None, 0)
    needed = ["patient_id", *(("time", "event") if table.task.kind == "survival" else ("truth",))]
    others = PredictionTable(table.task, training)
    others = others.rows(others.has_truth())
    parts = [each.frame[needed].astype(object) for each in (table, others)]
    # Together, so that a column is of numbers or of words for both; then each must do by itself.
    together = clinical_design(PredictionTable(table.task, pd.concat(parts, ignore_index=True)), columns)
    tested = np.arange(together.n) < len(parts[0])
    design, asked = together.only(tested), _asked(table.task, columns)
    for who, side in (("tested", design), ("training", together.only(~tested))):
        _require_outcomes(side, asked, f"{side.n} {who} patients")
    score = fit_and_predict(together, None, ~tested, tested)
    if table.task.kind == "multiclass":
        score = score[:, 1:] - score[:, :1]
    return _Clinic(design, score, len(parts[1]))


def _asked(task: Task, columns: Mapping[str, Mapping[str, str]]) -> str:
    return f"Set the predictions of {task.name!r} against {', '.join(columns)}."


def _require_outcomes(design: Design, asked: str, who: str) -> None:
    """Refuse too few patients, or a constant outcome."""
    if design.n < FEWEST_PATIENTS:
        todo = f"A clinical model needs {FEWEST_PATIENTS} at least."
        raise CohortError(asked, f"{who} have a truth.", todo)
    if isinstance(design.outcome, Survival):
        varies = has_comparable_pair(design.outcome)
    else:
        varies = len(np.unique(design.outcome)) > 1
    if not varies:
        found = f"The outcome does not vary ({who})."
        raise CohortError(asked, found, "Add patients, or leave this target out.")


def clinical_design(table: PredictionTable, columns: Mapping[str, Mapping[str, str]]) -> Design:
    """Outcome and clinical columns of the patients of a table.

    Raises:
        CohortError: As :func:`evaluate_clinical`.
    """
    task, patients = table.task, table.texts("patient_id")
    asked = _asked(task, columns)
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
            if (levels := len(set(filter(None, cells)))) > max(FEW_LEVELS, len(cells) / PATIENTS_A_LEVEL):
                raise CohortError(
                    asked,
                    f"The column {name!r} has {levels} different words for {len(cells)} patients.",
                    f"Join them to {max(FEW_LEVELS, len(cells) // PATIENTS_A_LEVEL)} or fewer, or leave the "
                    "column out: a model cannot learn what each of so many means.",
                )
            words[name] = [text or None for text in cells]
        else:
            numbers[name] = found
    outcome: Any
    if task.kind == "survival":
        outcome = check_survival(table.numbers("time"), table.numbers("event"), patients=patients)
    else:
        outcome = table.classes("truth") if task.is_classification else table.numbers("truth")
    rows = range(len(patients))
    frames = pd.DataFrame(numbers, index=rows), pd.DataFrame(words, index=rows, dtype=object)
    design = Design(task, outcome, *frames, len(patients))
    _require_outcomes(design, asked, f"{design.n} patients")
    require_no_target(design, asked)
    return design


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


def _scores(clinic: _Clinic, repeat: _Repeat, model: str) -> FloatArray:
    """``(n, W)`` predictions of one model; those of the image alone are taken as they are."""
    design = clinic.design
    if model == "image":
        return _per_class(repeat.image) if design.task.kind == "multiclass" else repeat.image
    if clinic.score is None:
        return cross_fit(design, repeat.image if model == "both" else None, repeat.part)
    if model == "clinical":
        return _per_class(clinic.score) if design.task.kind == "multiclass" else clinic.score
    columns = pd.DataFrame(clinic.score).add_prefix("clinical")
    added = Design(design.task, design.outcome, columns, pd.DataFrame(index=columns.index), design.n)
    return cross_fit(added, repeat.image, repeat.part)


def _per_class(against_first: FloatArray) -> FloatArray:
    """Log odds ``(n, C - 1)`` against the first class to probabilities ``(n, C)``."""
    odds = np.exp(np.concatenate([np.zeros((len(against_first), 1)), against_first], axis=1))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _measure(design: Design, scores: FloatArray, fold: npt.NDArray[Any]) -> Measure:
    kind, truth = design.task.kind, design.outcome
    name, within = METRIC[kind], fold_or_none(fold)
    if kind == "survival":
        statistic = partial(survival.concordance, truth, scores[:, 0], within=within)
        return Measure(name, statistic, 0.5, units=int(truth.event.sum()))
    if kind in ("ordinal", "regression"):
        statistic = partial(regression.spearman, truth.astype(np.float64), scores[:, 0], within=within)
        return Measure(name, statistic, 0.0, scale="fisher")
    smallest = int(np.bincount(truth)[np.unique(truth)].min())
    area = partial(labels.auroc, within=within)
    if kind == "binary":
        return Measure(name, partial(area, truth == 1, scores[:, 0]), 0.5, units=smallest)
    met = met_classes(truth, within)
    return Measure(name, partial(labels.macro, area, truth, scores, classes=met), 0.5, units=smallest)
