"""Scores of labelled test slides, NA where a kappa is undefined, and cases without prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.core.documents import read_document
from histonic.core.errors import RunError
from histonic.core.task import Task
from histonic.stages.study.frame.plan import Outcome, Place
from histonic.stages.study.frame.results import (
    ChallengeScores,
    ScoreLine,
    beside_truth,
    kappa_score,
    keep_scores,
    predictions_of_test,
    target_scores,
)
from histonic.stages.study.frame.settings import RecipeSettings

SETTINGS = RecipeSettings(name="camelyon16", data=Path("data"), resamples=100)
TASK = Task("tumour", "binary", ("tumour",), ("normal", "tumor"))


def test_test_slides_beside_their_truth() -> None:
    chance = [0.1, 0.4, 0.35, 0.8]
    frame = pd.DataFrame(
        {
            "slide_id": list("abcd"),
            "tumour.predicted": ["normal"] * 3 + ["tumor"],
            "tumour.decided_by": "most probable",
            "tumour.p_normal": [str(1 - each) for each in chance],
            "tumour.p_tumor": [str(each) for each in chance],
        }
    ).set_index("slide_id", drop=False)
    truth = {"a": "normal", "b": "normal", "c": "tumor", "d": "tumor", "e": ""}
    scores = target_scores("test", beside_truth(TASK, frame, truth), SETTINGS)
    assert scores[0].name == "AUROC" and scores[0].value == 0.75 and scores[0].n == 4
    (alone,) = target_scores("test", beside_truth(TASK, frame, {"a": "normal"}), SETTINGS)
    assert alone.value is None and "NA" in alone.line()


def test_a_kappa_of_one_class_is_na() -> None:
    ones = np.ones(6, np.int64)
    assert kappa_score("x", ones, ones, 3, SETTINGS).value is None
    truth = np.array([0, 1, 2, 0, 1, 2], np.int64)
    assert kappa_score("x", truth, truth, 5, SETTINGS).value == 1.0
    flat = kappa_score("x", ones, np.array([0, 1, 0, 1, 0, 1]), 3, SETTINGS)
    assert flat.value == 0.0 and flat.low is None and "no interval" in flat.note


def test_scores_are_kept_and_told(tmp_path: Path) -> None:
    place, outcome = Place(tmp_path), Outcome()
    lines = [ScoreLine(of="a", n=3, name=f"m{k}", value=0.5, low=0.4, high=0.6) for k in range(6)]
    keep_scores(SETTINGS, place, lines, ["a note"], outcome)
    assert outcome.lines == ["a: m0 0.500 (95 % 0.400 to 0.600), n = 3"] + [
        f"a: m{k} 0.500 (95 % 0.400 to 0.600), n = 3" for k in (1, 2, 3)
    ] + ["a note"]
    assert len(read_document(ChallengeScores, place.scores, RunError, "").scores) == 6


def test_predictions_must_name_slides(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(RunError, match="no such file"):
        predictions_of_test(place)
    place.predictions.write_text("patient_id\nx\n")
    with pytest.raises(RunError, match="slide_id"):
        predictions_of_test(place)
