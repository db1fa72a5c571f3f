"""Repeated cross-validation: means over the repeats, patients resampled once, damaged tables refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_table, split_repeats
from histonic.stages.evaluate.evaluate import evaluate_task

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))
OS = Task("os", "survival", ("months", "dead"))


def repeat(number: int, n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(number)
    truth = np.arange(n) % 2
    p = np.clip(0.3 + 0.3 * truth + 0.2 * rng.normal(size=n), 0.01, 0.99)
    frame = pd.DataFrame({"patient_id": [f"p{i:02d}" for i in range(n)], "site": "", "repeat": number})
    frame["fold"], frame["truth"] = rng.permutation(np.arange(n) % 4), np.where(truth, "yes", "no")
    frame["predicted"], frame["p_no"], frame["p_yes"] = np.where(p > 0.5, "yes", "no"), 1 - p, p
    return frame


def three() -> pd.DataFrame:
    return pd.concat([repeat(0), repeat(1).sample(frac=1, random_state=0), repeat(2)], ignore_index=True)


def test_a_metric_is_the_mean_over_the_repeats() -> None:
    together = evaluate_task(MSI, three(), resamples=100)
    each = [evaluate_task(MSI, repeat(k), resamples=100) for k in range(3)]
    assert together.n == 40
    for index, score in enumerate(together.scores):
        assert score.value == pytest.approx(np.mean([one.scores[index].value for one in each])), score.name
    assert [(row.repeat, row.n) for row in together.curves.folds] == [
        (number, 10) for number in range(3) for _ in range(4)
    ]


def test_the_same_predictions_thrice_are_worth_no_more_than_once() -> None:
    once = repeat(0)
    thrice = pd.concat([once.assign(repeat=k) for k in range(3)])
    alone, together = (evaluate_task(MSI, frame, resamples=200) for frame in (once, thrice))
    for one, other in zip(alone.scores, together.scores, strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9), one.name


def test_a_table_without_the_column_is_one_repeat() -> None:
    plain = repeat(0).drop(columns="repeat")
    assert evaluate_task(MSI, plain, resamples=100).to_dict() == (
        evaluate_task(MSI, repeat(0), resamples=100).to_dict()
    )


def test_figures_show_the_mean_prediction() -> None:
    tables = split_repeats(PredictionTable(MSI, three()))
    mean = mean_table(tables)
    assert mean.numbers("p_yes") == pytest.approx(np.mean([repeat(k)["p_yes"] for k in range(3)], axis=0))
    votes = np.sum([repeat(k)["predicted"] == "yes" for k in range(3)], axis=0)
    assert np.array_equal(np.array(mean.texts("predicted")) == "yes", votes >= 2)


def test_the_called_class_fits_the_mean_probabilities_where_they_alone_decide() -> None:
    """Two of three repeats call no, but the mean probability of yes is 0.56."""
    frame = pd.DataFrame({"patient_id": ["a"] * 3, "site": "", "repeat": [0, 1, 2], "fold": 0})
    frame["truth"], frame["predicted"] = "yes", ["no", "no", "yes"]
    frame["p_yes"] = [0.4, 0.4, 0.88]
    frame["p_no"] = 1 - frame["p_yes"]
    rules = {
        "most probable": "yes",
        "balanced": "no",
        "youden": "no",
        "threshold=0.6": "no",
        "cost=1:1": "yes",
    }
    for rule, called in rules.items():
        table = PredictionTable(MSI, frame.assign(decided_by=rule))
        assert mean_table(split_repeats(table)).texts("predicted") == [called]


def test_survival_groups_go_by_majority() -> None:
    frame = pd.DataFrame({"patient_id": list("abab"), "site": "", "repeat": [0, 0, 1, 1], "fold": 0})
    frame["time"], frame["event"] = [1.0, 2.0, 1.0, 2.0], 1
    frame["risk"], frame["high_risk"] = [1.0, 0.0, 3.0, -1.0], [1, 0, 1, 1]
    mean = mean_table(split_repeats(PredictionTable(OS, frame)))
    assert mean.numbers("risk").tolist() == [2.0, -0.5]
    assert mean.numbers("high_risk").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.iloc[1:], "p00 is not in all repeats"),
        (lambda f: pd.concat([f, f.iloc[[3]]]), "p03 stands 2 times"),
        (
            lambda f: f.assign(truth=["no" if i == 41 else t for i, t in enumerate(f["truth"])]),
            "truth of pat",
        ),
        (lambda f: f.assign(repeat="x"), "'x'"),
    ],
)
def test_damaged_tables_are_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    frame = pd.concat([repeat(0), repeat(1)], ignore_index=True)
    with pytest.raises(TableError) as error:
        evaluate_task(MSI, change(frame), resamples=100)
    assert words in str(error.value)
