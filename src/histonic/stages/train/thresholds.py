"""Thresholds of a fold's networks, chosen on patients of the fold whom its networks have not learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from histonic.aggregators.base import is_fitted
from histonic.core.calls import OperatingPoint, is_point
from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.errors import CohortError
from histonic.core.progress import Progress, warn
from histonic.core.task import Task
from histonic.metrics.discrimination.operating_points import choose_threshold
from histonic.metrics.ranks import BoolArray
from histonic.models.trained import Trained
from histonic.runs.documents import ChosenOn, ChosenThreshold
from histonic.stages.train.search import search_choices
from histonic.stages.train.settings import TrainSettings


def wanted_points(settings: TrainSettings) -> tuple[str, ...]:
    """Operating points of a training: those that were asked for, and the one that calls."""
    calling = (settings.calls,) if is_point(settings.calls) else ()
    return tuple(dict.fromkeys((*settings.operating_point, *calling)))


def require_thresholds(cohort: Cohort, fold: Fold, settings: TrainSettings, progress: Progress) -> None:
    """Before the training: whether the fold's thresholds can be chosen.

    Points that are only shown stay without a threshold, and the listener is told; the one that calls has to
    have one.

    Raises:
        CohortError: It has none.
    """
    fitted = all(is_fitted(choice.aggregator) for choice in (settings, *search_choices(settings)))
    patients = (*fold.train, *fold.validation) if fitted else fold.validation
    who = "training and validation" if fitted else "validation"
    for task in cohort.tasks:
        if task.kind != "binary":
            continue
        positive = _known(cohort, task, patients)[1]
        absent = [
            point
            for point in wanted_points(settings)
            if choose_threshold(positive, np.zeros(len(positive)), OperatingPoint.parse(point)) is None
        ]
        if not absent:
            continue
        found = f"The {who} patients of fold {fold.number + 1} are {positive.sum()} {task.classes[1]!r} and "
        found += f"{(~positive).sum()} {task.classes[0]!r}"
        if settings.calls in absent:
            raise CohortError(
                f"Call the classes of {task.name!r} at {settings.calls}.",
                f"{found}: no threshold can be chosen on them.",
                "Use --calls probable, fewer --folds, or another --split.",
            )
        warn(progress, f"{task.name}: {found}, so that {', '.join(absent)} has no threshold there")


def choose_thresholds(
    cohort: Cohort, folds: Sequence[Fold], trained: Sequence[Trained], points: Sequence[str]
) -> tuple[list[Trained], dict[str, tuple[ChosenThreshold, ...]]]:
    """Choose the thresholds of all binary targets and folds.

    A fold's networks are averaged for its test patients, and so they are here.

    Args:
        cohort: Targets.
        folds: Of all repeats.
        trained: The networks, each with predictions of patients that it has not learned.
        points: Names of the operating points.

    Returns:
        The networks, which now know the thresholds, and the thresholds by target.
    """
    tasks = [task for task in cohort.tasks if task.kind == "binary"] if points else []
    found: dict[str, tuple[ChosenThreshold, ...]] = {}
    for task in tasks:
        found[task.name] = tuple(
            chosen
            for fold in folds
            for chosen in _of_fold(cohort, task, fold, _networks_of(fold, trained), points)
        )
    return [_with_thresholds(each, found) for each in trained], found


def _networks_of(fold: Fold, trained: Sequence[Trained]) -> list[Trained]:
    place = (fold.repeat, fold.number)
    return [each for each in trained if (each.member.repeat, each.member.fold) == place]


def _of_fold(
    cohort: Cohort, task: Task, fold: Fold, networks: Sequence[Trained], points: Sequence[str]
) -> list[ChosenThreshold]:
    fitted = is_fitted(networks[0].member.aggregator)
    patients = (*fold.train, *fold.validation) if fitted else fold.validation
    known, positive = _known(cohort, task, patients)
    score = np.mean([each.unseen[task.name][known, 1] for each in networks], axis=0)
    source: ChosenOn = "inner" if fitted else "validation"
    return [
        ChosenThreshold(
            point=point,
            repeat=fold.repeat,
            fold=fold.number,
            threshold=choose_threshold(positive, score, asked),
            chosen_on="nobody" if asked.threshold is not None else source,
            positives=int(positive.sum()),
            negatives=int((~positive).sum()),
        )
        for point in points
        for asked in [OperatingPoint.parse(point)]
    ]


def _known(cohort: Cohort, task: Task, patients: Sequence[Patient]) -> tuple[BoolArray, BoolArray]:
    """Whose class is known ``(P,)``, and whether it is the positive one, of those."""
    targets = cohort.targets(task, patients)
    known = ~np.isnan(targets)
    return known, np.asarray(targets[known] == 1)


def _with_thresholds(network: Trained, found: Mapping[str, Sequence[ChosenThreshold]]) -> Trained:
    place = (network.member.repeat, network.member.fold)
    mine = {
        name: {
            each.point: each.threshold
            for each in chosen
            if (each.repeat, each.fold) == place and each.threshold is not None
        }
        for name, chosen in found.items()
    }
    return replace(network, member=replace(network.member, thresholds=mine))
