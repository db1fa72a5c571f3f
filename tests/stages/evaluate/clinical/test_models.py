"""Clinical columns against the image: fitted without the patients they predict, and honest about noise."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy import stats
from sklearn.linear_model import LogisticRegression

from histonic.core.errors import CohortError
from histonic.core.task import TASK_KINDS, Task
from histonic.metrics.survival.outcome import Survival
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical import models
from histonic.stages.evaluate.clinical.fits import Design, added_by_image, cross_fit
from histonic.stages.evaluate.clinical.models import METRIC, evaluate_clinical
from histonic.stages.evaluate.evaluate import evaluate_task

TASKS = {
    "binary": Task("msi", "binary", ("msi",), ("no", "yes")),
    "multiclass": Task("subtype", "multiclass", ("subtype",), ("a", "b", "c")),
    "ordinal": Task("grade", "ordinal", ("grade",), ("1", "2", "3")),
    "regression": Task("ki67", "regression", ("ki67",)),
    "survival": Task("os", "survival", ("months", "dead")),
}


def cohort(kind: str, image: float = 1.0, n: int = 160, seed: int = 0):  # type: ignore[no-untyped-def]
    """Predictions that see ``image``, and columns of which age tells something else."""
    rng = np.random.default_rng(seed)
    seen, age = rng.normal(size=n), rng.normal(size=n)
    total = image * seen + age + 0.5 * rng.normal(size=n)
    task = TASKS[kind]
    frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)], "site": "", "fold": np.arange(n) % 4})
    if kind == "regression":
        frame["truth"], frame["predicted"] = total, seen
    elif kind == "survival":
        time, end = rng.exponential(np.exp(-total)), rng.exponential(1.0, n)
        frame["time"], frame["event"] = np.minimum(time, end), (time <= end).astype(int)
        frame["risk"], frame["high_risk"] = seen, (seen > 0).astype(int)
    else:
        count = len(task.classes)
        truth = np.searchsorted(np.quantile(total, np.arange(1, count) / count), total)
        odds = np.exp(-((seen[:, None] - np.linspace(-1, 1, count)) ** 2))
        share = odds / odds.sum(axis=1, keepdims=True)
        frame["truth"] = np.array(task.classes)[truth]
        frame["predicted"] = np.array(task.classes)[share.argmax(axis=1)]
        for k, name in enumerate(task.classes):
            frame[f"p_{name}"] = share[:, k]
        frame["score"] = share @ np.arange(count)
    ages = {p: "" if i % 17 == 0 else f"{60 + 10 * age[i]:.1f}" for i, p in enumerate(frame.patient_id)}
    stages = {p: str(rng.choice(["I", "II", "III"])) for p in frame.patient_id}
    return task, frame, {"age": ages, "stage": stages}


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_both_are_better_than_either(kind: str) -> None:
    task, frame, columns = cohort(kind)
    found = evaluate_clinical(task, frame, columns, resamples=200, seed=0)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    value = {row.name: row.score.value for row in found.models}
    gain = {row.name: row.score for row in found.gains}
    assert value["both"] > max(value["clinical"], value["image"]) > 0.1
    assert gain["both − clinical"].low > 0
    assert gain["both − image"].value == pytest.approx(value["both"] - value["image"])
    assert found.test.p < 1e-4
    scores = {score.name: score.value for score in evaluate_task(task, frame, resamples=100).scores}
    assert value["image"] == pytest.approx(scores[METRIC[task.kind]], abs=1e-9)
    assert [(each.name, each.kind, each.missing) for each in found.columns] == [
        ("age", "number", 10),
        ("stage", "category", 0),
    ]


def fixed_split(kind: str, tested: int, n: int = 400):  # type: ignore[no-untyped-def]
    """The first patients are tested; the others have a truth and no prediction."""
    task, frame, columns = cohort(kind, n=n)
    truth = ["patient_id", *(("time", "event") if kind == "survival" else ("truth",))]
    return task, frame.iloc[:tested].assign(fold=0), columns, frame.iloc[tested:][truth]


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_with_a_fixed_split_the_clinical_model_comes_from_those_who_trained(kind: str) -> None:
    task, frame, columns, training = fixed_split(kind, tested=60)
    found = evaluate_clinical(task, frame, columns, resamples=100, seed=0, training=training)
    assert found.n == 60 and found.trained == 340 and not found.test.crossed
    value = {row.name: row.score.value for row in found.models}
    assert value["both"] > max(value["clinical"], value["image"]) > 0.1
    # The order of the tested patients does not depend on their own outcomes.
    table = PredictionTable(task, frame)
    truth = [name for name in training.columns if name != "patient_id"]
    turned = frame.assign(**{name: frame[name].to_numpy()[::-1] for name in truth})
    scores = [
        models._clinic(PredictionTable(task, each), columns, training).score for each in (table.frame, turned)
    ]
    assert np.array_equal(*scores)


def test_with_a_fixed_split_the_frozen_clinical_model_is_that_of_scikit_learn() -> None:
    task, frame, _, training = fixed_split("binary", tested=60)
    rng = np.random.default_rng(5)
    age = {f"p{k}": f"{rng.normal():.4f}" for k in range(400)}
    score = models._clinic(PredictionTable(task, frame), {"age": age}, training).score
    x, new = (np.array([[float(age[p])] for p in each["patient_id"]]) for each in (training, frame))
    scaled, new = (x - x.mean()) / x.std(), (new - x.mean()) / x.std()
    model = LogisticRegression(max_iter=1000).fit(scaled, training["truth"] == "yes")
    expected = model.decision_function(new) - model.decision_function(scaled).mean()
    assert score[:, 0] == pytest.approx(expected, abs=1e-9)


def test_refusals_with_a_fixed_split() -> None:
    task, frame, columns, training = fixed_split("binary", tested=60)
    with pytest.raises(CohortError, match="15 tested patients"):
        evaluate_clinical(task, frame.iloc[:15], columns, resamples=100, seed=0, training=training)
    for few in (training.iloc[:15], training.iloc[:0]):
        with pytest.raises(CohortError, match=f"{len(few)} training patients"):
            evaluate_clinical(task, frame, columns, resamples=100, seed=0, training=few)


def test_a_patients_own_part_has_no_say() -> None:
    rng = np.random.default_rng(0)
    n, part = 60, np.arange(60) % 3
    numbers = pd.DataFrame({"age": rng.normal(size=n)})
    numbers.iloc[3, 0] = np.nan
    words = pd.DataFrame({"stage": rng.choice(["I", "II"], n)}, dtype=object)
    truth = rng.integers(0, 2, n)
    here = part == 1
    first = cross_fit(Design(TASKS["binary"], truth, numbers, words, n), None, part)
    turned = np.where(here, 1 - truth, truth)
    second = cross_fit(Design(TASKS["binary"], turned, numbers, words, n), None, part)
    assert np.array_equal(first[here], second[here])
    assert not np.array_equal(first[~here], second[~here])


def test_a_word_that_was_not_seen_in_training_is_no_error() -> None:
    words = pd.DataFrame({"stage": ["I", "II"] * 14 + ["IV", None]}, dtype=object)
    part = (np.arange(30) >= 25).astype(int)
    design = Design(TASKS["regression"], np.arange(30.0), pd.DataFrame(index=range(30)), words, 30)
    assert np.isfinite(cross_fit(design, None, part)).all()


def design(kind: str, outcome: object, age: np.ndarray) -> Design:
    return Design(
        TASKS[kind], outcome, pd.DataFrame({"age": age}), pd.DataFrame(index=range(len(age))), len(age)
    )


def test_likelihood_ratio_of_a_logistic_model() -> None:
    rng = np.random.default_rng(1)
    age, image = rng.normal(size=(2, 120))
    truth = (rng.random(120) < 1 / (1 + np.exp(-age - 0.4 * image))).astype(int)
    logs = []
    for x in (age[:, None], np.stack([age, image], axis=1)):
        p = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, truth).predict_proba(x)
        logs.append(np.log(p[np.arange(120), truth]).sum())
    found = added_by_image(design("binary", truth, age), image[:, None])
    assert found.statistic == pytest.approx(2 * (logs[1] - logs[0]), abs=1e-5)
    assert found.p == pytest.approx(stats.chi2.sf(2 * (logs[1] - logs[0]), 1), abs=1e-5)


def test_likelihood_ratio_of_a_cox_model() -> None:
    rng = np.random.default_rng(2)
    age, image = rng.normal(size=(2, 120))
    outcome = Survival(rng.exponential(np.exp(-age - 0.3 * image)), rng.random(120) < 0.6)
    table = pd.DataFrame({"age": age, "image": image, "t": outcome.time, "e": outcome.event})
    logs = [
        CoxPHFitter().fit(table[names], "t", "e").log_likelihood_
        for names in (["age", "t", "e"], list(table))
    ]
    found = added_by_image(design("survival", outcome, age), image[:, None])
    assert found.statistic == pytest.approx(2 * (logs[1] - logs[0]), abs=1e-5)


def test_f_test_is_the_t_test_of_the_slope() -> None:
    rng = np.random.default_rng(3)
    age, image = rng.normal(size=(2, 50))
    value = age + 0.3 * image + rng.normal(size=50)
    rest = [y - np.polyval(np.polyfit(age, y, 1), age) for y in (value, image)]
    r = np.corrcoef(rest)[0, 1]
    found = added_by_image(design("regression", value, age), image[:, None])
    assert found.statistic == pytest.approx(r**2 / (1 - r**2) * 47)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(r) * np.sqrt(47 / (1 - r**2)), 47))


def test_an_image_that_repeats_the_clinic_adds_nothing() -> None:
    age = np.random.default_rng(0).normal(size=40)
    assert added_by_image(design("regression", age**2, age), 2 * age[:, None]) is None


def test_noise_is_not_below_chance_by_its_folds() -> None:
    # Without centring by fold, the mean over these cohorts lies at 0.446, which is 3.5 standard errors too
    # low.
    values = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n, truth = 60, rng.integers(0, 2, 60)
        found = cross_fit(design("binary", truth, 1e-3 * rng.normal(size=n)), None, np.arange(n) % 4)
        positive, negative = found[truth == 1, 0], found[truth == 0, 0]
        values.append(np.mean(positive[:, None] > negative))
    assert np.mean(values) > 0.47


@pytest.mark.parametrize("kind", TASK_KINDS)
@pytest.mark.parametrize("left", ["constant", "empty", "constant number"])
def test_a_column_that_tells_nothing_outside_a_part_gives_everyone_the_same(kind: str, left: str) -> None:
    """One column, whose second level (or any cell at all) is found in the first fold only."""
    task, frame, _ = cohort(kind)
    first = frame["fold"].to_numpy() == 0
    inside = np.arange(len(frame)) % 8 == 0
    words = {"constant": ("II", "I"), "empty": ("II", ""), "constant number": ("2", "1")}[left]
    cells = np.where(inside, words[0], words[1])
    if left == "empty":
        cells = np.where(first & ~inside, "I", cells)
    stage = dict(zip(frame["patient_id"], cells.tolist(), strict=True))
    found = evaluate_clinical(task, frame, {"stage": stage}, resamples=100, seed=0)
    assert {row.name for row in found.models} == {"clinical", "image", "both"}
    made = models.clinical_design(PredictionTable(task, frame), {"stage": stage})
    scores = cross_fit(made, None, frame["fold"].to_numpy())
    assert np.isfinite(scores).all() and np.ptp(scores[first], axis=0) == pytest.approx(0)


@pytest.mark.parametrize("kind", ["binary", "survival", "regression"])
def test_the_image_is_tested_alone_where_clinical_columns_do_not_vary(kind: str) -> None:
    rng = np.random.default_rng(4)
    image, n = rng.normal(size=(80, 1)), 80
    value = image[:, 0] + rng.normal(size=n)
    outcome = {"binary": (value > 0).astype(int), "regression": value}.get(kind)
    if kind == "survival":
        outcome = Survival(rng.exponential(np.exp(-value)), np.ones(n, bool))
    words = pd.DataFrame({"stage": ["I"] * n}, dtype=object)
    found = added_by_image(Design(TASKS[kind], outcome, pd.DataFrame(index=range(n)), words, n), image)
    assert found.degrees == 1 and found.p < 0.01
    if kind == "survival":
        table = pd.DataFrame({"image": image[:, 0], "t": outcome.time, "e": outcome.event})
        expected = CoxPHFitter().fit(table, "t", "e").log_likelihood_ratio_test()
        assert found.statistic == pytest.approx(expected.test_statistic, abs=1e-5)


def test_refusals() -> None:
    task, frame, columns = cohort("binary")
    for cell in ("yes", "7"):
        same = {name: cell if k % 3 else "" for k, name in enumerate(frame["patient_id"])}
        with pytest.raises(CohortError, match=f"'smoker' is '{cell}' for all patients"):
            evaluate_clinical(task, frame, {**columns, "smoker": same}, resamples=100, seed=0)
    with pytest.raises(CohortError, match="empty for all"):
        evaluate_clinical(task, frame, {"age": {}}, resamples=100, seed=0)
    with pytest.raises(CohortError, match="15 patients"):
        evaluate_clinical(task, frame.iloc[:15], columns, resamples=100, seed=0)
    with pytest.raises(CohortError, match="does not vary"):
        evaluate_clinical(task, frame.assign(truth="yes"), columns, resamples=100, seed=0)


def test_words_that_nearly_every_patient_has_to_himself_are_refused() -> None:
    task, frame, columns = cohort("binary", n=40)
    names = {p: f"Dr {i % 9}" for i, p in enumerate(frame.patient_id)}
    with pytest.raises(CohortError, match=r"(?s)'doctor' has 9 different words for 40 patients.*8 or fewer"):
        evaluate_clinical(task, frame, {**columns, "doctor": names}, resamples=100, seed=0)
    fewer = {p: f"Dr {i % 8}" for i, p in enumerate(frame.patient_id)}
    found = evaluate_clinical(task, frame, {**columns, "doctor": fewer}, resamples=100, seed=0)
    assert [each.kind for each in found.columns if each.name == "doctor"] == ["category"]


def test_cross_validated_predictions_are_judged_more_strictly() -> None:
    rng = np.random.default_rng(3)
    age, image = rng.normal(size=(2, 50))
    made = design("regression", age + 0.3 * image + rng.normal(size=50), age)
    plain, crossed = (added_by_image(made, image[:, None], crossed=each) for each in (False, True))
    assert crossed.statistic == plain.statistic and crossed.crossed
    assert crossed.p == pytest.approx(stats.f.sf(plain.statistic / 2, 1, 47))
