"""Tables of predictions to scores and figure data, for every kind of target."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index, restricted_mean_survival_time
from sklearn import metrics as sk
from statsmodels.duration.survfunc import survdiff

from fixtures.runs import run_document
from histonic.core.documents import write_document
from histonic.core.errors import CohortError, RunError, TableError
from histonic.core.task import TASK_KINDS, Task
from histonic.metrics.calibration.smooth import smooth_calibration
from histonic.metrics.inference.comparisons import crossed_p
from histonic.metrics.inference.intervals import Statistic
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.metrics.survival.outcome import check_survival
from histonic.stages.evaluate.curves import ClassCurves
from histonic.stages.evaluate.evaluate import EVALUATORS, TaskEvaluation, evaluate_run, evaluate_task
from histonic.stages.evaluate.labels import SMOOTH_NAMES
from histonic.stages.evaluate.survival import kaplan_meier_groups

TASKS = {
    "binary": Task("her2", "binary", ("her2",), ("neg", "pos")),
    "multiclass": Task("subtype", "multiclass", ("subtype",), ("NA", "1", "2")),
    "ordinal": Task("grade", "ordinal", ("grade",), ("1", "2", "3")),
    "regression": Task("ki67", "regression", ("ki67",)),
    "survival": Task("os", "survival", ("months", "dead")),
}


NO_CHANCE = ("Calibration", "Expected calibration error", "Observed / expected")


def table(kind: str, n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Predictions that know something."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"patient_id": [f"p{i:03d}" for i in range(n)], "site": "a", "fold": np.arange(n) % 4}
    )
    if kind == "regression":
        frame["truth"] = rng.normal(20, 5, n)
        frame["predicted"] = frame["truth"] + rng.normal(0, 3, n)
    elif kind == "survival":
        risk = rng.normal(size=n)
        frame["time"] = np.round(rng.exponential(20 * np.exp(-risk)), 1)
        frame["event"] = (rng.random(n) < 0.6).astype(int)
        frame["risk"] = risk
        frame["high_risk"] = (risk > 0).astype(int)
    else:
        classes = TASKS[kind].classes
        truth = rng.permutation(np.arange(n) % len(classes))
        weight = rng.exponential(size=(n, len(classes))) + np.eye(len(classes))[truth]
        weight /= weight.sum(axis=1, keepdims=True)
        frame["truth"] = [classes[k] for k in truth]
        frame["predicted"] = [classes[k] for k in weight.argmax(axis=1)]
        for k, name in enumerate(classes):
            frame[f"p_{name}"] = weight[:, k]
        frame["score"] = weight @ np.arange(len(classes))
    return frame


def evaluate(kind: str, frame: pd.DataFrame, resamples: int = 100) -> TaskEvaluation:
    return evaluate_task(TASKS[kind], frame, resamples=resamples)


def values(result: TaskEvaluation) -> dict[str, float | None]:
    return {score.name: score.value for score in result.scores}


def right_pairs(positive: pd.Series, score: pd.Series, fold: pd.Series) -> float:
    """By definition: of the pairs of a positive and a negative patient of one fold those in order."""
    rows = list(zip(positive, score, fold, strict=True))
    pairs = [(s > t) + (s == t) / 2 for p, s, f in rows for q, t, g in rows if p and not q and f == g]
    return float(np.mean(pairs))


def test_every_kind_has_an_evaluator() -> None:
    assert set(EVALUATORS) == set(TASK_KINDS)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_kind_becomes_json_and_beats_chance(kind: str) -> None:
    result = evaluate(kind, table(kind))
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["n"] == 60
    for score in result.scores:
        assert score.value is not None and score.low is not None and score.high is not None
        assert score.low <= score.value <= score.high
        assert (score.chance is None) == score.name.startswith(NO_CHANCE), score.name
        if score.chance is not None:
            assert (score.value > score.chance) == score.higher_is_better, score.name
    assert [part.n for part in result.curves.folds] == [15] * 4
    assert evaluate(kind, table(kind)).to_dict() == result.to_dict()


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_the_order_of_rows_changes_no_value(kind: str) -> None:
    frame = table(kind)
    shuffled = frame.sample(frac=1, random_state=1)
    assert values(evaluate(kind, shuffled)) == pytest.approx(values(evaluate(kind, frame)), abs=1e-12)


def test_binary_equals_scikit_learn() -> None:
    frame = table("binary")
    found = values(evaluate("binary", frame))
    truth = frame["truth"] == "pos"
    assert found["AUROC"] == pytest.approx(right_pairs(truth, frame["p_pos"], frame["fold"]), abs=1e-12)
    assert found["AUROC, folds pooled"] == pytest.approx(sk.roc_auc_score(truth, frame["p_pos"]), abs=1e-12)
    assert found["AUPRC"] == pytest.approx(sk.average_precision_score(truth, frame["p_pos"]), abs=1e-12)
    assert found["Brier score"] == pytest.approx(sk.brier_score_loss(truth, frame["p_pos"]), abs=1e-12)
    expected = sk.balanced_accuracy_score(frame["truth"], frame["predicted"])
    assert found["Balanced accuracy"] == pytest.approx(expected, abs=1e-12)
    assert found["Accuracy"] == pytest.approx(np.mean(frame["truth"] == frame["predicted"]))


def test_multiclass_has_the_mean_and_each_class() -> None:
    frame = table("multiclass")
    result = evaluate("multiclass", frame)
    found = values(result)
    each = [
        right_pairs(frame["truth"] == name, frame[f"p_{name}"], frame["fold"]) for name in ("NA", "1", "2")
    ]
    assert [found[f"AUROC of {name}"] for name in ("NA", "1", "2")] == pytest.approx(each, abs=1e-12)
    assert found["AUROC"] == pytest.approx(np.mean(each), abs=1e-12)
    pooled = [sk.roc_auc_score(frame["truth"] == name, frame[f"p_{name}"]) for name in ("NA", "1", "2")]
    assert found["AUROC, folds pooled"] == pytest.approx(np.mean(pooled), abs=1e-12)
    assert [curve.name for curve in result.curves.roc] == ["NA", "1", "2"]
    assert np.sum(result.curves.confusion.counts) == 60


def test_a_class_that_no_patient_has_is_left_out() -> None:
    frame = table("multiclass")
    frame = frame[frame["truth"] != "2"]
    found = values(evaluate("multiclass", frame))
    assert "AUROC of 2" not in found
    chance = {score.name: score.chance for score in evaluate("multiclass", frame).scores}
    assert chance["Balanced accuracy"] == pytest.approx(np.mean(frame["predicted"] != "2") / 2)


def test_ordinal_leads_with_kappa() -> None:
    frame = table("ordinal")
    result = evaluate("ordinal", frame)
    expected = sk.cohen_kappa_score(frame["truth"], frame["predicted"], weights="quadratic")
    assert result.scores[0].name == "Quadratic weighted kappa"
    assert values(result)["Quadratic weighted kappa, folds pooled"] == pytest.approx(expected, abs=1e-12)
    seen = chance = 0.0
    for _, part in frame.groupby("fold"):
        truth, called = (part[name].astype(float).to_numpy() for name in ("truth", "predicted"))
        seen += np.sum((truth - called) ** 2)
        apart = (truth[:, None] - called) ** 2
        chance += (apart.sum() - np.trace(apart)) / (len(part) - 1)
    assert result.scores[0].value == pytest.approx(1 - seen / chance, abs=1e-12)
    one = values(evaluate("ordinal", frame.assign(fold=0)))
    assert one["Quadratic weighted kappa"] == pytest.approx(expected, abs=1e-12)
    assert one["Spearman correlation"] == pytest.approx(
        frame["score"].corr(frame["truth"].astype(float), method="spearman"), abs=1e-12
    )


def test_scores_are_shown_in_the_numbers_of_the_classes() -> None:
    """Whatever the table's own score counts in: earlier versions counted classes from 0."""
    frame = table("ordinal")
    wanted = frame[["p_1", "p_2", "p_3"]].to_numpy() @ [1.0, 2.0, 3.0]
    curves = evaluate("ordinal", frame).curves
    assert isinstance(curves, ClassCurves) and curves.scatter is not None
    assert np.allclose(curves.scatter.predicted, wanted) and set(curves.scatter.truth) == {0, 1, 2}


def test_regression_chance_is_the_mean_of_the_other_folds() -> None:
    frame = table("regression")
    found = {score.name: score for score in evaluate("regression", frame).scores}
    blind = [
        abs(row.truth - frame.loc[frame["fold"] != row.fold, "truth"].mean()) for row in frame.itertuples()
    ]
    assert found["Mean absolute error"].chance == pytest.approx(np.mean(blind))
    assert found["R²"].value == pytest.approx(sk.r2_score(frame["truth"], frame["predicted"]), abs=1e-12)


def drawn_survival(hazard: float, seed: int, fold: int | None = None, n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    time, end = rng.exponential(20 * np.exp(-risk) / hazard), rng.uniform(5, 60, n)
    return pd.DataFrame(
        {
            "patient_id": [f"p{k:03d}" for k in range(n)], "site": "",
            "fold": np.arange(n) % 4 if fold is None else fold,
            "time": np.minimum(time, end), "event": (time <= end).astype(int),
            "risk": risk, "high_risk": (risk > 0).astype(int),
        }
    )  # fmt: skip


def observed_over_expected(result: TaskEvaluation) -> float:
    return next(score.value for score in result.scores if score.name.startswith("Observed / expected"))


def test_a_cohort_from_elsewhere_has_no_say_in_its_own_calibration() -> None:
    own = drawn_survival(1.0, 0)
    task, found = TASKS["survival"], {}
    for hazard in (1.0, 4.0):
        outside = drawn_survival(hazard, 1, fold=-1)
        found[hazard] = evaluate_task(task, outside, resamples=100, reference=own)
        assert found[hazard].curves.survival_from == "run"
    assert observed_over_expected(found[1.0]) == pytest.approx(1.0, abs=0.15)
    assert observed_over_expected(found[4.0]) > 1.5
    skill = {hazard: values(result)["Brier skill"] for hazard, result in found.items()}
    refitted = values(evaluate_task(task, drawn_survival(4.0, 1, fold=-1), resamples=100))
    error = values(found[4.0])["Integrated Brier score"]
    assert skill[1.0] > 0.1 and error > refitted["Integrated Brier score"] + 0.01


def test_repeats_of_the_reference_count_once() -> None:
    own, outside = drawn_survival(1.0, 0, n=60), drawn_survival(1.0, 1, fold=-1, n=60)
    twice = pd.concat([own.assign(repeat=k) for k in range(2)])
    once, again = (
        evaluate_task(TASKS["survival"], outside, resamples=100, reference=each) for each in (own, twice)
    )
    assert once.to_dict() == again.to_dict()


def test_survival_equals_lifelines() -> None:
    frame = table("survival")
    result = evaluate("survival", frame)
    expected = concordance_index(frame["time"], -frame["risk"], frame["event"])
    assert values(result)["C-index, folds pooled"] == pytest.approx(expected, abs=1e-12)
    assert values(evaluate("survival", frame.assign(fold=0)))["C-index"] == pytest.approx(expected, abs=1e-12)
    high, low = frame[frame["high_risk"] == 1], frame[frame["high_risk"] == 0]
    test = logrank_test(high["time"], low["time"], high["event"], low["event"])
    whole = evaluate("survival", frame.assign(fold=0)).curves.km
    assert whole.p == pytest.approx(test.p_value, rel=1e-9)
    # Within folds, and the variance twice, since patients predict each other.
    same = survdiff(frame["time"], frame["event"], frame["high_risk"], strata=frame["fold"])
    assert result.curves.km.chi2 == pytest.approx(same[0], rel=1e-9)
    assert result.curves.km.p == pytest.approx(crossed_p(same[1]), rel=1e-9)
    groups = result.curves.km.groups
    assert [group.n for group in groups] == [len(low), len(high)]
    assert groups[0].median > groups[1].median
    assert groups[0].at_risk[0] == len(low)


def test_the_group_comes_from_the_column_and_not_from_the_pooled_risk() -> None:
    frame = table("survival")
    frame["high_risk"] = [1, 0] * 30
    groups = evaluate("survival", frame).curves.km.groups
    assert groups[1].events == frame.loc[::2, "event"].sum()


def test_restricted_means_and_follow_up_equal_lifelines() -> None:
    frame = drawn_survival(1.0, 0, n=120)
    curves = evaluate("survival", frame).curves
    row, whole = curves.restricted_mean, evaluate("survival", frame.assign(fold=0)).curves.restricted_mean
    at = {}
    for high, group in frame.groupby("high_risk"):
        assert (group["time"] >= row.until).mean() >= 0.1
        fitter = KaplanMeierFitter().fit(group["time"], group["event"])
        at[high] = restricted_mean_survival_time(fitter, t=row.until)
    assert (row.low_risk, row.high_risk) == pytest.approx((at[0], at[1]), abs=1e-6)
    assert row.difference == pytest.approx(at[0] - at[1], abs=1e-6)
    assert 0 < row.low < row.difference < row.high
    # Patients of a cross-validation predict each other: the variance counts twice.
    assert row.high - row.difference == pytest.approx(2**0.5 * (whole.high - whole.difference))
    reverse = KaplanMeierFitter().fit(frame["time"], 1 - frame["event"])
    found = curves.follow_up
    assert found.median == pytest.approx(reverse.median_survival_time_, abs=1e-6)
    assert (found.n, found.events, found.competing) == (120, frame["event"].sum(), 0)


def test_few_events_leave_the_restricted_mean_without_an_interval() -> None:
    frame = drawn_survival(1.0, 0, n=60)
    frame.loc[frame["high_risk"] == 0, "event"] = 0
    row = evaluate("survival", frame).curves.restricted_mean
    assert row.low_risk == row.until and row.difference > 0
    assert row.low is None and row.high is None


def drawn_binary(n: int, seed: int = 0, wrong: float = 1.0) -> pd.DataFrame:
    """Predicted chances that are right, or with log odds so many times too large."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=n)
    chance = 1 / (1 + np.exp(-wrong * odds))
    return pd.DataFrame(
        {
            "patient_id": [f"p{k:03d}" for k in range(n)], "site": "", "fold": np.arange(n) % 4,
            "truth": np.where(rng.random(n) < 1 / (1 + np.exp(-odds)), "pos", "neg"),
            "predicted": np.where(chance > 0.5, "pos", "neg"), "p_neg": 1 - chance, "p_pos": chance,
        }
    )  # fmt: skip


def test_smooth_calibration_is_told_of_enough_patients_only() -> None:
    few = evaluate("binary", drawn_binary(150))
    assert not set(SMOOTH_NAMES) & set(values(few)) and "smooth" not in few.to_dict()["curves"]
    frame = drawn_binary(400, wrong=3.0)
    result = evaluate("binary", frame)
    expected = smooth_calibration((frame["truth"] == "pos").to_numpy(), frame["p_pos"].to_numpy())
    scores = {score.name: score for score in result.scores}
    for name, value, most in zip(SMOOTH_NAMES, expected.errors, expected.by_noise_most, strict=True):
        assert scores[name].value == pytest.approx(value) and value > most
        assert scores[name].low is None and f"no more than {most:.3f}" in scores[name].note
    line = result.curves.smooth
    at = np.interp(line.x, np.sort(frame["p_pos"]), expected.observed[np.argsort(frame["p_pos"])])
    assert line.y == pytest.approx(at) and len(line.x) == 60
    # Of repeats, the mean.
    other = frame.assign(p_pos=frame["p_pos"] ** 2, p_neg=1 - frame["p_pos"] ** 2)
    both = pd.concat([frame.assign(repeat=0), other.assign(repeat=1)])
    name = SMOOTH_NAMES[0]
    each = [values(evaluate("binary", one))[name] for one in (frame, other)]
    repeated = next(score for score in evaluate("binary", both).scores if score.name == name)
    assert repeated.value == pytest.approx(np.mean(each)) and repeated.low is None


def test_one_risk_group_has_no_test() -> None:
    frame = table("survival").assign(high_risk=1)
    km = evaluate("survival", frame).curves.km
    assert evaluate("survival", frame).curves.restricted_mean is None
    assert [group.name for group in km.groups] == ["high risk"]
    assert km.p is None


@pytest.mark.parametrize("last", [0.0, 0.7, 0.7 - 1e-12, 4.0, 9.9, 38.0, 61.2, 3650.0])
def test_times_at_risk_are_few_and_round(last: float) -> None:
    at = kaplan_meier_groups(check_survival([last], [1]), np.array([True])).at
    assert at[0] == 0
    assert at[-1] <= last
    assert len(at) <= 10
    assert last == 0 or len(at) >= 5


def test_patients_without_truth_are_left_out() -> None:
    for kind in ("binary", "regression"):
        frame = table(kind).astype(object)
        frame.loc[:9, "truth"] = ""
        assert evaluate(kind, frame).n == 50
        frame.loc[:9, "truth"] = np.nan
        assert evaluate(kind, frame).n == 50
    frame = table("survival").astype(object)
    frame.loc[:4, "time"] = ""
    frame.loc[3:6, "event"] = None
    assert evaluate("survival", frame).n == 53


def test_equal_predictions_are_chance_or_undefined() -> None:
    frame = table("regression").assign(predicted=20.0)
    scores = {score.name: score for score in evaluate("regression", frame).scores}
    assert scores["Spearman correlation"].value is None
    assert "do not vary" in scores["Spearman correlation"].note
    assert evaluate("regression", frame).curves.calibration.slope is None
    survival = evaluate("survival", table("survival").assign(risk=0.0))
    assert values(survival)["C-index"] == 0.5


BROKEN = {
    "no rows": ("binary", lambda frame: frame.iloc[:0], CohortError, "0 patients"),
    "three rows": ("regression", lambda frame: frame.iloc[:3], CohortError, "3 patients"),
    "one class": ("binary", lambda frame: frame[frame["truth"] == "neg"], CohortError, "are 'neg'"),
    "one value": ("regression", lambda frame: frame.assign(truth=1.0), CohortError, "the same value"),
    "no event": ("survival", lambda frame: frame.assign(event=0), CohortError, "outlived"),
    "negative time": ("survival", lambda frame: frame.assign(time=-1.0), CohortError, "patient p000 is -1"),
    "event of 2": ("survival", lambda frame: frame.assign(event=2), CohortError, "patient p000 is 2"),
    "no column": ("survival", lambda frame: frame.drop(columns="risk"), TableError, "'risk'"),
    "no number": ("regression", lambda frame: frame.assign(predicted="high"), TableError, "p000"),
    "not finite": ("regression", lambda frame: frame.assign(predicted=np.inf), TableError, "inf"),
    "a missing prediction": ("regression", lambda frame: frame.assign(predicted=np.nan), TableError, "''"),
    "unknown class": ("binary", lambda frame: frame.assign(truth="maybe"), TableError, "one of neg, pos"),
    "no probability": ("binary", lambda frame: frame.assign(p_pos=1.5), TableError, "p_pos"),
    "a wrong sum": ("binary", lambda frame: frame.assign(p_pos=0.9, p_neg=0.9), TableError, "sum of 1.8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables_are_refused(name: str) -> None:
    kind, change, error_type, found = BROKEN[name]
    with pytest.raises(error_type) as error:
        evaluate(kind, change(table(kind)))
    assert found in error.value.found
    assert repr(TASKS[kind].name) in error.value.asked


def write_run(folder: Path) -> Path:
    (folder / "predictions").mkdir(parents=True)
    write_document(folder / "run.json", run_document(tuple(TASKS.values())))
    for kind, task in TASKS.items():
        table(kind).to_csv(folder / "predictions" / f"{task.name}.csv", index=False)
    return folder


def test_a_run_is_evaluated_target_by_target(tmp_path: Path) -> None:
    results = evaluate_run(write_run(tmp_path / "run"), resamples=100, seed=0)
    assert [result.task for result in results] == list(TASKS.values())
    for kind, result in zip(TASKS, results, strict=True):
        assert values(result) == pytest.approx(values(evaluate(kind, table(kind))), abs=1e-12)


@pytest.mark.parametrize("absent", ["run.json", "predictions/os.csv"])
def test_an_unfinished_run_is_refused(tmp_path: Path, absent: str) -> None:
    run = write_run(tmp_path / "run")
    (run / absent).unlink()
    with pytest.raises(RunError) as error:
        evaluate_run(run, resamples=100)
    assert "histonic train" in error.value.todo
    assert Path(absent).name in str(error.value)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "predictions" / "os.csv").write_text("")
    with pytest.raises(RunError, match=r"os\.csv"):
        evaluate_run(run, resamples=100)


# ---------------------------------------------------------------- levels of the folds

RATES = (0.1, 0.35, 0.65, 0.9)
"""Of the outcome at four sites, each of which is a fold."""


def by_site(kind: str, skill: float, seed: int = 0, n: int = 200) -> pd.DataFrame:
    """Out-of-fold predictions at the level of the other sites; ``skill`` 0 knows nothing else."""
    rng = np.random.default_rng(seed)
    fold = np.arange(n) % 4
    frame = pd.DataFrame({"patient_id": [f"p{i:03d}" for i in range(n)], "site": fold.astype(str)})
    frame["fold"] = fold
    rate = np.array(RATES)[fold]
    if kind == "survival":
        hidden = rng.normal(size=n)
        frame["time"] = rng.exponential(np.exp(-4 * rate - hidden)) + 0.01
        frame["event"] = (rng.random(n) < 0.7).astype(int)
        frame["risk"] = skill * hidden + rng.normal(size=n) * 0.1 - 4 * rate
        return frame.assign(high_risk=(frame["risk"] > 0).astype(int))
    if kind == "regression":
        hidden = rng.normal(size=n)
        others = np.array([np.mean(np.array(RATES)[np.arange(4) != k]) for k in range(4)])[fold]
        noise = 0.001 * rng.normal(size=n)
        return frame.assign(truth=10 * rate + hidden, predicted=10 * others + skill * hidden + noise)
    classes = TASKS[kind].classes
    truth = np.minimum(rng.binomial(len(classes) - 1, rate), len(classes) - 1)
    share = np.array([np.bincount(truth[fold != k], minlength=len(classes)) for k in range(4)])[fold]
    share = (share + 1.0) * np.exp(skill * rng.normal(1, 0.7, n)[:, None] * np.eye(len(classes))[truth])
    share /= share.sum(axis=1, keepdims=True)
    frame["truth"] = [classes[k] for k in truth]
    frame["predicted"] = [classes[k] for k in share.argmax(axis=1)]
    for k, name in enumerate(classes):
        frame[f"p_{name}"] = share[:, k]
    frame["score"] = share @ np.arange(len(classes))
    return frame


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_a_model_that_knows_nothing_is_at_chance_whatever_the_rates_of_the_sites(kind: str) -> None:
    scores = evaluate(kind, by_site(kind, 0.0)).scores
    leading, pooled = scores[0], scores[1]
    assert pooled.name == f"{leading.name}, folds pooled"
    assert leading.low <= leading.chance <= leading.high
    if kind not in ("survival",):
        # Of all pairs the predictions of each site's opposite order most.
        assert pooled.high < pooled.chance - 0.1
    assert "whole sites" in leading.note


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_what_is_known_within_sites_is_seen(kind: str) -> None:
    scores = evaluate(kind, by_site(kind, 1.5)).scores
    assert scores[0].low > scores[0].chance
    assert scores[0].value > scores[1].value or kind in ("survival", "ordinal")


def test_the_parts_of_a_fold_alone_make_the_leading_metric() -> None:
    frame = by_site("binary", 1.0)
    # Any rising change of one fold's predictions, as by another network's scale, changes nothing.
    moved = frame.assign(p_pos=np.where(frame["fold"] == 2, frame["p_pos"] / 10, frame["p_pos"]))
    moved["p_neg"] = 1 - moved["p_pos"]
    one, other = (evaluate("binary", each).scores[:2] for each in (frame, moved))
    assert one[0].to_dict() == other[0].to_dict()
    assert one[1].value != other[1].value


def test_folds_without_a_pair_are_named() -> None:
    frame = by_site("binary", 1.0)
    same = frame["fold"].isin([1, 3])
    frame.loc[same, "truth"] = "pos"
    leading = evaluate("binary", frame).scores[0]
    assert "Folds 1, 3: no two patients to compare." in leading.note
    expected = right_pairs(frame["truth"] == "pos", frame["p_pos"], frame["fold"])
    assert leading.value == pytest.approx(expected, abs=1e-12)


def test_a_class_that_never_meets_another_is_left_out_and_named() -> None:
    frame = by_site("multiclass", 1.0)
    frame.loc[frame["fold"] == 3, "truth"] = "2"
    frame.loc[(frame["fold"] != 3) & (frame["truth"] == "2"), "truth"] = "1"
    leading = evaluate("multiclass", frame).scores[0]
    assert "Without 2, which no fold has beside another class." in leading.note
    each = [right_pairs(frame["truth"] == name, frame[f"p_{name}"], frame["fold"]) for name in ("NA", "1")]
    assert leading.value == pytest.approx(np.mean(each), abs=1e-12)


def test_patients_are_resampled_within_their_fold() -> None:
    # Two folds of equal size with values 0 and 1: a stratified mean has no spread at all.
    value = np.repeat([0.0, 1.0], 30)
    measure = Measure("mean", lambda counts: counts @ value / counts.sum(axis=-1), None)
    rng = np.random.default_rng(0)
    free = score_measures([measure], 60, resamples=200, rng=rng)[0]
    kept = score_measures([measure], 60, resamples=200, rng=rng, fold=value)[0]
    assert (kept.low, kept.high) == (0.5, 0.5) and free.high - free.low > 0.2


def test_patients_that_dominate_the_error_are_named() -> None:
    frame = table("regression")
    assert "heavy tails" not in " ".join(score.note for score in evaluate("regression", frame).scores)
    frame.loc[7, "truth"] = 900.0
    scores = {score.name: score for score in evaluate("regression", frame).scores}
    assert "of 1 patient(s) (p007)" in scores["Mean absolute error"].note
    assert "of 1 patient(s) (p007)" in scores["R²"].note
    plain = evaluate("regression", table("regression")).scores
    median = next(score for score in plain if score.name == "Median absolute error")
    assert scores["Median absolute error"].value == pytest.approx(median.value, rel=0.1)


def test_only_what_takes_resamples_is_computed_on_them() -> None:
    rows: dict[str, int] = {"mean": 0, "share": 0}
    value = np.linspace(0.1, 0.9, 40)

    def counted(name: str) -> Statistic:
        def statistic(counts: np.ndarray) -> np.ndarray:
            rows[name] += len(counts)
            return counts @ value / counts.sum(axis=-1)

        return statistic

    measures = [
        Measure("mean", counted("mean"), None),
        Measure("share", counted("share"), None, scale="logit"),
    ]
    found = score_measures(measures, 40, resamples=500, rng=np.random.default_rng(0))
    assert rows == {"mean": 541, "share": 41}
    assert all(score.low < score.value < score.high for score in found)


def test_another_metric_leads_when_it_was_asked_for() -> None:
    task = replace(TASKS["regression"], primary="Mean absolute error")
    result = evaluate_task(task, table("regression"), resamples=100)
    plain = evaluate("regression", table("regression"))
    assert result.scores[0].name == "Mean absolute error"
    assert sorted(values(result)) == sorted(values(plain))
    # Fold by fold as well.
    frame = table("regression")
    error = (frame["truth"] - frame["predicted"]).abs().groupby(frame["fold"]).mean()
    assert [each.value for each in result.curves.folds] == pytest.approx(error.tolist())
    late = replace(TASKS["survival"], primary="Uno's C")
    early = table("survival").assign(time=5.0)
    with pytest.raises(CohortError, match="--primary os=METRIC"):
        evaluate_task(late, early, resamples=100)
