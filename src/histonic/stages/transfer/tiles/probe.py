"""The linear probe: how much of a task a linear model finds in an encoder's frozen codes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from histonic.core.errors import EncoderError, TrainingError
from histonic.core.task import Task
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference.scores import Score
from histonic.metrics.ranks import FloatArray, IntArray
from histonic.stages.transfer.tiles.scores import RESAMPLES, TilePredictions, group_numbers, score_tiles

C_GRID = tuple(10.0**power for power in range(-10, 1))
"""Inverse strengths of the penalty, weakest code use first. Mormont et al., IEEE JBHI (2021)."""
FOLDS = 5
MAX_ITERATIONS = 300
TOLERANCE = 1e-4
LinearModel = Literal["logistic", "svm"]


class LabelledCodes(NamedTuple):
    """Codes of ``n`` tiles, what they show, and whose they are."""

    codes: npt.NDArray[Any]
    """``(n, D)``."""
    targets: FloatArray
    """``(n,)`` class index or value; NaN where missing, and the tile is left aside."""
    groups: npt.NDArray[Any]
    """``(n,)`` names of patient, slide or field; empty where unknown."""


@dataclass(frozen=True)
class ProbeResult:
    """What the linear model found.

    Attributes:
        predictions: Of the test tiles.
        scores: Of the test tiles, the leading one first.
        chosen_c: The C that cross-validation chose; the ridge penalty of a regression is its inverse.
        cross_validated: C -> leading score of the tiles left out in turn.
        code_size: Numbers per tile that the model was given.
        notes: What the reader should know.
    """

    predictions: TilePredictions
    scores: tuple[Score, ...]
    chosen_c: float
    cross_validated: dict[float, float]
    code_size: int
    notes: tuple[str, ...] = ()


def probe_codes(
    train: LabelledCodes,
    test: LabelledCodes,
    task: Task,
    *,
    seed: int,
    model: LinearModel = "logistic",
    code_size: int | None = None,
    grid: Sequence[float] = C_GRID,
    resamples: int = RESAMPLES,
) -> ProbeResult:
    """Fit a linear model to frozen codes and score it on the test tiles.

    Codes are standardised by the training tiles. C is chosen by grouped, class-stratified five-fold
    cross-validation within them (Mormont et al. 2021). Classes weigh equally. Ordered classes get the
    logistic model whatever ``model`` says, and values a ridge regression.

    Args:
        train: Training tiles.
        test: Test tiles.
        task: The target.
        seed: Of folds and resamples.
        model: ``logistic`` regression, or a linear ``svm`` (one against the rest, squared hinge loss).
        code_size: Compare at equal code size: larger codes are reduced to so many principal components of
            the training tiles.
        grid: Values of C to choose from.
        resamples: Of the groups of the test tiles, for intervals; 0 leaves the scores out.

    Raises:
        EncoderError: A code is not finite.
        TrainingError: The training or test tiles have fewer than two classes, or no target.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = np.repeat([0.0, 1.0], 30)
        >>> tiles = LabelledCodes(rng.normal(truth[:, None], 0.1, (60, 3)), truth, np.repeat("", 60))
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> probe_codes(tiles, tiles, task, seed=0, resamples=100).scores[0].value
        1.0
    """
    train, test = usable_codes(train, task, "training"), usable_codes(test, task, "test")
    group = group_numbers(train.groups)
    known, unknown, note = _features(train.codes, test.codes, code_size)
    fit = _fitter(task, model)
    folds, fold_note = group_folds(train.targets, group, task, seed)
    cross_validated = dict(
        zip(grid, _cross_validate(known, train.targets, folds, task, fit, grid), strict=True)
    )
    # The first of equals: the strongest penalty.
    chosen = max(grid, key=lambda c: (cross_validated[c], -c))
    outputs = list(fit(known, train.targets, unknown, [c for c in grid if c <= chosen]))[-1]
    predictions = TilePredictions(task, test.targets, outputs, group_numbers(test.groups))
    return ProbeResult(
        predictions,
        score_tiles(predictions, seed=seed, resamples=resamples) if resamples else (),
        chosen,
        cross_validated,
        known.shape[1],
        tuple(each for each in (note, fold_note) if each),
    )


def usable_codes(tiles: LabelledCodes, task: Task, which: str) -> LabelledCodes:
    """The tiles that have a target, in float64.

    Raises:
        EncoderError: A code is not finite.
        TrainingError: Too few of them, or all alike.
    """
    has = np.isfinite(tiles.targets)
    codes = np.asarray(tiles.codes, dtype=np.float64)[has]
    if not np.isfinite(codes).all():
        raise EncoderError(
            f"Fit a model of {task.name!r}.",
            f"{int((~np.isfinite(codes)).any(axis=1).sum())} codes of {which} tiles are not finite.",
            "Train or import the encoder again.",
        )
    targets = np.asarray(tiles.targets, dtype=np.float64)[has]
    if len(np.unique(targets)) < 2:
        raise TrainingError(
            f"Fit a model of {task.name!r}.",
            f"The {len(targets)} {which} tiles have {len(np.unique(targets))} different targets.",
            "Give tiles of at least two classes to each split.",
        )
    return LabelledCodes(codes, targets, np.asarray(tiles.groups).astype(str)[has])


def _features(known: FloatArray, unknown: FloatArray, size: int | None) -> tuple[FloatArray, FloatArray, str]:
    """Standardised codes, reduced to ``size`` principal components, by the training tiles alone."""
    steps: list[Any] = [StandardScaler()]
    note = ""
    most = min(known.shape[1], len(known) - 1)
    if size is not None and size < known.shape[1]:
        steps.append(PCA(min(size, most), svd_solver="full"))
        note = f"Codes of {known.shape[1]} numbers were reduced to {min(size, most)} principal components."
    elif size is not None and size > known.shape[1]:
        note = f"Codes have {known.shape[1]} numbers only."
    pipeline = make_pipeline(*steps).fit(known)
    return pipeline.transform(known), pipeline.transform(unknown), note


def group_folds(
    targets: FloatArray, group: IntArray, task: Task, seed: int
) -> tuple[list[tuple[IntArray, IntArray]], str]:
    """Folds of the training tiles that never split a group, with the classes spread over them.

    Args:
        targets: ``(n,)`` class index or value.
        group: ``(n,)`` numbers of :func:`~histonic.stages.transfer.tiles.scores.group_numbers`.
        task: The target.
        seed: Of the shuffle.

    Returns:
        Pairs of rows (fitted, left out), five or as many as there are groups, and a note on what was not
        possible.

    Example:
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> folds, note = group_folds(np.tile([0.0, 1.0], 6), np.repeat(np.arange(3), 4), task, seed=0)
        >>> len(folds), note
        (3, '')
    """
    groups, rows = len(np.unique(group)), np.arange(len(group))
    note = ""
    if groups == 1:
        note = "All training tiles are of one group: the folds that chose C split it."
        group, groups = rows, len(rows)
    folds = min(FOLDS, groups)
    if not task.is_classification:
        # Shuffled by renaming: GroupKFold of older releases takes no seed.
        renamed = np.random.default_rng([seed, 17]).permutation(int(group.max()) + 1)[group]
        return list(GroupKFold(folds).split(rows, targets, renamed)), note
    classes = targets.astype(np.int64)
    with warnings.catch_warnings():
        # A class in fewer groups than folds is usual in small sets; pooled scores can take it.
        warnings.filterwarnings("ignore", message="The least populated class")
        if groups == len(rows) and np.bincount(classes).max() >= folds:
            return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, classes)), note
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        pairs = list(splitter.split(rows, classes, group))
    return [pair for pair in pairs if len(pair[1])], note


Fit = Callable[[FloatArray, FloatArray, FloatArray, Sequence[float]], Iterator[FloatArray]]
"""(known codes, targets, unknown codes, rising C) -> outputs ``(n, K)`` of the unknown for each C."""


def _fitter(task: Task, model: LinearModel) -> Fit:
    if not task.is_classification:
        return _fit_ridge
    classes = len(task.classes)
    fit = _fit_svm if model == "svm" and task.kind != "ordinal" else _fit_logistic
    return lambda known, targets, unknown, grid: fit(known, targets, unknown, grid, classes)


def _fit_ridge(
    known: FloatArray, targets: FloatArray, unknown: FloatArray, grid: Sequence[float]
) -> Iterator[FloatArray]:
    for c in grid:
        yield Ridge(1 / c).fit(known, targets).predict(unknown)[:, None]


def _fit_logistic(
    known: FloatArray, targets: FloatArray, unknown: FloatArray, grid: Sequence[float], classes: int
) -> Iterator[FloatArray]:
    # Each C begins where the one before ended, which saves most of the iterations.
    estimator = LogisticRegression(
        class_weight="balanced", warm_start=True, max_iter=MAX_ITERATIONS, tol=TOLERANCE
    )
    for c in grid:
        estimator.set_params(C=c)
        _quietly(estimator, known, targets)
        yield _columns(estimator.predict_proba(unknown), estimator.classes_, classes, 0.0)


def _fit_svm(
    known: FloatArray, targets: FloatArray, unknown: FloatArray, grid: Sequence[float], classes: int
) -> Iterator[FloatArray]:
    for c in grid:
        estimator = LinearSVC(C=c, class_weight="balanced", dual=False, tol=TOLERANCE)
        _quietly(estimator, known, targets)
        distance = estimator.decision_function(unknown)
        if distance.ndim == 1:
            distance = np.stack([-distance, distance], axis=1)
        yield _columns(distance, estimator.classes_, classes, -np.inf)


def _quietly(estimator: Any, known: FloatArray, targets: FloatArray) -> None:
    with warnings.catch_warnings():
        # Near C = 1 the last iterations change digits that no score sees.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(known, targets.astype(np.int64))


def _columns(given: FloatArray, present: IntArray, classes: int, absent: float) -> FloatArray:
    """Outputs with a column for each class of the task, also those that no training tile has."""
    outputs = np.full((len(given), classes), absent)
    outputs[:, present] = given
    # Below every other, yet finite, so that ranks can be taken.
    outputs[~np.isfinite(outputs)] = given.min() - 1
    return outputs


def _cross_validate(
    known: FloatArray,
    targets: FloatArray,
    folds: Sequence[tuple[IntArray, IntArray]],
    task: Task,
    fit: Fit,
    grid: Sequence[float],
) -> list[float]:
    """Score of each C on all training tiles, each predicted by the model that has not seen its group.

    The predictions of all folds are pooled, since a fold of few groups may lack a class.
    """
    width = len(task.classes) if task.is_classification else 1
    pooled = np.zeros((len(grid), len(targets), width))
    done = np.zeros(len(targets), dtype=bool)
    for fitted, left_out in folds:
        if len(np.unique(targets[fitted])) < 2:
            continue
        for number, outputs in enumerate(fit(known[fitted], targets[fitted], known[left_out], grid)):
            pooled[number, left_out] = outputs
        done[left_out] = True
    return [_judge(targets[done], outputs[done], task) for outputs in pooled]


def _judge(targets: FloatArray, outputs: FloatArray, task: Task) -> float:
    """Balanced accuracy, or R² of values; -inf where nothing can be said."""
    if not len(targets):
        return -np.inf
    if task.is_classification:
        truth = targets.astype(np.int64)
        table = labels.confusion(truth, outputs.argmax(axis=1), outputs.shape[1])
        return float(labels.balanced_accuracy(table, table.sum(axis=1) > 0))
    value = float(regression.explained_variance(targets, outputs[:, 0]))
    return value if np.isfinite(value) else -np.inf
