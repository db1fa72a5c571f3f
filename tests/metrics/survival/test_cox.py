"""Cox coefficients against statsmodels, and by the definition of the partial likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize

from histonic.metrics.survival.cox import cox_coefficients
from histonic.metrics.survival.outcome import Survival


def drawn(seed: int, n: int = 200, ties: bool = False) -> tuple[Survival, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    time = rng.exponential(np.exp(-0.7 * x[:, 0] + 0.3 * x[:, 1]))
    end = rng.uniform(0.2, 3, n)
    shown = np.minimum(time, end)
    return Survival(np.ceil(4 * shown) if ties else shown, time <= end), x


@pytest.mark.parametrize("ties", [False, True])
def test_coefficients_are_those_of_statsmodels(ties: bool) -> None:
    outcome, x = drawn(1, ties=ties)
    fitted = sm.PHReg(outcome.time, x, status=outcome.event.astype(int), ties="breslow").fit()
    assert cox_coefficients(outcome, x) == pytest.approx(fitted.params, abs=1e-6)


def test_coefficients_maximise_the_partial_likelihood_as_it_is_defined() -> None:
    outcome, x = drawn(2, n=40, ties=True)

    def against(weights: np.ndarray) -> float:
        total = 0.0
        for row in np.flatnonzero(outcome.event):
            at_risk = outcome.time >= outcome.time[row]
            total += x[row] @ weights - np.log(np.exp(x[at_risk] @ weights).sum())
        return -total

    best = optimize.minimize(against, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x
    assert cox_coefficients(outcome, x) == pytest.approx(best, abs=1e-6)


def test_where_nothing_fits_there_is_nothing() -> None:
    outcome, x = drawn(3, n=30)
    assert cox_coefficients(Survival(outcome.time, np.zeros(30, bool)), x) is None
    # A covariate that orders all events has no finite best coefficient.
    order = Survival(np.arange(1.0, 11.0), np.ones(10, bool))
    assert cox_coefficients(order, -np.arange(10.0)[:, None]) is None
    assert cox_coefficients(outcome, np.column_stack([x[:, 0], x[:, 0]])) is None
