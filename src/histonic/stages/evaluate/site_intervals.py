"""95 % intervals by resampling sites, beside those by patients: how a metric would vary with other sites."""

from __future__ import annotations

from typing import Literal

import numpy as np

from histonic.core.documents import Part
from histonic.metrics.inference.scores import score_measures
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import mean_measures, split_repeats
from histonic.stages.evaluate.evaluate import evaluator_of

FEWEST_SITES = 5
"""With fewer, an interval by sites is refused."""
FEW_SITES = 10
"""With fewer, a word of warning stands beside it."""
ALONE = "\0"
"""Before the name of a patient without a site, whom no site can be called."""


class SiteInterval(Part):
    """The interval of one metric; ends are None where there is none, and the note says why."""

    name: str
    low: float | None
    high: float | None
    note: str


class SiteIntervals(Part):
    """The intervals of a target's metrics by resampling sites.

    Attributes:
        sites: That the patients with a truth name.
        unnamed: Patients with a truth and without a site; each is resampled alone.
        patients: Of the smallest and the largest site.
        problem: Why there are none; else empty.
        intervals: In the order of the target's scores.
    """

    sites: int
    unnamed: int
    patients: tuple[int, int] = (0, 0)
    problem: Literal["", "no sites", "few sites"] = ""
    intervals: tuple[SiteInterval, ...] = ()


def site_intervals(
    table: PredictionTable, *, resamples: int, seed: int, reference: PredictionTable | None = None
) -> SiteIntervals:
    """Resample the sites of a target, each with all of its patients.

    Args:
        table: Its predictions, all repeats.
        resamples: Of the sites.
        seed: Of the resamples.
        reference: For a cohort from elsewhere, the run's own predictions.

    Returns:
        No intervals but the reason where fewer than :data:`FEWEST_SITES` are named.

    Raises:
        CohortError: The target cannot be evaluated.
        TableError: The table of predictions is damaged.

    Example:
        >>> import pandas as pd
        >>> from histonic.core.task import Task
        >>> frame = pd.DataFrame({"patient_id": list("abcd"), "site": ["east"] * 2 + ["west"] * 2})
        >>> frame = frame.assign(fold=0, truth=[1.0, 2, 3, 4], predicted=[1.0, 2, 4, 3])
        >>> found = site_intervals(PredictionTable(Task("ki67", "regression", ("ki67",)), frame),
        ...     resamples=100, seed=0)
        >>> found.sites, found.problem
        (2, 'few sites')
    """
    tables = split_repeats(table)
    shown = tables[0].rows(tables[0].has_truth())
    names = shown.texts("site") if "site" in shown.frame.columns else [""] * len(shown.frame)
    sizes = np.unique([name for name in names if name], return_counts=True)[1]
    unnamed = sum(not name for name in names)
    if len(sizes) < FEWEST_SITES:
        problem: Literal["no sites", "few sites"] = "few sites" if len(sizes) else "no sites"
        return SiteIntervals(sites=len(sizes), unnamed=unnamed, problem=problem)
    patients = shown.texts("patient_id")
    cluster = np.array([name or ALONE + who for name, who in zip(names, patients, strict=True)], object)
    evaluate = evaluator_of(table.task, None if reference is None else reference.frame)
    measures = mean_measures([evaluate(each).measures for each in tables])
    scores = score_measures(
        measures, len(cluster), resamples=resamples, rng=np.random.default_rng(seed), cluster=cluster
    )
    # What is said of every score stands beside its interval by patients already.
    found = [
        SiteInterval(
            name=score.name,
            low=score.low,
            high=score.high,
            note="" if score.value is None else score.note.removeprefix(measure.note).strip(),
        )
        for measure, score in zip(measures, scores, strict=True)
    ]
    return SiteIntervals(
        sites=len(sizes),
        unnamed=unnamed,
        patients=(int(sizes.min()), int(sizes.max())),
        intervals=tuple(found),
    )
