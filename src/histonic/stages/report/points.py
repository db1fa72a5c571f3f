"""The operating points of a target on the page: rows, and sentences that say where thresholds came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from histonic.core.calls import OperatingPoint
from histonic.core.task import Task
from histonic.runs.documents import ChosenThreshold, RunDocument
from histonic.stages.evaluate.evaluate import TaskEvaluation
from histonic.stages.evaluate.operating_points import PointEvaluation, PointScore
from histonic.stages.report.document.target import OperatingPoints, PointRow
from histonic.stages.report.wording import words

FEW = 20
"""Patients of a class; of fewer, a threshold for a sensitivity of 0.95 is that of the lowest."""
TO = "\N{EN DASH}"
INFINITE = "∞"


def describe_points(
    found: TaskEvaluation, facts: RunDocument, *, external: bool = False
) -> OperatingPoints | None:
    """The operating points of one target; None where it has none.

    Args:
        found: Of a binary target, in the run's own patients or in others.
        facts: ``run.json``, which knows the thresholds.
        external: The patients are from elsewhere, predicted by all networks together.
    """
    if not found.points:
        return None
    chosen = facts.thresholds.get(found.task.name, ())
    shown = {each.point: [one for one in chosen if one.point == each.point] for each in found.points}
    return OperatingPoints(
        rows=[
            PointRow(
                **dict(each),
                label=label_of(each.point),
                thresholds=_thresholds(shown[each.point], external),
            )
            for each in found.points
        ],
        notes=[
            *_origin(facts, found.task, [one for each in shown.values() for one in each], external),
            _prevalence(found.task, found.points[0]),
            *_left_out(found.points),
            "The intervals (95\N{NO-BREAK SPACE}%, by patient) take the thresholds as given: Wilson's for "
            "shares, Miettinen and Nurminen's for likelihood ratios."
            + (
                " With repeats, patients count by the share of them in which they are called."
                if found.curves.repeats > 1
                else ""
            ),
        ],
    )


def label_of(point: str) -> str:
    """An operating point in words.

    Example:
        >>> label_of("youden"), label_of("sensitivity=0.95"), label_of("cost=1:5")
        ('Youden', 'sensitivity 0.95', 'a missed case costs 5 false alarms')
    """
    asked = OperatingPoint.parse(point)
    if asked.kind == "youden":
        return "Youden"
    if asked.kind == "cost":
        ratio = asked.values[1] / asked.values[0]
        return f"a missed case costs {words.compact(ratio)} false alarm{'' if ratio == 1 else 's'}"
    return f"{asked.kind} {asked.values[0]:.9g}"


def threshold_words(thresholds: Sequence[float]) -> str:
    """The thresholds of the folds as a range.

    Example:
        >>> threshold_words([0.214, 0.35]), threshold_words([0.2]), threshold_words([])
        ('0.21–0.35', '0.20', '–')
    """
    ends = sorted({_share(each) for each in (min(thresholds), max(thresholds))} if thresholds else ())
    return TO.join(ends) or TO


def value_words(score: PointScore) -> str:
    """A value as printed: two decimals of a share, two digits of a likelihood ratio.

    Example:
        >>> value_words(PointScore(name="PPV", value=0.5, low=0.2, high=0.8))
        '0.50'
        >>> value_words(PointScore(name="LR+", value=None, low=3.5, high=None))
        '∞'
    """
    return INFINITE if score.is_infinite else _printed(score, score.value)


def interval_words(score: PointScore) -> str:
    """Its interval as printed, shorter than in the table of metrics.

    Example:
        >>> interval_words(PointScore(name="LR+", value=None, low=3.47, high=None))
        '3.5 to ∞'
    """
    if score.low is None:
        return ""
    high = INFINITE if score.high is None else _printed(score, score.high)
    return f"{_printed(score, score.low)} to {high}"


def _printed(score: PointScore, value: float | None) -> str:
    if value is None:
        return TO
    return words.significant(value, 2) if score.name.startswith("LR") else _share(value)


def _share(value: float) -> str:
    return f"{value:.2f}"


def _thresholds(chosen: Sequence[ChosenThreshold], external: bool) -> list[float]:
    known = [each.threshold for each in chosen if each.threshold is not None]
    return [float(np.mean(known))] if external and known else known


def _origin(facts: RunDocument, task: Task, chosen: Sequence[ChosenThreshold], external: bool) -> list[str]:
    """Where the thresholds came from."""
    asked = [each for each in chosen if each.chosen_on != "nobody"]
    # In a rotation who is tested in one fold validates in another.
    last = (
        "none of the patients shown had a say"
        if external or facts.split == "fixed"
        else "no patient had a say in the threshold that he or she is called by"
    )
    if external and facts.split != "fixed":
        last = f"here their mean is used, and {last}"
    # Where aggregators are searched, folds may differ.
    who = [
        _of_source(facts, task, asked, source) for source in dict.fromkeys(each.chosen_on for each in asked)
    ]
    sentences = [f"Thresholds were chosen{', and'.join(who)}; {last}."] if who else []
    if any(min(each.positives, each.negatives) < FEW for each in asked):
        sentences.append(
            "Of so few patients a threshold depends on chance, and a sensitivity or specificity that was "
            "asked for may be missed in others."
        )
    given = [each for each in chosen if each.chosen_on == "nobody"]
    if given:
        names = words.joined(sorted({label_of(each.point) for each in given}))
        sentences.append(f"Given, not chosen on patients: {names}.")
    return sentences


def _of_source(facts: RunDocument, task: Task, asked: Sequence[ChosenThreshold], source: str) -> str:
    """In which folds, and on which patients."""
    mine = [each for each in asked if each.chosen_on == source]
    folds, of = (len({(each.repeat, each.fold) for each in group}) for group in (mine, asked))
    where = f" in {folds} of {of} folds" if folds < of else "" if facts.split == "fixed" else " in each fold"
    sides = ([each.positives for each in mine], [each.negatives for each in mine])
    counts = f"{_range(sides[0])} “{task.classes[1]}” and {_range(sides[1])} “{task.classes[0]}”"
    if source == "inner":
        return (
            f"{where} on the training and validation patients ({counts}), each predicted by heads that were "
            "fitted to others of them"
        )
    return f"{where} on the validation patients ({counts}), who also decided when training stopped"


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _prevalence(task: Task, point: PointEvaluation) -> str:
    """At which share of positive patients the predictive values hold."""
    share = words.compact(100 * point.positives / point.n)
    return (
        f"PPV and NPV hold where {share}\N{NO-BREAK SPACE}% are “{task.classes[1]}”, as here "
        f"({point.positives} of {point.n}); where fewer are, PPV is lower and NPV higher."
    )


def _left_out(points: Sequence[PointEvaluation]) -> list[str]:
    """Patients of folds without a threshold."""
    return [
        f"{label_of(each.point)} leaves out {words.counted(each.uncalled, 'patient')}: their fold had nobody "
        "to choose a threshold on."
        for each in points
        if each.uncalled
    ]
