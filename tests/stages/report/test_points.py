"""Operating points on the page: the table, and sentences that say where thresholds came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.runs import MSI, run_document, write_external
from histonic.core.documents import write_document
from histonic.runs.documents import ChosenThreshold, RunDocument
from histonic.stages.evaluate.evaluate import TaskEvaluation, evaluate_task
from histonic.stages.report.points import describe_points, label_of
from histonic.stages.report.report import write_report

POINTS = ("youden", "sensitivity=0.95", "cost=1:5")


def facts(split: str = "random", source: str = "validation", patients: int = 30) -> RunDocument:
    """A run whose two folds have chosen 0.4 and 0.6; the costs were given."""
    chosen = [
        ChosenThreshold(
            point=point,
            repeat=0,
            fold=fold,
            threshold=1 / 6 if point == "cost=1:5" else value,
            chosen_on="nobody" if point == "cost=1:5" else source,
            positives=patients + fold,
            negatives=2 * patients,
        )
        for fold, value in enumerate([0.4, 0.6])
        for point in POINTS
    ]
    return run_document((MSI,)).model_copy(
        update={"split": split, "operating_points": POINTS, "thresholds": {"msi": tuple(chosen)}}
    )


def predictions(n: int = 40, repeats: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    positive = np.arange(n) % 4 == 0
    score = np.clip(0.35 + 0.3 * positive + rng.normal(0, 0.15, n), 0.01, 0.99).round(4)
    names = np.array(MSI.classes)
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{k:03d}" for k in range(n)],
            "site": "",
            "repeat": 0,
            "fold": np.arange(n) % 2,
            "truth": names[positive.astype(int)],
            "predicted": names[(score > 0.5).astype(int)],
            "decided_by": "most probable",
            "p_stable": 1 - score,
            "p_instable": score,
            "at_youden": names[(score > np.where(np.arange(n) % 2, 0.6, 0.4)).astype(int)],
            "at_cost=1:5": names[(score > 1 / 6).astype(int)],
        }
    )
    return pd.concat([frame.assign(repeat=number) for number in range(repeats)])


def evaluated(frame: pd.DataFrame) -> TaskEvaluation:
    return evaluate_task(MSI, frame, resamples=20)


def test_the_sentences_say_who_chose() -> None:
    found = describe_points(evaluated(predictions()), facts())
    assert found is not None
    assert [row.label for row in found.rows] == ["Youden", "a missed case costs 5 false alarms"]
    assert [row.thresholds for row in found.rows] == [(0.4, 0.6), (1 / 6, 1 / 6)]
    said = " ".join(found.notes)
    assert (
        "chosen in each fold on the validation patients (30 to 31 “instable” and 60 “stable”), who also "
        "decided when training stopped; no patient had a say in the threshold that he or she is called by."
        in said
    )
    assert "Given, not chosen on patients: a missed case costs 5 false alarms." in said
    assert "hold where 25\N{NO-BREAK SPACE}% are “instable”, as here (10 of 40)" in said
    assert "so few" not in said and "repeats" not in said


@pytest.mark.parametrize(
    ("split", "source", "external", "words"),
    [
        ("fixed", "validation", False, "chosen on the validation patients (30"),
        (
            "random",
            "inner",
            False,
            "each predicted by heads that were fitted to others of them; no patient had",
        ),
        ("random", "validation", True, "chosen in each fold on the validation patients (30"),
        ("random", "validation", True, "; here their mean is used, and none of the patients shown"),
        ("fixed", "validation", True, "stopped; none of the patients shown had a say"),
    ],
)
def test_they_differ_by_split_network_and_cohort(split: str, source: str, external: bool, words: str) -> None:
    found = describe_points(evaluated(predictions()), facts(split, source), external=external)
    assert found is not None and words in found.notes[0]
    assert found.rows[0].thresholds == ((0.5,) if external else (0.4, 0.6))


def test_folds_may_differ_in_who_chose() -> None:
    chosen = [
        each.model_copy(update={"chosen_on": "inner"}) if each.fold and each.chosen_on != "nobody" else each
        for each in facts().thresholds["msi"]
    ]
    mixed = facts().model_copy(update={"thresholds": {"msi": tuple(chosen)}})
    found = describe_points(evaluated(predictions()), mixed)
    assert found is not None
    assert "in 1 of 2 folds on the validation patients (30 “instable” and 60 “stable”)" in found.notes[0]
    assert ", and in 1 of 2 folds on the training and validation patients (31 “" in found.notes[0]


def test_doubts_are_told() -> None:
    frame = predictions(repeats=2)
    frame.loc[(frame.fold == 1), "at_youden"] = ""
    found = describe_points(evaluated(frame), facts(patients=5))
    assert found is not None
    said = " ".join(found.notes)
    assert "Of so few patients a threshold depends on chance" in said
    assert "Youden leaves out 20 patients: their fold had nobody to choose a threshold on." in said
    assert "patients count by the share of them in which they are called" in said


def test_runs_without_points_have_none() -> None:
    frame = predictions().drop(columns=["at_youden", "at_cost=1:5"])
    assert describe_points(evaluated(frame), run_document((MSI,))) is None


def test_labels() -> None:
    assert label_of("specificity=0.9") == "specificity 0.9" and label_of("threshold=0.3") == "threshold 0.3"
    assert label_of("cost=1:1") == "a missed case costs 1 false alarm"
    assert label_of("cost=4:1") == "a missed case costs 0.25 false alarms"


def test_the_page_has_the_table(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", (MSI,), patients=40, pictures=False)
    write_document(run / "run.json", facts())
    predictions().to_csv(run / "predictions/msi.csv", index=False)
    elsewhere = write_external(run, "Oslo")
    predictions(20).assign(fold=-1).to_csv(elsewhere / "predictions/msi.csv", index=False)
    page = write_report(run=run, resamples=100).read_text()
    values: dict[str, Any] = json.loads((run / "report.json").read_text())
    assert page.count("<h3>Operating points</h3>") == 2
    (target,), (other,) = values["targets"], values["external"][0]["targets"]
    row = target["operating_points"]["rows"][0]
    assert (row["point"], row["n"], row["thresholds"]) == ("youden", 40, [0.4, 0.6])
    sensitivity = row["scores"][0]
    assert f'<td class="number">{sensitivity["value"]:.2f}<br>' in page and "0.40–0.60" in page
    assert f"{sensitivity['low']:.2f} to {sensitivity['high']:.2f}</span>" in page
    assert other["operating_points"]["rows"][0]["thresholds"] == [0.5]
    assert "here their mean is used" in page
