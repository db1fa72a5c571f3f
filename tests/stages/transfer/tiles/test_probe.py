"""The linear probe against scikit-learn called by hand, and its folds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from histonic.core.errors import EncoderError, TrainingError
from histonic.core.task import Task
from histonic.stages.transfer.tiles.probe import C_GRID, LabelledCodes, group_folds, probe_codes
from histonic.stages.transfer.tiles.scores import group_numbers

THREE = Task("type", "multiclass", ("label",), ("a", "b", "c"))
TWO = Task("tumour", "binary", ("label",), ("no", "yes"))
GRADE = Task("grade", "ordinal", ("label",), ("1", "2", "3"))
VALUE = Task("value", "regression", ("label",))


def tiles(task: Task, n: int, seed: int, noise: float = 2.0, groups: int = 12) -> LabelledCodes:
    rng = np.random.default_rng(seed)
    classes = len(task.classes) or 4
    truth = rng.integers(0, classes, n).astype(float)
    directions = np.random.default_rng(99).normal(size=(classes, 10))
    codes = directions[truth.astype(int)] + noise * rng.normal(size=(n, 10))
    codes *= np.geomspace(1, 1000, 10)
    return LabelledCodes(codes, truth, np.array([f"g{number % groups}" for number in range(n)]))


@pytest.mark.parametrize("task", [THREE, TWO], ids=lambda task: task.kind)
def test_it_is_scikit_learn_called_by_hand(task: Task) -> None:
    train, test = tiles(task, 240, 0), tiles(task, 150, 1)
    result = probe_codes(train, test, task, seed=0, grid=[0.01], resamples=100)
    scaler = StandardScaler().fit(train.codes)
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=5000, tol=1e-9)
    model.fit(scaler.transform(train.codes), train.targets.astype(int))
    probabilities = model.predict_proba(scaler.transform(test.codes))
    np.testing.assert_allclose(result.predictions.outputs, probabilities, atol=2e-3)
    scores = {score.name: score for score in result.scores}
    right = balanced_accuracy_score(test.targets, probabilities.argmax(1))
    assert scores["Balanced accuracy"].value == pytest.approx(right, abs=0.01)
    area = (
        roc_auc_score(test.targets, probabilities[:, 1])
        if task is TWO
        else roc_auc_score(test.targets, probabilities, multi_class="ovr", average="macro")
    )
    assert scores["AUROC"].value == pytest.approx(area, abs=1e-3)
    assert scores["AUROC"].low < area < scores["AUROC"].high
    assert result.predictions.group.max() == 11


def test_warm_starts_along_the_grid_end_where_a_cold_start_does() -> None:
    train, test = tiles(THREE, 240, 0), tiles(THREE, 150, 1)
    warm = probe_codes(train, test, THREE, seed=0, grid=C_GRID, resamples=0)
    cold = probe_codes(train, test, THREE, seed=0, grid=[warm.chosen_c], resamples=0)
    np.testing.assert_allclose(warm.predictions.outputs, cold.predictions.outputs, atol=5e-3)
    assert warm.cross_validated[warm.chosen_c] == max(warm.cross_validated.values())
    assert warm.scores == ()


def test_codes_are_reduced_to_the_components_of_the_training_tiles() -> None:
    train, test = tiles(TWO, 240, 0), tiles(TWO, 150, 1)
    result = probe_codes(train, test, TWO, seed=0, grid=[1.0], code_size=3, resamples=0)
    scaler = StandardScaler().fit(train.codes)
    pca = PCA(3, svd_solver="full").fit(scaler.transform(train.codes))
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=5000, tol=1e-9)
    model.fit(pca.transform(scaler.transform(train.codes)), train.targets.astype(int))
    expected = model.predict_proba(pca.transform(scaler.transform(test.codes)))
    np.testing.assert_allclose(result.predictions.outputs, expected, atol=2e-3)
    assert result.code_size == 3 and "reduced to 3" in result.notes[0]


def test_test_tiles_change_nothing_but_their_own_prediction() -> None:
    train, test = tiles(TWO, 240, 0), tiles(TWO, 150, 1)
    far = LabelledCodes(
        np.vstack([test.codes, test.codes[:1] * 1e6]),
        np.append(test.targets, 0.0),
        np.append(test.groups, "far"),
    )
    plain = probe_codes(train, test, TWO, seed=0, code_size=4, resamples=0)
    with_far = probe_codes(train, far, TWO, seed=0, code_size=4, resamples=0)
    np.testing.assert_allclose(plain.predictions.outputs, with_far.predictions.outputs[:-1])


def test_values_get_a_ridge_regression() -> None:
    train, test = tiles(VALUE, 240, 0), tiles(VALUE, 150, 1)
    result = probe_codes(train, test, VALUE, seed=0, grid=[0.1], resamples=100)
    scaler = StandardScaler().fit(train.codes)
    expected = (
        Ridge(10.0).fit(scaler.transform(train.codes), train.targets).predict(scaler.transform(test.codes))
    )
    np.testing.assert_allclose(result.predictions.outputs[:, 0], expected, rtol=1e-6)
    assert [score.name for score in result.scores] == ["Spearman correlation", "R2"]


def test_ordered_classes_get_probabilities_whatever_the_model() -> None:
    train, test = tiles(GRADE, 240, 0), tiles(GRADE, 150, 1)
    result = probe_codes(train, test, GRADE, seed=0, model="svm", resamples=100)
    np.testing.assert_allclose(result.predictions.outputs.sum(axis=1), 1)
    assert [score.name for score in result.scores][2:] == ["Quadratic weighted kappa", "Spearman correlation"]


@pytest.mark.parametrize("task", [THREE, TWO], ids=lambda task: task.kind)
def test_the_support_vector_machine_finds_about_as_much(task: Task) -> None:
    train, test = tiles(task, 240, 0, noise=0.5), tiles(task, 150, 1, noise=0.5)
    assert probe_codes(train, test, task, seed=0, model="svm", resamples=100).scores[0].value > 0.95


@pytest.mark.parametrize("task", [THREE, VALUE], ids=lambda task: task.kind)
def test_a_group_is_never_split_across_folds(task: Task) -> None:
    rng = np.random.default_rng(3)
    group = group_numbers([f"g{number}" for number in rng.integers(0, 9, 200)])
    targets = rng.integers(0, 3, 200).astype(float)
    folds, note = group_folds(targets, group, task, seed=1)
    assert note == "" and len(folds) == 5
    for fitted, left_out in folds:
        assert not set(group[fitted]) & set(group[left_out])
        assert len(fitted) + len(left_out) == 200
    assert sorted(np.concatenate([left_out for _, left_out in folds])) == list(range(200))


def test_nameless_tiles_are_groups_of_their_own_and_classes_are_spread() -> None:
    targets = np.repeat([0.0, 1.0], [90, 10])
    folds, _ = group_folds(targets, group_numbers([""] * 100), TWO, seed=0)
    assert [int(targets[left_out].sum()) for _, left_out in folds] == [2] * 5


def test_one_group_is_split_and_said_so() -> None:
    train = tiles(TWO, 60, 0, groups=1)
    result = probe_codes(train, train, TWO, seed=0, resamples=100)
    assert "of one group" in result.notes[0]
    assert result.scores[0].low is None


def test_a_class_of_one_group_only_still_gives_a_choice() -> None:
    train = tiles(THREE, 60, 0)
    groups = np.where(train.targets == 2, "only", train.groups)
    result = probe_codes(
        LabelledCodes(train.codes, train.targets, groups), tiles(THREE, 60, 1), THREE, seed=0, resamples=0
    )
    assert all(np.isfinite(list(result.cross_validated.values())))


def test_missing_targets_are_left_aside() -> None:
    train, test = tiles(TWO, 100, 0), tiles(TWO, 50, 1)
    test.targets[:5] = np.nan
    assert len(probe_codes(train, test, TWO, seed=0, resamples=0).predictions.truth) == 45


def test_what_cannot_be_judged_is_named() -> None:
    good = tiles(TWO, 60, 0)
    bad = LabelledCodes(np.where(np.arange(60)[:, None] == 3, np.nan, good.codes), good.targets, good.groups)
    with pytest.raises(EncoderError, match="1 codes of training tiles are not finite"):
        probe_codes(bad, good, TWO, seed=0)
    with pytest.raises(TrainingError, match=r"'tumour'(.|\n)*test tiles have 1 different"):
        probe_codes(good, LabelledCodes(good.codes, np.ones(60), good.groups), TWO, seed=0)
