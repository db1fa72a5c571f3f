"""What a run knows of the questions of reporting checklists, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from histonic.stages.report.checklists import methods, participants, results
from histonic.stages.report.document.report import Report


class Fact(NamedTuple):
    """An answer and its place."""

    text: str
    where: str
    """Of the page, such as ``#cohort``, or a file of the run."""


FACTS: dict[str, tuple[Callable[[Report], str], str]] = {
    "aim": (methods.aim, "#cohort"),
    "assumptions": (results.assumptions, "#target-1"),
    "audit": (participants.audit, "#audit"),
    "by_site": (results.by_site, "#target-1"),
    "cells": (participants.cells, "#cohort"),
    "chance": (results.chance, "#target-1"),
    "clinical": (participants.clinical, "#target-1"),
    "code": (methods.code, "#making"),
    "cohorts": (participants.cohorts, "#external-1"),
    "confusion": (results.confusion, "#target-1"),
    "cox": (results.cox, "#target-1"),
    "cut": (methods.cut, "#target-1"),
    "differences": (participants.differences, "#external-1"),
    "disjoint": (methods.disjoint, "#folds"),
    "encoder": (methods.encoder, "#making"),
    "ensemble": (methods.ensemble, "#making"),
    "events": (participants.events, "#target-1"),
    "exclusions": (participants.exclusions, "#cohort"),
    "explanation": (methods.explanation, "#target-1"),
    "fairness": (results.fairness, "#target-1"),
    "familiar": (methods.familiar, "#making"),
    "filled": (participants.filled, "#target-1"),
    "flow": (participants.flow, "#cohort"),
    "follow_up": (participants.follow_up, "#target-1"),
    "imbalance": (methods.imbalance, "#target-1"),
    "intervals": (results.intervals, "#reading"),
    "limits": (participants.limits, "#audit"),
    "measures": (results.measures, "#target-1"),
    "missing": (participants.missing, "#target-1"),
    "model": (methods.model, "#making"),
    "no_judgement": (methods.no_judgement, "#making"),
    "outcome": (participants.outcome_of, "#target-1"),
    "output": (methods.output, "#target-1"),
    "performance": (results.performance, "#target-1"),
    "points": (results.points, "#target-1"),
    "precision": (participants.precision, "#target-1"),
    "predicted": (methods.predicted, "#folds"),
    "predictors": (methods.predictors, "#making"),
    "recalibrated": (results.recalibrated, "#external-1"),
    "resolution": (participants.resolution, "#making"),
    "sample": (participants.sample, "#cohort"),
    "sites": (participants.sites, "#sites"),
    "slides": (participants.slides, "#slides"),
    "specification": (methods.specification, "#making"),
    "split": (methods.split, "#folds"),
    "start": (methods.start, "#making"),
    "training": (methods.training, "#making"),
    "training_spread": (results.training_spread, "#target-1"),
    "tuning": (methods.tuning, "#folds"),
    "univariable": (results.univariable, "#target-1"),
}
"""What answers each question, and the part of the page that holds it."""


def facts_of(report: Report, names: Sequence[str]) -> list[Fact]:
    """What is known of some questions; those without an answer are left out.

    Args:
        report: The content of a report.
        names: Keys of :data:`FACTS`.
    """
    found = []
    for name in names:
        answer, place = FACTS[name]
        text = " ".join(answer(report).split())
        if place == "#external-1" and not report.external:
            place = "#cohort"
        if text:
            found.append(Fact(text, place))
    return found
