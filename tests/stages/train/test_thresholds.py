"""Thresholds of folds: chosen on the fold's own unseen patients, by all of its networks, and carried on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.errors import CohortError, SettingsError
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.data.maps.memory import Maps
from histonic.data.maps.store import Store
from histonic.models.bundle import read_bundle
from histonic.models.members import Member
from histonic.models.predicting import predict_patients
from histonic.models.trained import Trained
from histonic.stages.evaluate.evaluate import evaluate_run
from histonic.stages.predict.external import external_test
from histonic.stages.predict.predict import predict
from histonic.stages.train import linear_heads
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.thresholds import choose_thresholds, require_thresholds, wanted_points
from histonic.stages.train.train import train_slides
from histonic.training.devices import make_fabric

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))
POINTS = ("youden", "sensitivity=0.8", "specificity=0.8", "cost=1:3")


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


# --------------------------------------------------------------------- of made-up networks


def cohort_of(classes: str) -> Cohort:
    """One patient a sign: 1, 0, or a blank for an unknown class."""
    patients = tuple(
        Patient(f"p{k:02d}", (f"s{k}",), targets={} if each == " " else {"msi": float(each)})
        for k, each in enumerate(classes)
    )
    return Cohort((MSI,), patients)


def fold_of(cohort: Cohort, number: int = 0) -> Fold:
    """A third each trains, validates and is tested."""
    size = len(cohort.patients) // 3
    parts = [cohort.patients[k * size : (k + 1) * size] for k in range(3)]
    return Fold(number, parts[0], parts[1], parts[2])


def network(fold: int, unseen: Any, aggregator: str = "convnet", initialisation: int = 0) -> Trained:
    score = np.asarray(unseen, float)
    member = Member(0, fold, initialisation, aggregator, 20, {"msi": [0.5, 0.5]}, {})
    return Trained(member, 3, {}, (), {}, {"msi": np.stack([1 - score, score], axis=1)})


def test_a_fold_chooses_on_its_validation_patients_by_all_its_networks() -> None:
    cohort = cohort_of("000000" + "0101 1" + "111111")
    fold = fold_of(cohort)
    one, two = [0.1, 0.5, 0.3, 0.9, 0.99, 0.2], [0.1, 0.7, 0.5, 0.9, 0.01, 0.4]
    trained = [network(0, one), network(0, two, initialisation=1)]
    found, chosen = choose_thresholds(cohort, [fold], trained, POINTS)
    truth, score = [0, 1, 0, 1, 1], np.mean([one, two], axis=0)[[0, 1, 2, 3, 5]]
    false_rate, true_rate, values = roc_curve(truth, score, drop_intermediate=False)
    expected = {
        "youden": values[np.argmax(true_rate - false_rate)],
        "sensitivity=0.8": values[np.argmax(true_rate >= 0.8)],
        "specificity=0.8": values[np.flatnonzero(1 - false_rate >= 0.8)[-1]],
        "cost=1:3": 0.25,
    }
    assert {each.point: each.threshold for each in chosen["msi"]} == pytest.approx(expected, abs=1e-12)
    assert {(each.positives, each.negatives) for each in chosen["msi"]} == {(3, 2)}
    assert [each.chosen_on for each in chosen["msi"]] == ["validation"] * 3 + ["nobody"]
    assert found[0].member.thresholds == found[1].member.thresholds == {"msi": pytest.approx(expected)}
    # Who trained or is tested has no say.
    other = replace(cohort_of("111111" + "0101 1" + "010010"))
    assert choose_thresholds(other, [fold_of(other)], trained, POINTS)[1] == chosen


def test_fitted_heads_choose_on_the_inner_cross_validation() -> None:
    cohort = cohort_of("0011" + "0101" + "1111")
    score = [0.1, 0.2, 0.8, 0.7, 0.3, 0.6, 0.4, 0.9]
    _, chosen = choose_thresholds(cohort, [fold_of(cohort)], [network(0, score, "mean")], ["youden"])
    (only,) = chosen["msi"]
    assert (only.threshold, only.chosen_on) == (0.6, "inner") and (only.positives, only.negatives) == (4, 4)


def test_a_fold_without_a_class_has_no_threshold_and_others_keep_theirs() -> None:
    cohort = cohort_of("0101" + "1111" + "0101")
    fold = fold_of(cohort)
    second = Fold(1, fold.test, fold.train, fold.validation)
    score = [0.2, 0.4, 0.3, 0.9]
    trained, chosen = choose_thresholds(
        cohort, [fold, second], [network(0, score), network(1, score)], ["youden", "sensitivity=0.9"]
    )
    assert [each.threshold for each in chosen["msi"]] == [None, 0.2, 0.4, 0.4]
    assert [each.member.thresholds["msi"] for each in trained] == [
        {"sensitivity=0.9": 0.2},
        {"youden": 0.4, "sensitivity=0.9": 0.4},
    ]


def settings(**values: Any) -> TrainSettings:
    return TrainSettings(store="s", labels="l", target=("msi",), out="o", **values)


def test_a_rule_that_cannot_call_is_refused_before_the_training() -> None:
    cohort = cohort_of("0101" + "1111" + "0101")
    fold, listener = fold_of(cohort), Listener()
    with pytest.raises(CohortError, match="validation patients of fold 1 are 4 'yes' and 0 'no'"):
        require_thresholds(cohort, fold, settings(calls="youden"), listener)
    for fine in (
        settings(calls="sensitivity=0.9"),
        settings(calls="cost:1:5"),
        settings(),
        settings(calls="balanced"),
    ):
        require_thresholds(cohort, fold, fine, listener)
    assert len(listener.said) == 4
    assert listener.said[0].endswith("4 'yes' and 0 'no', so that youden has no threshold there")
    # Fitted heads ask the training patients, too.
    require_thresholds(cohort, fold, settings(calls="youden", aggregator="mean"), Listener())


def test_the_point_that_calls_is_chosen_too() -> None:
    assert wanted_points(settings()) == ("youden", "sensitivity=0.95")
    assert wanted_points(settings(calls="specificity=0.9", operating_point=["youden"])) == (
        "youden",
        "specificity=0.9",
    )
    assert wanted_points(settings(calls="balanced", operating_point=[])) == ()


# ----------------------------------------------------------------------------- of a run


@pytest.fixture(scope="module")
def cohort(store_maker: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = store_maker(tmp_path_factory.mktemp("two_classes"), patients=18, side=6)
    table = pd.read_csv(folder / "labels.csv")
    table.assign(high=np.where(table.score > table.score.median(), "yes", "no")).to_csv(
        folder / "labels.csv", index=False
    )
    return folder


def train(folder: Path, out: Path, **values: Any) -> Path:
    given = {"target": ["high:binary"], "folds": 3, "max_epochs": 1, "batch": 8, "initialisations": 1}
    paths = {"store": folder / "store", "labels": folder / "labels.csv", "out": out}
    return train_slides(**{**given, **paths, **values})


def called(table: pd.DataFrame, thresholds: Any, prefix: str = "") -> list[str]:
    return np.where(table[f"{prefix}p_yes"] >= thresholds - 1e-8, "yes", "no").tolist()


def test_thresholds_go_to_tested_and_external_patients_and_into_the_bundle(
    cohort: Path, tmp_path: Path
) -> None:
    run = train(cohort, tmp_path / "run", operating_point=["youden", "specificity=0.8"], test_crops=2)
    facts = json.loads((run / "run.json").read_text())
    bundle = read_bundle(run / "bundle")
    assert facts["operating_points"] == list(bundle.operating_points) == ["youden", "specificity=0.8"]
    patients = {
        each["patient_id"]: each for each in json.loads((run / "cohort.json").read_text())["patients"]
    }
    table = pd.read_csv(run / "predictions/high.csv")
    for point in bundle.operating_points:
        by_fold = {
            each["fold"]: each["threshold"] for each in facts["thresholds"]["high"] if each["point"] == point
        }
        assert {each.fold: each.thresholds["high"][point] for each in bundle.members} == by_fold
        assert table[f"at_{point}"].tolist() == called(table, table.fold.map(by_fold))
        # As those who validate in the fold are seen by its networks, and nobody else.
        for fold, threshold in by_fold.items():
            mine = [name for name, each in patients.items() if [0, fold] in each["validates_in"]]
            score = validation_scores(cohort, bundle, fold, [patients[name]["slide_ids"][0] for name in mine])
            truth = [patients[name]["targets"]["high"] == "yes" for name in mine]
            false_rate, true_rate, values = roc_curve(truth, score, drop_intermediate=False)
            gain = true_rate - false_rate
            best = np.flatnonzero(gain >= gain.max() - 1e-12)[0]  # a draw, but for rounding
            fit = best if point == "youden" else np.flatnonzero(false_rate <= 0.2)[-1]
            if np.isfinite(values[fit]):
                assert threshold == pytest.approx(values[fit], abs=1e-9)
    mean = np.mean([each.thresholds["high"]["youden"] for each in bundle.members])
    predict(bundle=run / "bundle", slides=[cohort / "store"], out=tmp_path / "p.csv")
    found = pd.read_csv(tmp_path / "p.csv")
    assert found["high.at_youden"].tolist() == called(found, mean, "high.")
    external = external_test(run=run, store=cohort / "store", labels=cohort / "labels.csv", name="Oslo")
    elsewhere = pd.read_csv(external / "predictions/high.csv")
    assert elsewhere["at_youden"].tolist() == found["high.at_youden"].tolist()
    (result,) = evaluate_run(run, resamples=20)
    hits = ((table.truth == "yes") & (table.at_youden == "yes")).sum()
    assert [each.point for each in result.points] == ["youden", "specificity=0.8"]
    assert result.points[0].true_positive == hits and result.points[0].n == 18


def validation_scores(folder: Path, bundle: Any, fold: int, slides: list[str]) -> np.ndarray:
    """Mean over the networks of a fold."""
    store = Store.open(folder / "store")
    maps = Maps({name: store.map(name) for name in slides}, Silent())
    seen = [
        predict_patients(
            model,
            maps,
            [Patient(name, (name,)) for name in slides],
            fabric=make_fabric("cpu"),
            crop_cells=member.crop_cells,
            crops=bundle.test_crops,
        )["high"][:, 1]
        for member, model in zip(bundle.members, bundle.models, strict=True)
        if member.fold == fold
    ]
    return np.mean(seen, axis=0)


def test_a_point_calls_and_is_named(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_heads, "PENALTIES", linear_heads.PENALTIES[::6])
    run = train(
        cohort,
        tmp_path / "run",
        aggregator="mean",
        calls="sensitivity=0.9",
        target=["high:binary", "grade:ordinal"],
    )
    table = pd.read_csv(run / "predictions/high.csv")
    facts = json.loads((run / "run.json").read_text())
    chosen = [each for each in facts["thresholds"]["high"] if each["point"] == "sensitivity=0.9"]
    assert {each["chosen_on"] for each in chosen} == {"inner"}
    assert {each["positives"] + each["negatives"] for each in chosen} == {12}
    by_fold = {each["fold"]: each["threshold"] for each in chosen}
    assert table.predicted.tolist() == called(table, table.fold.map(by_fold))
    assert set(table.decided_by) == {"sensitivity=0.9"} and "at_youden" in table
    assert table.predicted.tolist() == table["at_sensitivity=0.9"].tolist()
    grade = pd.read_csv(run / "predictions/grade.csv")
    assert set(grade.decided_by) == {"median"} and "at_youden" not in grade
    predict(bundle=run / "bundle", slides=[cohort / "store"], out=tmp_path / "p.csv")
    found = pd.read_csv(tmp_path / "p.csv")
    assert found["high.predicted"].tolist() == called(found, np.mean(list(by_fold.values())), "high.")


def test_points_that_are_none_are_refused(cohort: Path, tmp_path: Path) -> None:
    for key in ("calls", "operating_point"):
        with pytest.raises(SettingsError, match=f"{key}.* no operating point"):
            train(cohort, tmp_path / "run", **{key: "best" if key == "calls" else ["best"]})
