"""What a study is worth: scores of its run by cross-validation, and of labelled test cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from histonic.core.documents import Document, Part, write_document
from histonic.core.errors import CohortError, RunError
from histonic.core.task import Task
from histonic.metrics.discrimination.labels import confusion, quadratic_kappa
from histonic.metrics.inference.intervals import Statistic
from histonic.metrics.inference.scores import Measure, Score, score_measures
from histonic.metrics.ranks import FloatArray, IntArray
from histonic.runs.predictions import PredictionTable, read_frame, read_predictions
from histonic.runs.run import read_facts
from histonic.stages.evaluate.evaluate import evaluate_target
from histonic.stages.study.frame.plan import Outcome, Place
from histonic.stages.study.frame.settings import RecipeSettings

SHOWN = 4
"""Scores of a target that are printed; all of them are written."""


class ScoreLine(Part):
    """One score.

    Attributes:
        of: Target, and whose patients or images.
        n: How many.
        name: Of the metric.
        value: None if undefined.
        low: Lower end of the 95 % interval; None if there is none.
        high: Upper end.
        note: What the reader should know.
    """

    of: str
    n: int
    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    def line(self) -> str:
        """As text."""
        value = "NA" if self.value is None else f"{self.value:.3f}"
        ends = "" if self.low is None or self.high is None else f" (95 % {self.low:.3f} to {self.high:.3f})"
        return f"{self.of}: {self.name} {value}{ends}, n = {self.n}"


class ChallengeScores(Document):
    """``scores.json``.

    Attributes:
        recipe: Name of the challenge.
        scores: In the order of the targets.
        notes: What a reader must know before he compares them with others.
    """

    FORMAT = "histonic-challenge-scores-1"

    recipe: str
    scores: tuple[ScoreLine, ...]
    notes: tuple[str, ...]


def keep_scores(
    settings: RecipeSettings,
    place: Place,
    scores: Sequence[ScoreLine],
    notes: Sequence[str],
    outcome: Outcome,
) -> None:
    """Write ``scores.json``, and say the first of each target."""
    document = ChallengeScores(recipe=settings.name, scores=tuple(scores), notes=tuple(notes))
    write_document(place.scores, document)
    outcome.files.append(place.scores)
    told: dict[str, int] = {}
    for each in scores:
        told[each.of] = told.get(each.of, 0) + 1
        if told[each.of] <= SHOWN:
            outcome.lines.append(each.line())
    outcome.lines += notes


def run_scores(settings: RecipeSettings, place: Place) -> list[ScoreLine]:
    """Scores of the training patients, each predicted by networks that never saw him."""
    lines: list[ScoreLine] = []
    for task in read_facts(place.run).tasks:
        table = read_predictions(place.run, task)
        lines += target_scores(f"{task.name}, cross-validated", table, settings)
    return lines


def target_scores(of: str, table: PredictionTable, settings: RecipeSettings) -> list[ScoreLine]:
    """All scores of one target; one line without a value, and why, where it cannot be scored."""
    found = evaluate_target(table, resamples=settings.resamples, seed=settings.seed)
    if isinstance(found, CohortError):
        n = int(table.has_truth().sum())
        return [ScoreLine(of=of, n=n, name="not scored", value=None, note=f"{found.found} {found.todo}")]
    return [_line(of, found.n, score) for score in found.scores]


def _line(of: str, n: int, score: Score) -> ScoreLine:
    return ScoreLine(
        of=of, n=n, name=score.name, value=score.value, low=score.low, high=score.high, note=score.note
    )


def kappa_score(
    of: str, truth: IntArray, called: IntArray, classes: int, settings: RecipeSettings
) -> ScoreLine:
    """Quadratic weighted kappa over all classes, with its interval by resampling patients."""

    def kappa(counts: FloatArray) -> FloatArray:
        return quadratic_kappa(confusion(truth, called, classes, counts))

    return score_by("Quadratic weighted kappa", of, kappa, len(truth), settings)


def score_by(name: str, of: str, statistic: Statistic, n: int, settings: RecipeSettings) -> ScoreLine:
    """A score of ``n`` patients by a function of counts ``(B, n)``, with its interval."""
    measure = Measure(name, statistic, None)
    rng = np.random.default_rng(settings.seed)
    (score,) = score_measures([measure], n, resamples=settings.resamples, rng=rng)
    line = _line(of, n, score)
    if line.value is not None and line.low == line.high and line.low is not None:
        # Resamples of a few patients who are all alike say nothing of others.
        return line.model_copy(
            update={"low": None, "high": None, "note": "No resample differs: no interval."}
        )
    return line


def predictions_of_test(place: Place) -> pd.DataFrame:
    """The predictions of the test slides as text, by slide.

    Raises:
        RunError: There are none.
    """
    todo = "Run the recipe again with --run."
    frame = read_frame(place.predictions, todo, dtype=str, keep_default_na=False, encoding="utf-8")
    if "slide_id" not in frame.columns:
        raise RunError(f"Read {place.predictions}.", "It has no column slide_id.", todo)
    return frame.set_index("slide_id", drop=False)


def beside_truth(task: Task, predictions: pd.DataFrame, truth: Mapping[str, str]) -> PredictionTable:
    """Predictions of test slides beside their truth, as a table that can be scored.

    Args:
        task: The target.
        predictions: Of :func:`predictions_of_test`.
        truth: Its text by slide; slides without are left out.
    """
    here = predictions[predictions["slide_id"].isin([name for name, text in truth.items() if text])]
    columns = {
        name.removeprefix(f"{task.name}."): here[name].tolist()
        for name in here.columns
        if name.startswith(f"{task.name}.")
    }
    names = here["slide_id"].tolist()
    frame = pd.DataFrame(
        {
            "patient_id": names,
            "site": "",
            "repeat": 0,
            "fold": -1,
            "truth": [truth[name] for name in names],
            **columns,
        }
    )
    return PredictionTable(task, frame)


def require_all(place: Place, predictions: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    """Refuse a submission in which a case has no prediction.

    Raises:
        RunError: Names the first cases.
    """
    absent = [name for name in wanted if name not in predictions.index]
    if absent:
        reasons = _failures(place.test_maps)
        why = next((f" ({reasons[name]})" for name in absent if name in reasons), "")
        raise RunError(
            f"Write {what}.",
            f"{len(absent)} case(s) have no prediction: {', '.join(absent[:8])}{why}.",
            "Mend these slides, or give --mpp or --tissue as 'histonic compress' asks, and run again.",
        )


def _failures(store: Path) -> dict[str, str]:
    from histonic.data.maps.store import Store

    return {each.slide_id: each.reason for each in Store.open(store).failures()}
