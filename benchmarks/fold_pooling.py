"""Is the leading metric right whatever the outcome rates of the folds, and its verdict honest?

    python benchmarks/fold_pooling.py [--cohorts 2000] [--only NAME] [--workers 1] [--write]

Draws cohorts of four sites with other rates of the outcome and predicts each fold (a site, or a random
quarter of all) at the level of the patients of the other folds, as networks do. Part one: a fixed score beside that
level, which knows nothing or something. The truth is the same metric of a million new patients (a pair of
patients of the same site with site folds, of any two with random ones). Part two: the scores are learned, by
ridge regression on numbers that are pure noise, on the other folds. Prints the mean of the leading number
and of the pooled one less the truth, how often the 95 % interval holds the truth, and how often the report
would say "better" and "worse".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special

from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.metrics.ranks import FloatArray
from histonic.metrics.survival import censoring
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import Survival
from histonic.stages.evaluate.chance import judge
from histonic.stages.evaluate.evaluated import met_classes, same_folds

TABLE = Path(__file__).with_suffix(".md")
PATIENTS, SITES, RESAMPLES, FEATURES = 200, 4, 400, 20
NEW = 1_000_000
RATES = {
    "equal": (0.4, 0.4, 0.4, 0.4),
    "20/30/40/50": (0.2, 0.3, 0.4, 0.5),
    "10/35/65/90": (0.1, 0.35, 0.65, 0.9),
}
SKILL = {"binary": 0.95, "multiclass": 1.2, "ordinal": 1.2, "regression": 0.8, "survival": 0.8}
"""Of the fixed score that knows something."""
SPLITS = (("site", 1), ("random", 1), ("random", 5))


@dataclass
class Cohort:
    """Truth of ``n`` patients: class, value or follow-up, and what a score can know of it."""

    kind: str
    site: np.ndarray
    truth: np.ndarray | Survival
    hidden: np.ndarray

    def target(self) -> np.ndarray:
        """``(n, W)``, what a model is fitted to."""
        if isinstance(self.truth, Survival):
            still = np.zeros(len(self.site))
            hazard = censoring.baseline_hazard(self.truth, still, self.truth.time)
            return np.asarray(self.truth.event - hazard)[:, None]
        if self.kind == "regression":
            return self.truth[:, None]
        return np.eye(2 if self.kind == "binary" else 3)[self.truth]


def draw_cohort(kind: str, rates: tuple[float, ...], n: int, rng: np.random.Generator) -> Cohort:
    site = np.arange(n) % SITES
    rate = np.array(rates)[site]
    hidden = rng.normal(size=n)
    if kind == "binary":
        return Cohort(kind, site, (rng.random(n) < rate).astype(int), hidden)
    if kind in ("multiclass", "ordinal"):
        return Cohort(kind, site, rng.binomial(2, rate), hidden)
    if kind == "regression":
        return Cohort(kind, site, 5 * rate + hidden, hidden)
    time, end = rng.exponential(np.exp(-2 * rate - hidden)), rng.exponential(1.0, n)
    return Cohort(kind, site, Survival(np.minimum(time, end), time <= end), hidden)


def fixed_score(cohort: Cohort, skill: float, rng: np.random.Generator) -> FloatArray:
    """``(n, W)``, log odds beside the level of the training patients, a value, or a risk."""
    n = len(cohort.site)
    if isinstance(cohort.truth, Survival) or cohort.kind == "regression":
        return (skill * cohort.hidden + 0.6 * rng.normal(size=n))[:, None]
    classes = np.eye(2 if cohort.kind == "binary" else 3)[cohort.truth]
    if cohort.kind == "binary":
        one = skill * (cohort.truth + rng.normal(size=n)) if skill else rng.normal(size=n)
        return np.stack([np.zeros(n), one], axis=1)
    if cohort.kind == "ordinal":
        near = skill * cohort.truth + rng.normal(size=n)
        return -((near[:, None] - max(skill, 1.0) * np.arange(3)) ** 2) / 2
    return skill * classes + rng.normal(size=classes.shape)


def learned_score(cohort: Cohort, fold: np.ndarray, rng: np.random.Generator) -> FloatArray:
    """``(n, W)``, by ridge regression on noise of the patients of the other folds."""
    x, y = rng.normal(size=(len(fold), FEATURES)), cohort.target()
    found = np.empty(y.shape)
    for name in np.unique(fold):
        here = fold == name
        inside, wanted = x[~here], y[~here] - y[~here].mean(axis=0)
        weights = np.linalg.solve(inside.T @ inside + 50 * np.eye(FEATURES), inside.T @ wanted)
        found[here] = x[here] @ weights
    return 3 * found if cohort.kind in ("binary", "multiclass", "ordinal") else found


def predict(cohort: Cohort, score: FloatArray, fold: np.ndarray) -> FloatArray:
    """The score at the level of the patients of the other folds: probabilities, values or risks."""
    y = cohort.target()
    level = np.array([y[fold != name].mean(axis=0) for name in np.unique(fold)])[
        np.unique(fold, return_inverse=True)[1]
    ]
    if cohort.kind == "regression":
        return score + level
    if cohort.kind == "survival":
        # Risks are put on one scale per fold.
        return score
    return special.softmax(score + np.log(np.maximum(level, 1e-3)), axis=1)


def statistic(
    cohort: Cohort, predicted: FloatArray, fold: np.ndarray | None
) -> Callable[[FloatArray | None], FloatArray]:
    """The leading metric as the report computes it; over all pairs without ``fold``."""
    truth = cohort.truth
    if isinstance(truth, Survival):
        return partial(survival.concordance, truth, predicted[:, 0], within=fold)
    if cohort.kind == "regression":
        return partial(regression.spearman, truth, predicted[:, 0], within=fold)
    area = partial(labels.auroc, within=fold)
    if cohort.kind == "binary":
        return partial(area, truth == 1, predicted[:, 1])
    if cohort.kind == "multiclass":
        return partial(labels.macro, area, truth, predicted, classes=met_classes(truth, fold))
    called = labels.median_class(predicted)
    return partial(labels.quadratic_kappa_within, truth, called, 3, within=fold)


def measure(cohort: Cohort, predicted: FloatArray, fold: np.ndarray) -> Measure:
    chance = 0.0 if cohort.kind in ("regression", "ordinal") else 0.5
    units = None
    if cohort.kind in ("binary", "multiclass"):
        units = int(np.bincount(cohort.truth).min())
    elif isinstance(cohort.truth, Survival):
        units = int(cohort.truth.event.sum())
    scale = "fisher" if cohort.kind == "regression" else None
    return Measure("", statistic(cohort, predicted, fold), chance, units=units, scale=scale)


def split(how: str, cohort: Cohort, rng: np.random.Generator) -> np.ndarray:
    return cohort.site if how == "site" else rng.permutation(cohort.site)


def truth_of(kind: str, rates: tuple[float, ...], how: str, skill: float) -> float:
    """The leading metric of new patients, at the level that the folds of such cohorts have."""
    rng = np.random.default_rng(1)
    cohort = draw_cohort(kind, rates, NEW, rng)
    score = fixed_score(cohort, skill, rng)
    within = cohort.site if how == "site" else None
    fold = cohort.site if how == "site" else rng.permutation(cohort.site)
    predicted = predict(cohort, score, fold)
    if isinstance(cohort.truth, Survival):
        return _share_of_pairs(cohort, predicted[:, 0], within, rng)
    if kind == "regression":
        parts = [np.arange(NEW)] if within is None else [np.flatnonzero(within == k) for k in range(SITES)]
        return float(np.mean([regression.spearman(cohort.truth[rows], predicted[rows, 0]) for rows in parts]))
    return float(statistic(cohort, predicted, fold)(None))


def _share_of_pairs(
    cohort: Cohort, risk: FloatArray, within: np.ndarray | None, rng: np.random.Generator
) -> float:
    """Of ten million pairs of the patients."""
    truth = cohort.truth
    if not isinstance(truth, Survival):
        raise TypeError("Pairs are counted for follow-up only.")
    right = pairs = 0.0
    for _ in range(10):
        one = rng.integers(0, NEW, NEW)
        # Sites are dealt in turn, so that a whole number of rounds further is the same site.
        step = rng.integers(1, NEW // SITES, NEW) * SITES if within is not None else rng.integers(1, NEW, NEW)
        other = (one + step) % NEW
        counted = truth.event[one] & (truth.time[other] > truth.time[one])
        right += np.sum((risk[one] > risk[other])[counted])
        pairs += counted.sum()
    return float(right / pairs)


def row(cohorts: int, kind: str, rates: str, how: str, repeats: int, score: str) -> str:
    """One line of the table."""
    skill = SKILL[kind] if score == "knows" else 0.0
    chance = 0.0 if kind in ("regression", "ordinal") else 0.5
    truth = chance if score in ("learned noise", "nothing") and kind != "survival" else None
    if score == "nothing" and kind == "survival":
        truth = chance
    if score == "learned noise":
        truth = chance
    if truth is None:
        truth = truth_of(kind, RATES[rates], how, skill)
    rng = np.random.default_rng(0)
    found, pooled, held, words = [], [], 0, []
    for _ in range(cohorts):
        cohort = draw_cohort(kind, RATES[rates], PATIENTS, rng)
        folds = [split(how, cohort, rng) for _ in range(repeats)]
        own = None if score == "learned noise" else fixed_score(cohort, skill, rng)
        each = [
            predict(cohort, learned_score(cohort, fold, rng) if own is None else own, fold) for fold in folds
        ]
        measures = [measure(cohort, predicted, fold) for predicted, fold in zip(each, folds, strict=True)]
        mean = Measure(
            "",
            lambda counts, of=measures: np.mean([one.statistic(counts) for one in of], axis=0),
            chance,
            units=measures[0].units,
            scale=measures[0].scale,
        )
        result = score_measures([mean], PATIENTS, resamples=RESAMPLES, rng=rng, fold=same_folds(folds))[0]
        if result.value is None:
            continue
        found.append(result.value)
        pooled.append(np.mean([statistic(cohort, predicted, None)(None) for predicted in each]))
        held += result.low is not None and result.low <= truth <= result.high
        words.append(judge([result], [True])[0].word)
    count = len(found)
    bias, error = np.mean(found) - truth, np.std(found) / np.sqrt(count)
    better, worse = (np.mean([word == name for word in words]) for name in ("better", "worse"))
    return (
        f"| {kind} | {rates} | {how} | {repeats} | {score} | {truth:.3f} | {bias:+.4f} ± {error:.4f} | "
        f"{np.mean(pooled) - truth:+.3f} | {held / count:.1%} | {better:.1%} | {worse:.1%} |"
    )


def rows(only: str) -> list[tuple[str, str, str, int, str]]:
    every = [
        (kind, rates, how, repeats, score)
        for kind, rates, (how, repeats), score in product(
            SKILL, RATES, SPLITS, ("nothing", "knows", "learned noise")
        )
        # The rates in between for one kind only.
        if rates != "20/30/40/50" or kind == "binary"
    ]
    return [each for each in every if only in " ".join(map(str, each))]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--only", default="", help="rows whose words contain this")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write the table to {TABLE.name}")
    options = parser.parse_args()
    head = (
        "| target | outcome rates | folds | repeats | score | truth | leading − truth | pooled − truth "
        '| held | "better" | "worse" |\n' + "| --- " * 11 + "|"
    )
    print(head)
    lines = [head]
    with ProcessPoolExecutor(options.workers) as pool:
        waiting = [pool.submit(row, options.cohorts, *each) for each in rows(options.only)]
        for each in waiting:
            lines.append(each.result())
            print(lines[-1], flush=True)
    if options.write:
        about = (
            "# The leading metric and its verdict, whatever the rates of the folds\n\n"
            f"`python benchmarks/fold_pooling.py --cohorts {options.cohorts}`: {PATIENTS} patients of four "
            "sites a cohort; what the columns mean stands in the script.\n\n"
        )
        TABLE.write_text(about + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
