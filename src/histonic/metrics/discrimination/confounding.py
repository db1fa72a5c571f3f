"""Whether something that is not tissue predicts a target: cross-validated linear models and permutations.

A confounder (site, scanner, colour ...) predicts patients that its model has not seen. How often that
succeeds by accident is found by permuting the targets between patients, and the same permutations serve all
confounders and targets together, so that the chance of *any* false alarm stays at the level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from histonic.metrics.discrimination.pairs import Estimate, Order, PairCounts, count_pairs, estimate_share
from histonic.metrics.ranks import FloatArray, IntArray

FOLDS = 5
REPEATS = 4
PENALTY = 2.0
"""Ridge penalty: a category of two patients is drawn halfway to the mean of all."""
FEWEST_OF_CATEGORY = 3
"""Categories of fewer patients are joined into one."""
PERMUTATIONS_PER_COMPARISON = 60
"""Permutations of the targets at least, per comparison. The observed order is the best of B + 1 by chance in
one of B + 1 cases for each of C comparisons: no corrected p-value can fall below about C / (B + 1)."""
NUMBERS_AT_ONCE = 2**22
"""Permuted scores held in memory at a time (32 MiB)."""


def category_features(values: Sequence[str]) -> FloatArray:
    """One column per category, those of fewer than :data:`FEWEST_OF_CATEGORY` patients joined.

    Args:
        values: Category of each patient; the empty one is a category like others.

    Returns:
        ``(n, categories)`` of 0 and 1; ``(n, 0)`` if all patients are in the same.

    Example:
        >>> category_features(["a", "a", "a", "b", "b", "b", "c"]).sum(axis=0).tolist()
        [1.0, 3.0, 3.0]
    """
    counts = Counter(values)
    joined = ["\0few" if counts[value] < FEWEST_OF_CATEGORY else value for value in values]
    names = sorted(set(joined))
    if len(names) < 2:
        return np.zeros((len(joined), 0))
    return np.array([[float(value == name) for name in names] for value in joined])


def number_features(values: FloatArray) -> FloatArray:
    """Columns of mean 0 and spread 1; a missing number is the mean, with a column that says so.

    Args:
        values: ``(n, k)``, NaN where missing.

    Returns:
        ``(n, p)`` without the columns that do not vary.

    Example:
        >>> number_features(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])).round(2).tolist()
        [[-0.71, -1.22], [-0.71, 1.22], [1.41, 0.0]]
    """
    columns = []
    for column in values.T:
        known = np.isfinite(column)
        if known.any():
            columns.append(np.where(known, column, column[known].mean()))
        columns.append((~known).astype(np.float64))
    stacked = np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))
    spread = stacked.std(axis=0)
    varies = spread > 1e-9 * (1 + np.abs(stacked).max(axis=0, initial=0))
    kept = stacked[:, varies]
    return np.asarray(np.unique((kept - kept.mean(axis=0)) / spread[varies], axis=1)[:, ::-1])


@dataclass(frozen=True)
class ScoredOutcome:
    """A target as the audit uses it.

    Attributes:
        scores: ``(n, q)`` what the linear model learns: 1 for the class (one column a class if there are more
            than two), ranks, or martingale residuals; higher = higher truth, or earlier event.
        orders: One a column of ``scores``: which of two patients should get the higher prediction.
    """

    scores: FloatArray
    orders: tuple[Order, ...]

    @property
    def n(self) -> int:
        """Number of patients."""
        return len(self.scores)


def class_outcome(classes: IntArray) -> ScoredOutcome:
    """Of a binary or multiclass target, from class indices ``(n,)``."""
    present = np.unique(classes)
    chosen = present[1:] if len(present) == 2 else present
    scores = np.stack([(classes == each).astype(np.float64) for each in chosen], axis=1)
    return ScoredOutcome(scores, tuple(Order(column) for column in scores.T))


def number_outcome(values: FloatArray) -> ScoredOutcome:
    """Of an ordinal or regression target, from values ``(n,)``; the model learns their ranks."""
    ranks = stats.rankdata(values)[:, None]
    return ScoredOutcome((ranks - ranks.mean()) / (ranks.std() or 1.0), (Order(values),))


def survival_outcome(time: FloatArray, event: npt.NDArray[np.bool_]) -> ScoredOutcome:
    """Of a survival target; the model learns martingale residuals, higher = earlier event than expected.

    Event minus cumulated hazard (Nelson-Aalen) is the first step of a Cox model that begins at no effect:
    Therneau, Grambsch and Fleming, Biometrika 77:147 (1990).
    """
    _, row = np.unique(time, return_inverse=True)
    events = np.bincount(row, event)
    left = len(time) - np.concatenate([[0], np.cumsum(np.bincount(row))[:-1]])
    hazard = np.cumsum(events / left)
    residual = event - hazard[row]
    return ScoredOutcome((residual / (residual.std() or 1.0))[:, None], (Order(time, event),))


@dataclass(frozen=True)
class _Part:
    """One fold of one repeat: the linear map from the scores of the others to its predictions."""

    test: IntArray
    """``(m,)`` rows of the fold."""
    centred: FloatArray
    """``(m, p)`` features of the fold, mean zero."""
    solver: FloatArray
    """``(p, n)`` from scores to coefficients; zero for the fold itself."""

    @classmethod
    def of(cls, features: FloatArray, test: IntArray) -> _Part:
        train = np.ones(len(features), dtype=bool)
        train[test] = False
        mean = features[train].mean(axis=0)
        inside = features[train] - mean
        square = inside.T @ inside + PENALTY * np.eye(features.shape[1])
        # The rows of the solver sum to zero, so that the mean of the scores need not be taken off.
        solver = np.zeros((features.shape[1], len(features)))
        solver[:, train] = np.linalg.solve(square, inside.T)
        return cls(test, features[test] - features[test].mean(axis=0), solver)

    def predict(self, scores: FloatArray) -> FloatArray:
        """Scores ``(n, c)`` to predictions ``(m, c)`` of the fold, mean zero: only their order counts."""
        return np.asarray(self.centred @ (self.solver @ scores))


def _folds(n: int, rng: np.random.Generator) -> list[list[IntArray]]:
    """Rows of each fold of each repeat."""
    return [[np.sort(test) for test in np.array_split(rng.permutation(n), FOLDS)] for _ in range(REPEATS)]


@dataclass(frozen=True)
class ConfounderScore:
    """What one confounder tells of one target.

    Attributes:
        estimate: Share of pairs of patients that it puts in order, cross-validated, with interval; None if no
            pair can be compared.
        p: One-sided permutation p-value of this confounder and target alone.
        p_adjusted: The same for all of them together.
    """

    estimate: Estimate | None
    p: float
    p_adjusted: float


def score_confounders(
    outcomes: Sequence[tuple[ScoredOutcome, IntArray]],
    features: Sequence[FloatArray],
    *,
    permutations: int,
    rng: np.random.Generator,
) -> list[list[ConfounderScore]]:
    """Test every confounder against every target.

    A ridge regression, cross-validated (5 folds, 4 times), predicts the target's scores from the confounder.
    The shown number compares only patients of the same fold, which one model predicted: its expectation is
    0.5 where nothing is to be found. The p-value is that of the correlation within folds; targets are
    permuted between patients, and p-values are adjusted by the distribution of the smallest one over all
    confounders and targets (Westfall and Young, Resampling-based multiple testing, 1993), which keeps the
    chance of any false alarm at the level whatever the confounders have in common.

    Args:
        outcomes: Per target the outcome of its patients and their rows ``(n_t,)`` among all ``n``.
        features: Per confounder ``(n, p)``, p at least 1.
        permutations: How often targets are permuted; at least :data:`PERMUTATIONS_PER_COMPARISON` times the
            number of comparisons, or no p-value could become small enough.
        rng: The only source of randomness.

    Returns:
        ``[target][confounder]``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> site = np.repeat(["a", "b"], 40)
        >>> outcome = class_outcome((rng.random(80) < np.where(site == "a", 0.2, 0.8)).astype(int))
        >>> told = [category_features(site), rng.normal(size=(80, 1))]
        >>> cells = score_confounders([(outcome, np.arange(80))], told, permutations=200, rng=rng)
        >>> [cell.p_adjusted < 0.05 for cell in cells[0]]
        [True, False]
    """
    permutations = max(permutations, PERMUTATIONS_PER_COMPARISON * len(outcomes) * len(features))
    keys = rng.random((permutations, max((int(rows.max()) for _, rows in outcomes), default=0) + 1))
    columns, estimates = [], []
    for outcome, rows in outcomes:
        # The same permutation for every target: patients keep the order of their keys.
        permuted = [np.arange(outcome.n), *np.argsort(keys[:, rows], axis=1, kind="stable")]
        order, folds = np.stack(permuted), _folds(outcome.n, rng)
        for each in features:
            repeats = [[_Part.of(each[rows], test) for test in repeat] for repeat in folds]
            found = _statistics(outcome.scores, repeats, order)
            columns.append(found.mean(axis=1))
            estimates.append(_estimate(outcome, repeats, _spread(found, outcome.n)))
    if not columns:
        return []
    p, adjusted = _adjust(np.stack(columns, axis=1))
    cells = [
        ConfounderScore(estimate, float(own), float(all_))
        for estimate, own, all_ in zip(estimates, p, adjusted, strict=True)
    ]
    return [cells[start : start + len(features)] for start in range(0, len(cells), len(features))]


def _statistics(scores: FloatArray, repeats: Sequence[Sequence[_Part]], orders: IntArray) -> FloatArray:
    """Correlation of prediction and score within folds, for every permutation ``(B, n)``: ``(B, q)``."""
    n, q = scores.shape
    step = max(1, NUMBERS_AT_ONCE // (n * q))
    found = []
    for start in range(0, len(orders), step):
        order = orders[start : start + step]
        permuted = scores[order.T].reshape(n, -1)
        total = np.zeros(permuted.shape[1])
        for parts in repeats:
            both, own, truth = (np.zeros(permuted.shape[1]) for _ in range(3))
            for part in parts:
                predicted, known = part.predict(permuted), permuted[part.test]
                both += np.einsum("mc,mc->c", predicted, known)
                own += np.einsum("mc,mc->c", predicted, predicted)
                truth += np.einsum("mc,mc->c", known, known) - known.sum(axis=0) ** 2 / len(known)
            size = np.sqrt(own * truth)
            total += np.divide(both, size, out=np.zeros_like(both), where=size > 1e-12)
        found.append(total.reshape(len(order), q) / len(repeats))
    # Rounded, so that the order of a sum decides no tie.
    return np.concatenate(found).round(10)


def _spread(statistics: FloatArray, n: int) -> float:
    """How much more the correlation varies by chance than that of ``n`` patients with one fixed prediction.

    The models of different folds share patients with each other and with the folds that they predict.
    """
    spread = float(statistics[1:].std(axis=0).mean()) if len(statistics) > 1 else 0.0
    return spread * float(np.sqrt(max(n - FOLDS, 1)))


def _estimate(outcome: ScoredOutcome, repeats: Sequence[Sequence[_Part]], spread: float) -> Estimate | None:
    """The share of pairs over all repeats; its standard error is that of a single repeat times ``spread``."""
    counts = [[_count(outcome, k, parts) for parts in repeats] for k in range(outcome.scores.shape[1])]
    whole = [PairCounts(*np.sum([np.stack(each) for each in column], axis=0)) for column in counts]
    found = estimate_share(whole)
    if found is None:
        return None
    single = [estimate_share([column[k] for column in counts]) for k in range(len(repeats))]
    errors = [float(np.sum(each.influence**2)) for each in single if each is not None]
    error = float(np.sqrt(np.sum(found.influence**2)))
    if not errors or error == 0:
        return found
    return estimate_share(whole, widening=max(1.0, spread * float(np.sqrt(np.mean(errors))) / error))


def _count(outcome: ScoredOutcome, column: int, parts: Sequence[_Part]) -> PairCounts:
    """Pairs within the folds of one repeat."""
    predicted, fold = np.zeros(outcome.n), np.zeros(outcome.n, dtype=np.int64)
    for number, part in enumerate(parts):
        predicted[part.test] = part.predict(outcome.scores[:, column : column + 1])[:, 0]
        fold[part.test] = number
    return count_pairs(outcome.orders[column], predicted.round(12), fold)


def _adjust(statistics: FloatArray) -> tuple[FloatArray, FloatArray]:
    """P-values ``(cells,)``, alone and together; the first row of ``(B + 1, cells)`` is the observed one."""
    share = stats.rankdata(-statistics, method="max", axis=0) / len(statistics)
    smallest = share.min(axis=1)
    return share[0], np.mean(smallest[:, None] <= share[0] + 1e-12, axis=0)
