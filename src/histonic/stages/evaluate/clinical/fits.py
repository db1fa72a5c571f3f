"""Linear models of clinical columns and the image's prediction, fitted without the patients they predict."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from histonic.core.documents import Part
from histonic.core.task import Task
from histonic.metrics.inference.comparisons import BOTH_WAYS
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival.hazard import fit_cox, likelihood_ratio
from histonic.metrics.survival.outcome import Survival


class ClinicalColumn(Part):
    """A column as it entered a clinical model, and its empty cells."""

    name: str
    kind: Literal["number", "category"]
    missing: int


class AddedByImage(Part):
    """Test of what the image's prediction adds; ``crossed``: the statistic was halved before p was taken."""

    kind: Literal["likelihood ratio", "F"]
    statistic: float
    degrees: int
    p: float
    crossed: bool


@dataclass(frozen=True)
class Design:
    """The patients of a clinical model.

    Attributes:
        task: The target.
        outcome: Class index or value ``(n,)``, or the follow-up.
        numbers: Columns of numbers, NaN where missing.
        words: Columns of words, None where missing.
        n: Patients.
    """

    task: Task
    outcome: Any
    numbers: pd.DataFrame
    words: pd.DataFrame
    n: int

    def described(self) -> list[ClinicalColumn]:
        """What stands of each column in a report."""
        kinds = (("number", self.numbers), ("category", self.words))
        return [
            ClinicalColumn(name=str(name), kind=kind, missing=int(frame[name].isna().sum()))
            for kind, frame in kinds
            for name in frame.columns
        ]

    def only(self, chosen: npt.NDArray[np.bool_]) -> Design:
        """Some of the patients."""
        numbers, words = (frame.loc[chosen].reset_index(drop=True) for frame in (self.numbers, self.words))
        return Design(self.task, self.rows(chosen), numbers, words, int(chosen.sum()))

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Any:
        """The outcome of some patients."""
        if isinstance(self.outcome, Survival):
            return Survival(self.outcome.time[chosen], self.outcome.event[chosen])
        return self.outcome[chosen]


def cross_fit(design: Design, image: FloatArray | None, part: npt.NDArray[Any]) -> FloatArray:
    """Predictions of each part's patients by a model of the patients of the other parts.

    Args:
        design: Outcome and clinical columns.
        image: ``(n, W)`` further covariates; None for clinical columns alone.
        part: ``(n,)`` labels.

    Returns:
        ``(n, W)`` scores to order patients by: log probability per class for several classes, else one (log
        odds, expected class, value, log hazard); less their mean over the patients that were fitted. That
        mean follows the other parts' outcomes, which are low where the part's own are high; left in, it
        would put a model that knows nothing below chance.
    """
    width = len(design.task.classes) if design.task.kind == "multiclass" else 1
    found = np.zeros((design.n, width))
    for name in np.unique(part):
        here = part == name
        found[here] = fit_and_predict(design, image, ~here, here)
    return found


def fit_and_predict(
    design: Design, image: FloatArray | None, fit: npt.NDArray[np.bool_], use: npt.NDArray[np.bool_]
) -> FloatArray:
    """Scores of the patients to ``use`` by a model of those to ``fit``; both ``(n,)``.

    Returns:
        ``(m, W)`` as from :func:`cross_fit`.
    """
    train, test = _encoded(design, image, fit, use)
    both = _predict(design, train, design.rows(fit), np.concatenate([train, test]))
    return np.asarray(both[len(train) :] - both[: len(train)].mean(axis=0))


def _encoded(
    design: Design, image: FloatArray | None, fit: npt.NDArray[np.bool_], use: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Covariates of the patients to fit and to use, prepared by those to fit alone."""
    # Imported late: they take a second.
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = design.numbers.to_numpy(np.float64) if len(design.numbers.columns) else np.empty((design.n, 0))
    parts: list[tuple[FloatArray, FloatArray]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if numbers.shape[1]:
            filled = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers[fit])
            parts.append((filled.transform(numbers[fit]), filled.transform(numbers[use])))
        if image is not None:
            parts.append((image[fit], image[use]))
        if parts:
            together = [np.concatenate(side, axis=1) for side in zip(*parts, strict=True)]
            scaler = StandardScaler().fit(together[0])
            parts = [(scaler.transform(together[0]), scaler.transform(together[1]))]
        if len(design.words.columns):
            # A column that is empty for all fitted patients has no usual word.
            usual = {name: next(iter(column.mode()), "") for name, column in design.words[fit].items()}
            known, asked = (design.words[rows].fillna(usual).astype(str) for rows in (fit, use))
            coder = OneHotEncoder(drop="first", handle_unknown="ignore", sparse_output=False).fit(known)
            parts.append((coder.transform(known), coder.transform(asked)))
    first, second = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
    return first, second


def _predict(design: Design, train: FloatArray, outcome: Any, test: FloatArray) -> FloatArray:
    """Scores of the patients to use; where no covariate varies among the fitted ones, all get the same."""
    from sklearn.linear_model import LogisticRegression, Ridge

    kind = design.task.kind
    varies = np.ptp(train, axis=0) > 0
    # Without any, a covariate that tells nothing leaves the mean, the shares of the classes, or no risk.
    train, test = (x[:, varies] if varies.any() else np.zeros((len(x), 1)) for x in (train, test))
    if kind == "survival":
        fitted = fit_cox(outcome, pd.DataFrame(train).add_prefix("x")) if varies.any() else None
        return np.zeros((len(test), 1)) if fitted is None else test @ fitted.params_.to_numpy()[:, None]
    if kind == "regression":
        return np.asarray(Ridge().fit(train, outcome).predict(test))[:, None]
    share = np.zeros((len(test), len(design.task.classes)))
    present = np.unique(outcome)
    if len(present) > 1:
        share[:, present] = LogisticRegression(max_iter=1000).fit(train, outcome).predict_proba(test)
    else:
        share[:, present] = 1.0
    log = np.log(np.maximum(share, 1e-9))
    if kind == "multiclass":
        return np.asarray(log)
    return log[:, 1:] - log[:, :1] if kind == "binary" else (share @ np.arange(share.shape[1]))[:, None]


def added_by_image(design: Design, image: FloatArray, *, crossed: bool = False) -> AddedByImage | None:
    """Whether the image's prediction adds to the clinical columns, by models fitted to all patients.

    Args:
        design: Outcome and clinical columns.
        image: ``(n, W)``, predictions by networks that did not see the patient.
        crossed: The networks of one patient saw the others and the other way round, as in cross-validation.
            Where networks learn noise, each pair of patients then counts twice, which up to doubles the
            variance of the association; the statistic is halved for it before p is taken
            (``benchmarks/p_values.py``).

    Returns:
        The test, F for values; None if a model does not converge.
    """
    everyone = np.ones(design.n, bool)
    plain, full = (_encoded(design, extra, everyone, everyone)[0] for extra in (None, image))
    # Without clinical columns there is none: older versions of NumPy have no rank of nothing.
    more = int(np.linalg.matrix_rank(full) - (np.linalg.matrix_rank(plain) if plain.shape[1] else 0))
    if more == 0:
        return None
    if design.task.kind == "regression":
        return _f_test(design.outcome, plain, full, more, BOTH_WAYS if crossed else 1.0)
    if design.task.kind == "survival":
        logs = [_partial_log_likelihood(x, design.outcome) for x in (plain, full)]
        if not np.isfinite(logs).all():
            return None
        found = likelihood_ratio(logs[0], logs[1], more)
    else:
        classes = len(np.unique(design.outcome))
        logs = [_log_likelihood(x, design.outcome) for x in (plain, full)]
        found = likelihood_ratio(logs[0], logs[1], more * (classes - 1))
    p = float(stats.chi2.sf(found.statistic / (BOTH_WAYS if crossed else 1.0), found.degrees))
    return AddedByImage(
        kind="likelihood ratio", statistic=found.statistic, degrees=found.degrees, p=p, crossed=crossed
    )


def _partial_log_likelihood(covariates: FloatArray, outcome: Survival) -> float:
    """Of a Cox model without penalty; NaN if it does not converge."""
    varies = np.ptp(covariates, axis=0) > 0
    if not varies.any():
        # The model of no covariate is the one that any covariate is tested against.
        anything = fit_cox(outcome, pd.DataFrame({"x": np.arange(len(outcome.time)) % 2}), penalty=0.0)
        if anything is None:
            return float("nan")
        return float(anything.log_likelihood_ - anything.log_likelihood_ratio_test().test_statistic / 2)
    fitted = fit_cox(outcome, pd.DataFrame(covariates[:, varies]).add_prefix("x"), penalty=0.0)
    return float("nan") if fitted is None else float(fitted.log_likelihood_)


def _log_likelihood(covariates: FloatArray, truth: npt.NDArray[np.int64]) -> float:
    """Of a logistic model without penalty."""
    from sklearn.linear_model import LogisticRegression

    if not covariates.shape[1]:
        covariates = np.zeros((len(truth), 1))
    with warnings.catch_warnings():
        # A separated cohort has no finite optimum, but its likelihood has a limit that is reached soon.
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=np.inf, max_iter=2000, tol=1e-7).fit(covariates, truth)
    chance = model.predict_proba(covariates)[np.arange(len(truth)), np.searchsorted(model.classes_, truth)]
    return float(np.log(np.maximum(chance, 1e-300)).sum())


def _f_test(
    values: FloatArray, plain: FloatArray, full: FloatArray, more: int, inflation: float
) -> AddedByImage | None:
    """The exact form of the likelihood-ratio test for values with normal errors."""
    left = []
    for covariates in (plain, full):
        with_one = np.column_stack([np.ones(len(values)), covariates])
        fitted = with_one @ np.linalg.lstsq(with_one, values, rcond=None)[0]
        left.append((float(np.sum((values - fitted) ** 2)), int(np.linalg.matrix_rank(with_one))))
    (before, _), (after, rank) = left
    free = len(values) - rank
    if free < 1 or after <= 0:
        return None
    statistic = max(0.0, (before - after) / more / (after / free))
    return AddedByImage(
        kind="F",
        statistic=statistic,
        degrees=more,
        p=float(stats.f.sf(statistic / inflation, more, free)),
        crossed=inflation > 1,
    )
