"""What the report says beyond the metrics of all patients: sites, subgroups, and clinical columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from histonic.core.errors import CohortError
from histonic.runs.patient_columns import as_levels
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical.models import Clinical, evaluate_clinical
from histonic.stages.evaluate.groups import Grouping, evaluate_groups, site_grouping
from histonic.stages.report.document.target import NoClinical, Target
from histonic.stages.report.settings import ReportSettings
from histonic.stages.report.wording import groups as group_words


def evidence_of(
    table: PredictionTable,
    target: Target,
    columns: Mapping[str, Mapping[str, str]],
    settings: ReportSettings,
    seed: int,
    training: pd.DataFrame | None = None,
) -> Target:
    """One target of a run with its groups and clinical columns.

    Args:
        table: Its predictions.
        target: What the report says of it so far.
        columns: Cell per column and patient of the label table.
        settings: Which columns are for what.
        seed: Of the resamples.
        training: With a fixed split, the patients who trained; see
            :func:`histonic.stages.evaluate.clinical.models.evaluate_clinical`.
    """
    if target.problem:
        return target
    sites = site_grouping(table)
    groupings = {"site": sites} if sites and "site" not in settings.subgroups else {}
    groupings |= {name: as_levels(columns[name]) for name in settings.subgroups}
    clinical = {name: columns[name] for name in settings.clinical}
    groups = groups_of(table, groupings, settings.resamples, seed)
    beside = _clinical(table, clinical, settings.resamples, seed, training) if clinical else None
    return target.model_copy(update={"groups": groups, "clinical": beside})


def groups_of(
    table: PredictionTable, groupings: Mapping[str, Mapping[str, str]], resamples: int, seed: int
) -> tuple[Grouping, ...]:
    """Groups with their scores and, where patients are few, a word of warning."""
    groups = evaluate_groups(table.task, table.frame, groupings, resamples=resamples, seed=seed)

    def warned(grouping: Grouping) -> Grouping:
        said = [
            level.model_copy(update={"warning": group_words.few_words(level, table.task.kind)})
            for level in grouping.levels
        ]
        return grouping.model_copy(update={"levels": tuple(said)})

    return tuple(map(warned, groups))


def _clinical(
    table: PredictionTable,
    columns: Mapping[str, Mapping[str, str]],
    resamples: int,
    seed: int,
    training: pd.DataFrame | None,
) -> Clinical | NoClinical:
    try:
        found = evaluate_clinical(
            table.task, table.frame, columns, resamples=resamples, seed=seed, training=training
        )
    except CohortError as error:
        return NoClinical(problem=error.reason)
    return found.model_copy(update={"summary": group_words.clinical_words(found)})
