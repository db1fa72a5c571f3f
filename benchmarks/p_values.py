"""Are p-values uniform where there is no effect?

    python benchmarks/p_values.py [--cohorts 1000] [--only NAME]

Draws cohorts in which the hypothesis of a test is true, and prints how often its p lies below .05 and .01,
and the largest distance of the p-values' distribution from the uniform one (Kolmogorov-Smirnov; with 1000
cohorts 0.043 is exceeded once in 20 times by chance). In the rows 'cross-validated noise' the image's
prediction is made as a network's is: out-of-fold, by a model that learned noise in the other folds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from histonic.core.task import Task
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference import comparisons as compare
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival import censoring, hazard
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.curves import log_rank
from histonic.metrics.survival.outcome import Survival, check_survival
from histonic.stages.evaluate.chance import judge
from histonic.stages.evaluate.clinical.cox import schoenfeld_chi2
from histonic.stages.evaluate.clinical.fits import Design, added_by_image
from histonic.stages.evaluate.groups import evaluate_groups
from histonic.stages.evaluate.outcome.missing import missing_labels
from histonic.stages.evaluate.outcome.times import censoring_by_group

Draw = Callable[[int, np.random.Generator], float | None]
SIZES = (100, 300)
PERMUTATIONS = 200
RESAMPLES = 400
FEATURES = 20
BINARY = Task("msi", "binary", ("msi",), ("no", "yes"))
VALUE = Task("ki67", "regression", ("ki67",))
SURVIVAL = Task("os", "survival", ("time", "event"))


def two_models(n: int, rng: np.random.Generator, gain: float) -> FloatArray:
    """Scores ``(2, n)`` of two models that share most of what they see and know the same."""
    return 0.8 * rng.normal(size=n) + 0.6 * rng.normal(size=(2, n)) + gain


def delong(n: int, rng: np.random.Generator) -> float:
    positive = rng.random(n) < 0.35
    return compare.delong(positive, *two_models(n, rng, 0.9 * positive)).p


def permuted(what: str, n: int, rng: np.random.Generator) -> float:
    if what == "AUROC":
        positive = rng.random(n) < 0.35
        scores = two_models(n, rng, 0.9 * positive)
        metric = partial(labels.auroc, positive)
    elif what == "Spearman":
        truth = rng.normal(size=n)
        scores = two_models(n, rng, 0.8 * truth)
        metric = partial(regression.spearman, truth)
    else:
        effect = rng.normal(size=n)
        scores = two_models(n, rng, 0.8 * effect)
        metric = partial(survival.concordance, followed(effect, n, rng))
    ranks = stats.rankdata(scores, axis=1)
    return compare.permutation_p(
        lambda found: float(metric(found)), ranks[0], ranks[1], permutations=PERMUTATIONS, rng=rng
    )


def followed(log_hazard: FloatArray, n: int, rng: np.random.Generator) -> Survival:
    """Exponential times, about half censored."""
    time, end = rng.exponential(np.exp(-log_hazard)), rng.exponential(1.0, n)
    return check_survival(np.minimum(time, end), time <= end)


def residuals(outcome: Survival) -> FloatArray:
    """Martingale residuals of the model without covariates: what a Cox model learns from first."""
    return outcome.event - censoring.baseline_hazard(outcome, np.zeros(len(outcome.time)), outcome.time)


def clinical(kind: str, out_of_fold: bool, n: int, rng: np.random.Generator) -> float | None:
    """The image adds nothing to two clinical columns, of which one tells something."""
    age, stage = rng.normal(size=n), rng.choice(["I", "II", "III"], n)
    outcome: object
    if kind == "binary":
        outcome = (rng.random(n) < 1 / (1 + np.exp(0.5 - 0.7 * age))).astype(int)
        target, task = np.asarray(outcome, float), BINARY
    elif kind == "regression":
        outcome = 0.5 * age + rng.normal(size=n)
        target, task = np.asarray(outcome), VALUE
    else:
        outcome = followed(0.6 * age, n, rng)
        target, task = residuals(outcome), SURVIVAL
    image = noise_model(target, n, rng)[0] if out_of_fold else rng.normal(size=n)
    words = pd.DataFrame({"stage": stage}, dtype=object)
    design = Design(task, outcome, pd.DataFrame({"age": age}), words, n)
    found = added_by_image(design, image[:, None], crossed=out_of_fold)
    return None if found is None else found.p


def noise_model(
    target: FloatArray,
    n: int,
    rng: np.random.Generator,
    signal: float = 0.0,
    part: npt.NDArray[np.int64] | None = None,
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Out-of-fold predictions in four parts by ridge regression on numbers that know nothing, and the parts.

    With a ``signal`` the first number knows so many times the target.
    """
    noise = rng.normal(size=(n, FEATURES))
    part = rng.permutation(np.arange(n) % 4) if part is None else part
    noise[:, 0] += signal * target
    found = np.empty(n)
    for name in range(4):
        here = part == name
        x, y = noise[~here], target[~here] - target[~here].mean()
        weights = np.linalg.solve(x.T @ x + n / 4 * np.eye(FEATURES), x.T @ y)
        fitted = x @ weights
        found[here] = (noise[here] @ weights - fitted.mean()) / fitted.std()
    return found, part


def risk_groups(what: str, out_of_fold: str, n: int, rng: np.random.Generator) -> float | None:
    """``out_of_fold``: empty, ``as it is`` or ``as the report gives it`` (by fold, the variance twice)."""
    outcome = followed(np.zeros(n), n, rng)
    risk, part = noise_model(residuals(outcome), n, rng) if out_of_fold else (rng.normal(size=n), None)
    high = risk > np.median(risk)
    given: dict[str, Any] = {}
    if out_of_fold == "as the report gives it":
        given = {"strata": part, "inflation": compare.BOTH_WAYS}
    if what == "log-rank":
        test = log_rank(outcome, high, **given)
        return None if test is None else test.p
    found = hazard.hazard_ratio(outcome, risk if what == "per SD" else high.astype(float), **given)
    return None if found is None else found.p


def against_chance(crossed: bool, n: int, rng: np.random.Generator) -> float | None:
    """AUROC of out-of-fold noise: how far chance lies from it, as the report reads the interval."""
    positive = rng.random(n) < 0.35
    score, part = noise_model(positive.astype(float), n, rng)
    statistic = partial(labels.auroc, positive, score, within=part)
    measure = Measure("AUROC", statistic, 0.5, units=int(positive.sum()))
    found = score_measures([measure], n, resamples=RESAMPLES, rng=rng, fold=part)
    return judge(found, [crossed])[0].p


def two_trained(
    test: str, crossed: bool, signal: float, same: bool, n: int, rng: np.random.Generator
) -> float:
    """Two cross-validated models of numbers of their own, worth the same, as ``compare`` tests them.

    ``same``: they have the same folds.
    """
    positive = rng.random(n) < 0.35
    first, part = noise_model(positive.astype(float), n, rng, signal)
    second, other = noise_model(positive.astype(float), n, rng, signal, part if same else None)
    if test == "DeLong":
        p = compare.delong(positive, first, second, folds=(part, other)).p
    else:
        ranks = [ranks_within(score, fold) for score, fold in ((first, part), (second, other))]
        areas = [partial(labels.auroc, positive, within=fold) for fold in (part, other)]
        scored = tuple((lambda found, area=area: float(area(found))) for area in areas)
        p = compare.permutation_p(scored, *ranks, permutations=PERMUTATIONS, rng=rng)
    return compare.crossed_p(p) if crossed else p


def ranks_within(score: FloatArray, fold: npt.NDArray[np.int64]) -> FloatArray:
    found = np.empty_like(score)
    for name in np.unique(fold):
        here = fold == name
        found[here] = (stats.rankdata(score[here]) - 0.5) / here.sum()
    return found


def sites(kind: str, n: int, rng: np.random.Generator) -> float | None:
    """Three sites with other rates of the outcome and as good a model at each, the last one small."""
    site = rng.choice(3, n, p=(0.45, 0.4, 0.15))
    frame = pd.DataFrame({"patient_id": [str(k) for k in range(n)], "site": "", "fold": 0})
    if kind == "binary":
        positive = rng.random(n) < np.array([0.2, 0.5, 0.35])[site]
        chance = 1 / (1 + np.exp(-(0.9 * positive - 0.5 + rng.normal(size=n))))
        names = np.where(positive, "yes", "no")
        frame = frame.assign(truth=names, predicted=names, p_no=1 - chance, p_yes=chance)
    else:
        risk = rng.normal(size=n)
        outcome = followed(0.7 * risk, n, rng)
        frame = frame.assign(time=outcome.time, event=outcome.event.astype(int), risk=risk, high_risk=0)
    levels = dict(zip(frame["patient_id"], map(str, site), strict=True))
    task = BINARY if kind == "binary" else SURVIVAL
    seed = int(rng.integers(1 << 31))
    p: float | None = evaluate_groups(task, frame, {"site": levels}, resamples=2, seed=seed)[0].p_value
    return p


def missing_label(kind: str, n: int, rng: np.random.Generator) -> float | None:
    """A fifth of the labels is missing by chance; a column that knows nothing of it."""
    names = [str(k) for k in range(n)]
    lacks = rng.random(n) < 0.2
    cells = rng.normal(60, 10, n).round() if kind == "numbers" else rng.choice(["I", "II", "III"], n)
    column = dict(zip(names, map(str, cells), strict=True))
    who = np.array(names)
    seed = int(rng.integers(1 << 31))
    found = missing_labels(who[~lacks], who[lacks], [], {"column": column}, seed)
    return None if found is None else found.columns[0].p


def end_of_follow_up(as_given: bool, n: int, rng: np.random.Generator) -> float | None:
    """Whether follow-up ends alike in risk groups of out-of-fold noise."""
    outcome = followed(np.zeros(n), n, rng)
    risk, part = noise_model(residuals(outcome), n, rng)
    none = np.zeros(n, bool)
    fold = part.astype(float) if as_given else np.zeros(n)
    found = censoring_by_group(outcome, none, risk > np.median(risk), fold, 0.5)
    return None if found is None else found.p


def proportional(of: str, halved: bool, n: int, rng: np.random.Generator) -> float | None:
    """Whether a ratio that is constant seems to change, beside an out-of-fold risk that learned noise.

    ``of``: the risk, or a clinical column. Not corrected for the two covariates.
    """
    age = rng.normal(size=n)
    outcome = followed(0.6 * age, n, rng)
    risk, part = noise_model(residuals(outcome), n, rng)
    frame = pd.DataFrame({"x0": risk, "x1": age})
    fitted = hazard.fit_cox(outcome, frame, penalty=0.0, strata=part)
    if fitted is None:
        return None
    chi2 = schoenfeld_chi2(outcome, frame, part.astype(float), fitted)
    if chi2 is None:
        return None
    one = chi2[0] / compare.BOTH_WAYS if halved and of == "risk" else chi2[0 if of == "risk" else 1]
    return float(stats.chi2.sf(one, 1))


def clinical_wald(n: int, rng: np.random.Generator) -> float | None:
    """Wald's p of a clinical column that tells nothing, beside an out-of-fold risk that learned noise."""
    age, grade = rng.normal(size=(2, n))
    outcome = followed(0.6 * age, n, rng)
    risk, part = noise_model(residuals(outcome), n, rng)
    frame = pd.DataFrame({"x0": risk, "x1": age, "x2": grade})
    fitted = hazard.fit_cox(outcome, frame, penalty=0.0, strata=part)
    if fitted is None:
        return None
    return float(2 * stats.norm.sf(abs(fitted.params_["x2"]) / fitted.standard_errors_["x2"]))


TESTS: dict[str, Draw] = {
    "DeLong, two equal models": delong,
    "Permutation, AUROC": partial(permuted, "AUROC"),
    "Permutation, Spearman": partial(permuted, "Spearman"),
    "Permutation, C-index": partial(permuted, "C"),
    "Sites differ, AUROC": partial(sites, "binary"),
    "Sites differ, C-index": partial(sites, "survival"),
    "Likelihood ratio, binary": partial(clinical, "binary", False),
    "Likelihood ratio, survival": partial(clinical, "survival", False),
    "F test, values": partial(clinical, "regression", False),
    "Log-rank": partial(risk_groups, "log-rank", ""),
    "Hazard ratio of groups (Wald)": partial(risk_groups, "groups", ""),
    "Hazard ratio per SD (Wald)": partial(risk_groups, "per SD", ""),
    "Likelihood ratio, binary, cross-validated noise": partial(clinical, "binary", True),
    "Likelihood ratio, survival, cross-validated noise": partial(clinical, "survival", True),
    "F test, values, cross-validated noise": partial(clinical, "regression", True),
    "Log-rank, cross-validated noise, as it is": partial(risk_groups, "log-rank", "as it is"),
    **{
        f"{name}, cross-validated noise, as the report gives it": partial(
            risk_groups, what, "as the report gives it"
        )
        for name, what in (
            ("Log-rank", "log-rank"),
            ("Hazard ratio of groups", "groups"),
            ("Hazard ratio per SD", "per SD"),
        )
    },
    **{
        f"{test}, two {models}, {said}": partial(two_trained, test, crossed, signal, True)
        for models, signal in (("models of noise", 0.0), ("equal trained models", 1.0))
        for test in ("DeLong", "Permutation")
        for said, crossed in (("as it is", False), ("as compare gives it", True))
        if crossed or test == "DeLong"
    },
    **{
        f"{test}, two {models} of other folds, as compare gives it": partial(
            two_trained, test, True, signal, False
        )
        for models, signal in (("models of noise", 0.0), ("equal trained models", 1.0))
        for test in ("DeLong", "Permutation")
    },
    "Missing labels, column of numbers": partial(missing_label, "numbers"),
    "Missing labels, column of words": partial(missing_label, "words"),
    "End of follow-up by risk group, cross-validated noise, as it is": partial(end_of_follow_up, False),
    "End of follow-up by risk group, cross-validated noise, as the report gives it": partial(
        end_of_follow_up, True
    ),
    "Schoenfeld, risk, cross-validated noise, as it is": partial(proportional, "risk", False),
    "Schoenfeld, risk, cross-validated noise, as the report gives it": partial(proportional, "risk", True),
    "Schoenfeld, clinical column beside cross-validated noise": partial(proportional, "column", True),
    "Cox, clinical column beside cross-validated noise (Wald)": clinical_wald,
    "AUROC: interval, cross-validated noise": partial(against_chance, False),
    "AUROC: conclusion, cross-validated noise": partial(against_chance, True),
}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--only", default="", help="tests whose name contains this")
    options = parser.parse_args()
    print("| test | patients | p < .05 | p < .01 | KS distance |")
    print("| --- | --- | --- | --- | --- |")
    for name, draw in TESTS.items():
        if options.only not in name:
            continue
        for n in SIZES:
            rng = np.random.default_rng(n)
            found = [draw(n, rng) for _ in range(options.cohorts)]
            p = np.array([value for value in found if value is not None])
            distance = stats.kstest(p, "uniform").statistic
            row = f"{np.mean(p < 0.05):.1%} | {np.mean(p < 0.01):.1%} | {distance:.3f}"
            print(f"| {name} | {n} | {row} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
