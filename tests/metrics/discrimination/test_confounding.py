"""Planted confounding is found, its absence raises no alarm, and the parts are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.metrics.discrimination import confounding
from histonic.metrics.discrimination.confounding import (
    category_features,
    class_outcome,
    number_features,
    number_outcome,
    survival_outcome,
)


def follow_up(hazard: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    death, end = rng.exponential(30 * np.exp(-hazard)), rng.uniform(5, 90, len(hazard))
    return np.minimum(death, end), death <= end


def outcome_of(kind: str, latent: np.ndarray, rng: np.random.Generator) -> confounding.ScoredOutcome:
    if kind == "binary":
        return class_outcome((latent > 0).astype(int))
    if kind == "multiclass":
        return class_outcome(np.digitize(latent, (-0.5, 0.5)))
    return number_outcome(latent) if kind == "regression" else survival_outcome(*follow_up(latent, rng))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "survival"])
def test_planted_site_is_found_and_noise_is_not(kind: str) -> None:
    rng = np.random.default_rng(4)
    site = rng.integers(0, 4, 200)
    outcome = outcome_of(kind, 2.5 * (site / 3 - 0.5) + rng.normal(size=200), rng)
    features = [category_features(site.astype(str).tolist()), number_features(rng.normal(size=(200, 3)))]
    planted, noise = confounding.score_confounders(
        [(outcome, np.arange(200))], features, permutations=300, rng=rng
    )[0]
    assert planted.p_adjusted < 0.01 and planted.estimate.low > 0.5
    assert noise.p_adjusted > 0.05 and noise.estimate.low < 0.5 < noise.estimate.high


@pytest.mark.long
def test_false_alarms_of_a_whole_run_stay_below_five_percent() -> None:
    """100 runs of two targets and four confounders that depend on each other: 5 alarms expected at most."""
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(100):
        site = rng.integers(0, 5, 60)
        features = [
            category_features(site.astype(str).tolist()),
            category_features((site % 3).astype(str).tolist()),
            number_features(site[:, None] + rng.normal(size=(60, 3))),
            number_features(rng.normal(size=(60, 1))),
        ]
        latent = rng.normal(size=60)
        outcomes = [
            (class_outcome((latent > 0.3).astype(int)), np.arange(60)),
            (number_outcome(latent + rng.normal(size=60)), np.arange(60)),
        ]
        cells = confounding.score_confounders(outcomes, features, permutations=99, rng=rng)
        alarms += any(cell.p_adjusted < 0.05 for row in cells for cell in row)
    # 11 or more of 100 have a chance below 1 % where the true share is 5 %.
    assert alarms <= 10


def test_many_comparisons_get_exchanges_enough_to_alarm() -> None:
    """With 20 exchanges, one of 24 comparisons is best of 21 by chance too often for p below 0.04."""
    rng = np.random.default_rng(9)
    site = rng.integers(0, 2, 60)
    features = [category_features(site.astype(str).tolist())]
    features += [number_features(rng.normal(size=(60, 1))) for _ in range(23)]
    outcome = class_outcome(site ^ (rng.random(60) < 0.05))
    cells = confounding.score_confounders([(outcome, np.arange(60))], features, permutations=20, rng=rng)[0]
    assert cells[0].p_adjusted < 0.04


def test_targets_known_of_some_patients_only() -> None:
    rng = np.random.default_rng(6)
    site, rows = rng.integers(0, 3, 90), np.arange(30, 90)
    outcome = class_outcome((site[rows] == 1).astype(int))
    cell = confounding.score_confounders(
        [(outcome, rows)], [category_features(site.astype(str).tolist())], permutations=200, rng=rng
    )[0][0]
    assert cell.p_adjusted < 0.05 and cell.estimate.value > 0.9


def test_adjusted_p_is_never_below_the_own_one() -> None:
    statistics = np.random.default_rng(7).normal(size=(200, 5))
    own, adjusted = confounding._adjust(statistics)
    assert (adjusted >= own - 1e-12).all() and (adjusted <= 1).all()


def test_martingale_residuals_by_hand() -> None:
    """Times 1 (event), 2 (censored), 3 (event): hazard 1/3 at 1, 1 more at 3."""
    residual = np.array([1 - 1 / 3, -1 / 3, 1 - 4 / 3])
    found = survival_outcome(np.array([1.0, 2.0, 3.0]), np.array([True, False, True])).scores[:, 0]
    assert found == pytest.approx(residual / residual.std())


def test_predictions_are_those_of_a_ridge_on_the_other_folds() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(8)
    features, scores, test = rng.normal(size=(30, 2)), rng.normal(size=(30, 1)), np.arange(6)
    train = np.arange(6, 30)
    model = Ridge(alpha=confounding.PENALTY).fit(features[train], scores[train])
    expected = model.predict(features[test]).reshape(-1, 1)
    found = confounding._Part.of(features, test).predict(scores)
    assert found == pytest.approx(expected - expected.mean())


def test_one_category_has_no_features() -> None:
    assert category_features(["a"] * 5).shape == (5, 0)
    assert number_features(np.full((5, 2), 3.0)).shape == (5, 0)
    assert number_features(np.full((5, 1), np.nan)).shape == (5, 0)
