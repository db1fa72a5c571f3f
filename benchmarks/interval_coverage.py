"""How often do the 95 % intervals hold the true value of a metric?

    python benchmarks/interval_coverage.py [--cohorts 1000] [--resamples 1000] [--only NAME]
    python benchmarks/interval_coverage.py --few
    python benchmarks/interval_coverage.py --sites

Draws cohorts whose true metric is known from large samples, makes the interval of each from its own
patients alone, as histonic reports it, and prints how often it holds the truth, how often it lies above and
below it, and its mean width. With 1000 cohorts the share itself is known to +-1.4 %. ``--few`` asks the same
of an AUROC of 40 patients of whom hardly any are positive, where histonic reports no interval. ``--sites``
draws sites that differ in level and in the rate of the outcome, 5 to 40 patients each, and sets the intervals
by resampling patients beside those by resampling sites.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import special

from histonic.metrics.calibration import probabilities as calibration
from histonic.metrics.discrimination import labels, regression
from histonic.metrics.inference import comparisons as compare
from histonic.metrics.inference.intervals import Interval, Scale, Statistic
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.metrics.ranks import FloatArray, ratio
from histonic.metrics.survival import censoring, hazard
from histonic.metrics.survival import concordance as survival
from histonic.metrics.survival.outcome import Survival, check_survival
from histonic.stages.evaluate.evaluated import difference_measure

Draw = Callable[[int, np.random.Generator], Measure]
SIZES = (100, 300)
FOLDS = 4
FEW, OF = (1, 2, 3, 4, 5, 8), 40
LARGE, TIMES = 4000, 40
SITES = (4, 5, 6, 8, 10, 15, 20, 40)
SITE_SIZES = (5, 40)


# -------------------------------------------------------------- classes and values


def binary(
    metric: labels.ClassMetric, shift: float, share: float, n: int, rng: np.random.Generator
) -> Measure:
    """Normal scores, those of the positives ``shift`` standard deviations higher."""
    positive = rng.random(n) < share
    score = rng.normal(size=n) + shift * positive
    scale = "logit" if metric is labels.average_precision else None
    return Measure("", partial(metric, positive, score), None, units=int(positive.sum()), scale=scale)


def skewed(metric: labels.ClassMetric, n: int, rng: np.random.Generator) -> Measure:
    """Exponential scores, larger and more spread for the positives; 30 % of them."""
    positive = rng.random(n) < 0.3
    score = rng.exponential(size=n) * (1 + 0.5 * positive) + 0.7 * positive
    scale = "logit" if metric is labels.average_precision else None
    return Measure("", partial(metric, positive, score), None, units=int(positive.sum()), scale=scale)


def promised(what: str, slope: float, n: int, rng: np.random.Generator) -> Measure:
    """Chances whose logits are ``1 / slope`` times the true ones, shifted by 0.3."""
    true = -0.8 + 1.2 * rng.normal(size=n)
    positive = rng.random(n) < special.expit(true)
    chance = special.expit((true - 0.3) / slope)
    if what == "slope":
        return Measure("", partial(calibration.calibration_slope, positive, chance), None)
    if what == "intercept":
        return Measure("", partial(calibration.calibration_intercept, positive, chance), None)
    if what == "Brier":
        both = np.stack([1 - chance, chance], axis=1)
        return Measure("", partial(labels.brier, positive.astype(int), both), None)
    if slope == 1:
        chance = special.expit(true)
    found = calibration.calibration_error(positive, chance)
    return Measure("", lambda counts: np.full(len(counts), found.value), None, ends=lambda: found.interval)


def calls(
    metric: Callable[[FloatArray], FloatArray], shift: float, n: int, rng: np.random.Generator
) -> Measure:
    """Three ordered classes called from a normal score."""
    truth = rng.integers(0, 3, n)
    score = shift * truth + rng.normal(size=n)
    called = np.digitize(score, [0.5 * shift, 1.5 * shift])
    return Measure("", lambda counts: metric(labels.confusion(truth, called, 3, counts)), None)


def values(
    metric: Callable[..., FloatArray], correlation: float, heavy: bool, n: int, rng: np.random.Generator
) -> Measure:
    """Truth and calibrated prediction, normal or (heavy) with the tails of Student's t with 3 degrees."""
    wide = np.sqrt(3 / rng.chisquare(3, n)) if heavy else 1.0
    predicted = correlation * rng.normal(size=n) * wide
    truth = predicted + np.sqrt(1 - correlation**2) * rng.normal(size=n) * wide
    scale = "fisher" if metric is regression.spearman else None
    return Measure("", partial(metric, truth, predicted), None, scale=scale)


# ------------------------------------------------------------------- within folds


def folds_of(n: int) -> npt.NDArray[np.int64]:
    return np.arange(n) % FOLDS


def folded(what: str, n: int, rng: np.random.Generator) -> Measure:
    """Leading metrics of four folds that differ in level and rate: patients of one fold are compared."""
    fold = folds_of(n)
    level = np.array([0.0, 2.0, -1.0, 1.0])[fold]
    if what == "AUROC":
        positive = rng.random(n) < np.array([0.15, 0.3, 0.45, 0.6])[fold]
        score = rng.normal(size=n) + 0.95 * positive - level
        units = int(positive.sum())
        return Measure("", partial(labels.auroc, positive, score, within=fold), None, units=units)
    if what == "kappa":
        truth = rng.integers(0, 3, n)
        called = np.digitize(1.5 * truth + rng.normal(size=n) + 0.2 * level, [0.75, 2.25])
        return Measure("", partial(labels.quadratic_kappa_within, truth, called, 3, within=fold), None)
    if what == "Spearman":
        predicted = 0.5 * rng.normal(size=n)
        truth = predicted + np.sqrt(0.75) * rng.normal(size=n)
        statistic = partial(regression.spearman, truth + level, predicted - level, within=fold)
        return Measure("", statistic, None, scale="fisher")
    outcome, risk = follow_up(0.7, 1.0, n, rng)
    events = int(outcome.event.sum())
    return Measure("", partial(survival.concordance, outcome, risk - level, within=fold), None, units=events)


# ------------------------------------------------------------------------ survival


def follow_up(
    effect: float, censoring_rate: float, n: int, rng: np.random.Generator
) -> tuple[Survival, FloatArray]:
    """Exponential times whose log hazard rises by ``effect`` a standard deviation of risk."""
    risk = rng.normal(size=n)
    time, end = rng.exponential(np.exp(-effect * risk)), rng.exponential(1 / censoring_rate, n)
    return check_survival(np.minimum(time, end), time <= end), risk


def ordered(what: str, effect: float, rate: float, n: int, rng: np.random.Generator) -> Measure:
    """Measures of the order of risks."""
    outcome, risk = follow_up(effect, rate, n, rng)
    events = int(outcome.event.sum())
    late = {1.0: 1.2, 3.0: 0.6}[rate]
    statistic: Statistic = {
        "C": partial(survival.concordance, outcome, risk),
        "Uno": partial(censoring.uno_concordance, outcome, risk, until=late),
        "AUC": lambda counts: censoring.auc_at(outcome, risk, np.array([late / 3]), counts)[..., 0],
        "mean AUC": partial(censoring.mean_auc, outcome, risk, np.linspace(0.05, late, 12)),
    }[what]
    return Measure("", statistic, None, units=events)


def over_time(what: str, rate: float, n: int, rng: np.random.Generator) -> Measure:
    """Measures of predicted survival by a model whose effect is 0.5 where it is 0.7 in truth."""
    outcome, risk = follow_up(0.7, rate, n, rng)
    late = {1.0: 1.2, 3.0: 0.6}[rate]
    grid = np.linspace(0.05, late, 12)
    alive = np.exp(-grid * np.exp(0.5 * risk)[:, None])
    middle = np.full_like(alive, 1.0) * np.exp(-grid * 1.05)
    error = partial(censoring.integrated_brier, outcome, alive, grid)
    blind = partial(censoring.integrated_brier, outcome, middle, grid)
    late_chance = 1 - alive[:, -1]
    statistic: Statistic = {
        "IBS": error,
        "skill": lambda counts: 1 - ratio(error(counts), blind(counts)),
        "O/E": partial(calibration.observed_to_expected, outcome, late_chance, late),
    }[what]
    return Measure("", statistic, None)


def ratio_of_hazards(groups: bool, rate: float, n: int, rng: np.random.Generator) -> Measure:
    """Hazard ratio by Cox: of two halves, or per standard deviation."""
    outcome, risk = follow_up(0.7, rate, n, rng)
    covariate = (risk > 0).astype(float) if groups else risk
    found = hazard.hazard_ratio(outcome, covariate)
    if found is None:
        return Measure("", lambda counts: np.full(len(counts), np.nan), None)
    ends = Interval(found.low, found.high)
    return Measure("", lambda counts: np.full(len(counts), found.value), None, ends=lambda: ends)


# --------------------------------------------------------------- two models compared


def difference(what: str, gain: float, n: int, rng: np.random.Generator) -> Measure:
    """Of two models that share most of what they see; ``gain`` makes the first one better."""
    shared, own = rng.normal(size=n), rng.normal(size=(2, n))
    scores = [0.8 * shared + 0.6 * each for each in own]
    statistics: list[Statistic]
    scale: Scale | None = None
    if what in ("AUROC", "DeLong", "AUPRC"):
        positive = rng.random(n) < 0.35
        scores = [scores[0] + (0.9 + gain) * positive, scores[1] + 0.9 * positive]
        if what == "DeLong":
            found = compare.delong(positive, *scores)
            ends = Interval(found.low, found.high)
            return Measure("", lambda counts: np.full(len(counts), found.value), None, ends=lambda: ends)
        metric = labels.auroc if what == "AUROC" else labels.average_precision
        scale = "logit" if what == "AUPRC" else None
        statistics = [partial(metric, positive, score) for score in scores]
    elif what == "Spearman":
        scale = "fisher"
        truth = (0.5 + gain) * scores[0] + 0.5 * scores[1] + rng.normal(size=n)
        statistics = [partial(regression.spearman, truth, score) for score in scores]
    else:
        time = rng.exponential(np.exp(-(0.4 + gain) * scores[0] - 0.4 * scores[1]))
        end = rng.exponential(1.0, n)
        outcome = check_survival(np.minimum(time, end), time <= end)
        statistics = [partial(survival.concordance, outcome, score) for score in scores]
    first, second = (Measure("", statistic, None, scale=scale) for statistic in statistics)
    return difference_measure(first, second)


METRICS: dict[str, Draw] = {
    "AUROC": partial(binary, labels.auroc, 0.95, 0.3),
    "AUROC, good": partial(binary, labels.auroc, 1.8, 0.3),
    "AUROC, 10 % positive": partial(binary, labels.auroc, 0.95, 0.1),
    "AUROC, skewed scores": partial(skewed, labels.auroc),
    "AUPRC": partial(binary, labels.average_precision, 0.95, 0.3),
    "AUPRC, good": partial(binary, labels.average_precision, 1.8, 0.3),
    "AUPRC, 10 % positive": partial(binary, labels.average_precision, 0.95, 0.1),
    "AUPRC, half positive": partial(binary, labels.average_precision, 0.95, 0.5),
    "AUPRC, skewed scores": partial(skewed, labels.average_precision),
    "Balanced accuracy": partial(calls, labels.balanced_accuracy, 1.5),
    "Accuracy": partial(calls, labels.accuracy, 1.5),
    "Quadratic kappa": partial(calls, labels.quadratic_kappa, 1.5),
    **{f"{what}, within four folds": partial(folded, what) for what in ("AUROC", "kappa", "Spearman", "C")},
    "Brier score": partial(promised, "Brier", 0.7),
    "Calibration intercept": partial(promised, "intercept", 0.7),
    "Calibration slope": partial(promised, "slope", 0.7),
    "Calibration error": partial(promised, "error", 0.5),
    "Calibration error of 0": partial(promised, "error", 1.0),
    "Spearman": partial(values, regression.spearman, 0.5, False),
    "Spearman, good": partial(values, regression.spearman, 0.8, False),
    "Spearman, good, heavy tails": partial(values, regression.spearman, 0.8, True),
    "MAE": partial(values, regression.mean_absolute_error, 0.5, False),
    "R2": partial(values, regression.explained_variance, 0.5, False),
    "Slope of values": partial(values, regression.linear_calibration_slope, 0.5, False),
    "C-index, half censored": partial(ordered, "C", 0.7, 1.0),
    "C-index, 3 of 4 censored": partial(ordered, "C", 0.7, 3.0),
    "Uno's C, half censored": partial(ordered, "Uno", 0.7, 1.0),
    "Uno's C, 3 of 4 censored": partial(ordered, "Uno", 0.7, 3.0),
    "AUC at a time, half censored": partial(ordered, "AUC", 0.7, 1.0),
    "AUC at a time, 3 of 4 censored": partial(ordered, "AUC", 0.7, 3.0),
    "Mean AUC, half censored": partial(ordered, "mean AUC", 0.7, 1.0),
    "Integrated Brier, half censored": partial(over_time, "IBS", 1.0),
    "Integrated Brier, 3 of 4 censored": partial(over_time, "IBS", 3.0),
    "Brier skill, half censored": partial(over_time, "skill", 1.0),
    "Observed / expected, half censored": partial(over_time, "O/E", 1.0),
    "Observed / expected, 3 of 4 censored": partial(over_time, "O/E", 3.0),
    "Hazard ratio of groups": partial(ratio_of_hazards, True, 1.0),
    "Hazard ratio of groups, 3 of 4 censored": partial(ratio_of_hazards, True, 3.0),
    "Hazard ratio per SD": partial(ratio_of_hazards, False, 1.0),
    "Difference of AUROC": partial(difference, "AUROC", 0.4),
    "Difference of AUROC, none": partial(difference, "AUROC", 0.0),
    "Difference of AUROC, DeLong": partial(difference, "DeLong", 0.4),
    "Difference of AUPRC": partial(difference, "AUPRC", 0.4),
    "Difference of Spearman": partial(difference, "Spearman", 0.4),
    "Difference of C-index": partial(difference, "C", 0.4),
}
NOT_RESAMPLED = (
    "Spearman",
    "AUPRC",
    "Calibration error",
    "Hazard ratio",
    "Difference of AUROC, DeLong",
    "Difference of AUPRC",
    "Difference of Spearman",
)
"""Their intervals come from elsewhere, so that no resamples are needed."""


def true_value(name: str, draw: Draw) -> float:
    """Mean of the metric over forty large samples."""
    rng = np.random.default_rng(7)
    if name.startswith("Calibration error"):
        # Of a larger sample still: noise makes it too large by some sqrt(1/n).
        return 0.0 if name.endswith("of 0") else float(draw(2_000_000, rng).statistic(np.ones((1, 1)))[0])
    return float(np.mean([draw(LARGE, rng).statistic(np.ones((1, LARGE)))[0] for _ in range(TIMES)]))


def cover(name: str, draw: Draw, n: int, cohorts: int, resamples: int) -> list[str]:
    """Cells of one row: truth, and what became of the intervals."""
    truth, rng = true_value(name, draw), np.random.default_rng(n)
    reported = []
    used = 2 if name.startswith(NOT_RESAMPLED) else resamples
    for cohort in range(cohorts):
        measure = draw(n, rng)
        fold = folds_of(n) if "within" in name else None
        rng_of = np.random.default_rng(cohort)
        score = score_measures([measure], n, resamples=used, rng=rng_of, fold=fold)[0]
        if score.low is not None and score.high is not None:
            reported.append((score.low, score.high))
    ends = np.array(reported)
    above, below = np.mean(ends[:, 0] > truth), np.mean(ends[:, 1] < truth)
    width = np.mean(ends[:, 1] - ends[:, 0])
    return [f"{truth:.3f}", f"{1 - above - below:.1%}", f"{above:.1%}", f"{below:.1%}", f"{width:.2f}"]


def cover_few(positives: int, cohorts: int, resamples: int) -> float:
    """Share of cohorts in which the interval of an AUROC of chance holds 0.5."""
    held = []
    positive = np.arange(OF) < positives
    for cohort in range(cohorts):
        score = np.random.default_rng(cohort).normal(size=OF)
        # Without the number of units the interval is made all the same.
        measure = Measure("", partial(labels.auroc, positive, score), 0.5)
        found = score_measures([measure], OF, resamples=resamples, rng=np.random.default_rng(0))[0]
        held.append(found.low is not None and found.high is not None and found.low <= 0.5 <= found.high)
    return float(np.mean(held))


# --------------------------------------------------------------------------- sites


def of_sites(
    what: str, spread: float, sites: int, rng: np.random.Generator
) -> tuple[Measure, npt.NDArray[np.int64]]:
    """Patients of so many sites, which differ in level and rate by ``spread`` standard deviations."""
    sizes = rng.integers(SITE_SIZES[0], SITE_SIZES[1] + 1, sites)
    site = np.repeat(np.arange(sites), sizes)
    n, (level, rate) = len(site), spread * rng.normal(size=(2, sites))
    if what == "AUROC":
        positive = rng.random(n) < special.expit(-0.8 + rate)[site]
        score = rng.normal(size=n) + 0.95 * positive + level[site]
        units = int(min(positive.sum(), (~positive).sum()))
        return Measure("", partial(labels.auroc, positive, score), None, units=units), site
    if what == "MAE":
        truth = rng.normal(size=n)
        predicted = 0.5 * truth + level[site] + np.sqrt(0.75) * rng.normal(size=n)
        return Measure("", partial(regression.mean_absolute_error, truth, predicted), None), site
    if what == "Spearman":
        truth = rng.normal(size=n) + rate[site]
        predicted = 0.5 * truth + level[site] + np.sqrt(0.75) * rng.normal(size=n)
        return Measure("", partial(regression.spearman, truth, predicted), None, scale="fisher"), site
    outcome, risk = follow_up(0.7, 1.0, n, rng)
    outcome = check_survival(outcome.time * np.exp(rate)[site], outcome.event)
    statistic = partial(survival.concordance, outcome, risk + level[site])
    return Measure("", statistic, None, units=int(outcome.event.sum())), site


def cover_sites(what: str, spread: float, sites: int, cohorts: int, resamples: int) -> list[str]:
    """Cells of one row: truth, and how often and how widely patients and sites hold it."""
    rng = np.random.default_rng(7)
    large = [of_sites(what, spread, 1000, rng) for _ in range(8)]
    truth = float(np.mean([measure.statistic(np.ones((1, len(site))))[0] for measure, site in large]))
    held: dict[str, list[tuple[bool, float]]] = {"patients": [], "sites": []}
    for cohort in range(cohorts):
        measure, site = of_sites(what, spread, sites, np.random.default_rng([sites, cohort]))
        for by, cluster in (("patients", None), ("sites", site)):
            rng_of = np.random.default_rng(cohort)
            score = score_measures([measure], len(site), resamples=resamples, rng=rng_of, cluster=cluster)[0]
            if score.low is not None and score.high is not None:
                held[by].append((score.low <= truth <= score.high, score.high - score.low))
    cells = [f"{truth:.3f}"]
    for rows in held.values():
        inside, width = np.mean(rows, axis=0)
        cells += [f"{inside:.1%}", f"{width:.2f}"]
    return cells


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--only", default="", help="metrics whose name contains this")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--sites", action="store_true")
    options = parser.parse_args()
    if options.sites:
        print("| metric | spread | sites | truth | by patients | width | by sites | width |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for what in ("AUROC", "Spearman", "MAE", "C"):
            for spread in (0.0, 0.7):
                for sites in SITES:
                    cells = cover_sites(what, spread, sites, options.cohorts, options.resamples)
                    print(f"| {what} | {spread} | {sites} | {' | '.join(cells)} |", flush=True)
        return 0
    if options.few:
        print(f"| positive of {OF} | held |\n| --- | --- |")
        for positives in FEW:
            print(
                f"| {positives} | {cover_few(positives, options.cohorts, options.resamples):.1%} |",
                flush=True,
            )
        return 0
    print("| metric | patients | truth | held | above | below | width |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, draw in METRICS.items():
        if options.only not in name:
            continue
        for n in SIZES:
            cells = cover(name, draw, n, options.cohorts, options.resamples)
            print(f"| {name} | {n} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
