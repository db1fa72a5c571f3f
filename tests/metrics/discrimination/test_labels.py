"""Classification metrics against scikit-learn, cases done by hand, and what must hold of any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from histonic.metrics.calibration.probabilities import calibration_bins
from histonic.metrics.discrimination import labels


def cohort(seed: int, n: int = 80, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    score = rng.normal(size=n) + positive
    return positive, np.round(score, 1) if ties else score


def grades(seed: int, n: int = 90, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    weight = rng.exponential(size=(n, classes)) + 1.0 * np.eye(classes)[truth]
    return truth, np.round(weight / weight.sum(axis=1, keepdims=True), 3)


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_median_class_is_nearest_to_the_truth_in_the_mean(rows: list[list[float]]) -> None:
    shares = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    distance = np.abs(np.arange(4)[:, None] - np.arange(4)) @ shares.T
    called = labels.median_class(shares)
    assert np.allclose(distance[called, np.arange(len(shares))], distance.min(axis=0))


def test_at_a_draw_the_first_class_is_called() -> None:
    assert labels.most_probable(np.array([[0.5, 0.5], [0.3, 0.7]])).tolist() == [0, 1]
    assert labels.median_class(np.array([[0.5, 0.5], [0.5 - 1e-7, 0.5 + 1e-7]])).tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_areas_equal_scikit_learn(seed: int, ties: bool) -> None:
    positive, score = cohort(seed, ties=ties)
    assert labels.auroc(positive, score) == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    expected = sk.average_precision_score(positive, score)
    assert labels.average_precision(positive, score) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_weights_of_patients(seed: int) -> None:
    positive, score = cohort(seed)
    counts = np.random.default_rng(100 + seed).multinomial(80, np.full(80, 1 / 80), size=3).astype(float)
    area, precision = (metric(positive, score, counts) for metric in (labels.auroc, labels.average_precision))
    for row, drawn in enumerate(counts):
        expected = sk.roc_auc_score(positive, score, sample_weight=drawn)
        assert area[row] == pytest.approx(expected, abs=1e-12)
        expected = sk.average_precision_score(positive, score, sample_weight=drawn)
        assert precision[row] == pytest.approx(expected, abs=1e-12)


def test_auroc_by_hand() -> None:
    # Six pairs: 0.9 beats 0.5, 0.5, 0.1; 0.5 ties with two and beats one: 3 + 1 + 1/2 + 1/2 of 6.
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    assert labels.auroc(positive, score) == pytest.approx(5 / 6)


def test_average_precision_by_hand() -> None:
    positive = np.array([True, False, True, False])
    assert labels.average_precision(positive, np.array([4.0, 3, 2, 1])) == pytest.approx((1 + 2 / 3) / 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=30))
def test_auroc_knows_only_the_order(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows], dtype=float)
    area = labels.auroc(positive, score)
    if positive.all() or not positive.any():
        assert np.isnan(area)
        return
    assert labels.auroc(positive, np.exp(score)) == area
    assert labels.auroc(positive, -score) == pytest.approx(1 - area, abs=1e-12)
    assert labels.auroc(~positive, score) == pytest.approx(1 - area, abs=1e-12)
    assert labels.auroc(positive[::-1], score[::-1]) == pytest.approx(area, abs=1e-12)


def test_equal_scores_are_chance() -> None:
    positive, _ = cohort(0)
    assert labels.auroc(positive, np.zeros(80)) == 0.5
    assert labels.average_precision(positive, np.zeros(80)) == pytest.approx(positive.mean())


@pytest.mark.parametrize(("positives", "n"), [(1, 2), (3, 10), (20, 50)])
def test_chance_precision_is_the_mean_over_random_orders(positives: int, n: int) -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(n) < positives
    drawn = [float(labels.average_precision(positive, rng.permutation(n) * 1.0)) for _ in range(4000)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert labels.chance_precision(positives, n) == pytest.approx(np.mean(drawn), abs=4 * error)


@pytest.mark.parametrize("seed", range(3))
def test_macro_equals_scikit_learn(seed: int) -> None:
    truth, probabilities = grades(seed)
    one = np.ones((1, len(truth)))
    areas = [sk.roc_auc_score(truth == k, probabilities[:, k]) for k in range(4)]
    assert labels.macro(labels.auroc, truth, probabilities, one)[0] == pytest.approx(
        np.mean(areas), abs=1e-12
    )
    expected = sk.average_precision_score(np.eye(4)[truth], probabilities, average="macro")
    found = labels.macro(labels.average_precision, truth, probabilities, one)[0]
    assert found == pytest.approx(expected, abs=1e-12)


def test_macro_is_undefined_where_a_class_was_not_drawn() -> None:
    truth = np.array([0, 1, 2, 0])
    counts = np.array([[1.0, 1, 1, 1], [2.0, 2, 0, 0]])
    values = labels.macro(labels.auroc, truth, np.eye(3)[truth], counts)
    assert values[0] == 1.0
    assert np.isnan(values[1])


@pytest.mark.parametrize("seed", range(3))
def test_decisions_equal_scikit_learn(seed: int) -> None:
    truth, probabilities = grades(seed)
    called = probabilities.argmax(axis=1)
    table = labels.confusion(truth, called, 4)
    assert np.array_equal(table, sk.confusion_matrix(truth, called))
    assert labels.accuracy(table) == pytest.approx(sk.accuracy_score(truth, called), abs=1e-12)
    assert labels.balanced_accuracy(table) == pytest.approx(
        sk.balanced_accuracy_score(truth, called), abs=1e-12
    )
    expected = sk.cohen_kappa_score(truth, called, weights="quadratic")
    assert labels.quadratic_kappa(table) == pytest.approx(expected, abs=1e-12)
    # Cohen's plain kappa rests on the same chance agreement.
    kappa = (labels.accuracy(table) - labels.chance_accuracy(table)) / (1 - labels.chance_accuracy(table))
    assert kappa == pytest.approx(sk.cohen_kappa_score(truth, called), abs=1e-12)


def test_confusion_of_many_resamples() -> None:
    truth, called = np.array([0, 1, 2]), np.array([0, 2, 2])
    tables = labels.confusion(truth, called, 3, np.array([[1.0, 1, 1], [0.0, 3, 0]]))
    assert tables[1].tolist() == [[0, 0, 0], [0, 0, 3], [0, 0, 0]]
    right = labels.balanced_accuracy(tables)
    assert right[0] == pytest.approx(2 / 3)
    assert np.isnan(right[1])


def test_balanced_accuracy_leaves_out_classes_nobody_has() -> None:
    table = labels.confusion(np.array([0, 2]), np.array([0, 1]), 3)
    assert np.isnan(labels.balanced_accuracy(table))
    assert labels.balanced_accuracy(table, table.sum(axis=1) > 0) == 0.5


def test_kappa_counts_far_misses_more() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2])
    near = labels.quadratic_kappa(labels.confusion(truth, np.array([0, 1, 1, 1, 2, 2]), 3))
    far = labels.quadratic_kappa(labels.confusion(truth, np.array([0, 2, 1, 1, 2, 2]), 3))
    reversed_ = labels.quadratic_kappa(labels.confusion(truth, 2 - truth, 3))
    assert near > far > 0
    assert reversed_ == pytest.approx(-1)


@pytest.mark.parametrize("classes", [2, 4])
def test_brier_equals_scikit_learn(classes: int) -> None:
    truth, probabilities = grades(1, classes=classes)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if classes == 2:
        expected = sk.brier_score_loss(truth, probabilities[:, 1])
    else:
        expected = np.mean(np.sum((probabilities - np.eye(classes)[truth]) ** 2, axis=1))
    assert labels.brier(truth, probabilities) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_roc_points_lie_on_the_curve_of_scikit_learn(seed: int) -> None:
    positive, score = cohort(seed)
    curve = labels.roc_curve(positive, score)
    x, y, _ = sk.roc_curve(positive, score, drop_intermediate=False)
    assert {*zip(curve.x, curve.y, strict=True)} <= {*zip(x, y, strict=True)}
    assert sk.auc(curve.x, curve.y) == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


def test_roc_leaves_out_points_between_their_neighbours() -> None:
    positive = np.array([True, True, True, False, False])
    curve = labels.roc_curve(positive, np.array([9.0, 8, 7, 6, 5]))
    assert list(zip(curve.x, curve.y, strict=True)) == [(0, 0), (0, 1), (1, 1)]


def test_precision_recall_curve_equals_scikit_learn() -> None:
    positive, score = cohort(2)
    curve = labels.precision_recall_curve(positive, score)
    precision, recall, _ = sk.precision_recall_curve(positive, score)
    assert np.allclose(curve.x[::-1], recall[:-1], atol=1e-12)
    assert np.allclose(curve.y[::-1], precision[:-1], atol=1e-12)


def test_calibration_bins_equal_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    positive, score = cohort(4, n=200, ties=False)
    probability = 1 / (1 + np.exp(-score))
    bins = calibration_bins(positive.astype(float), probability, bins=5)
    observed, predicted = calibration_curve(positive, probability, n_bins=5, strategy="quantile")
    assert np.allclose(bins.observed, observed)
    assert np.allclose(bins.predicted, predicted)
    assert bins.patients.tolist() == [40] * 5


def test_equal_predictions_share_a_bin() -> None:
    bins = calibration_bins(np.array([0.0, 1, 1, 0]), np.full(4, 0.3))
    assert bins.patients.tolist() == [4]
    assert bins.observed.tolist() == [0.5]


def test_kappa_within_is_over_pairs_of_different_patients() -> None:
    rng = np.random.default_rng(2)
    truth, called, fold = rng.integers(0, 3, 41), rng.integers(0, 3, 41), rng.integers(0, 4, 41)
    fold[0] = 9  # alone
    seen = chance = 0.0
    for name in range(4):
        rows = np.flatnonzero(fold == name)
        pairs = [(truth[i] - called[j]) ** 2 for i in rows for j in rows if i != j]
        seen += np.sum((truth[rows] - called[rows]) ** 2)
        chance += len(rows) * np.mean(pairs)
    found = labels.quadratic_kappa_within(truth, called, 3, within=fold)
    assert found == pytest.approx(1 - seen / chance, abs=1e-12)
    counts = rng.integers(0, 3, (4, 41)).astype(float)
    each = labels.quadratic_kappa_within(truth, called, 3, counts, within=fold)
    for row, value in zip(counts, each, strict=True):
        again = np.repeat(np.arange(41), row.astype(int))
        expected = labels.quadratic_kappa_within(truth[again], called[again], 3, within=fold[again])
        assert value == pytest.approx(expected, abs=1e-12)


def test_kappa_of_calls_that_know_nothing_is_zero_whatever_the_folds() -> None:
    rng = np.random.default_rng(0)
    values = []
    for _ in range(400):
        fold = np.arange(40) % 8
        truth = rng.binomial(2, np.linspace(0.1, 0.9, 8)[fold])
        called = rng.binomial(2, np.linspace(0.9, 0.1, 8)[fold])
        values.append(labels.quadratic_kappa_within(truth, called, 3, within=fold))
    assert abs(np.mean(values)) < 3 * np.std(values) / 20 + 0.01
