"""What the report says beyond the metrics of all patients: sites, subgroups, and clinical columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from histonic.core.errors import CohortError
from histonic.runs.patient_columns import as_levels
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical.models import Clinical, evaluate_clinical
from histonic.stages.evaluate.groups import Grouping, evaluate_groups, site_grouping
from histonic.stages.report.details import PatientFacts
from histonic.stages.report.document.target import NoClinical, Target
from histonic.stages.report.wording import groups as group_words


def evidence_of(
    table: PredictionTable,
    target: Target,
    about: PatientFacts,
    resamples: int,
    seed: int,
    training: pd.DataFrame | None = None,
) -> Target:
    """One target of a run with its groups and clinical columns.

    Args:
        table: Its predictions.
        target: What the report says of it so far.
        about: Columns of the label table, and what they are for.
        resamples: Of the patients.
        seed: Of the resamples.
        training: With a fixed split, the patients who trained; see
            :func:`histonic.stages.evaluate.clinical.models.evaluate_clinical`.
    """
    if target.problem:
        return target
    sites = site_grouping(table)
    groupings = {"site": sites} if sites and "site" not in about.subgroups else {}
    groupings |= {name: as_levels(about.cells[name]) for name in about.subgroups}
    clinical = {name: about.cells[name] for name in about.clinical}
    groups = groups_of(table, groupings, resamples, seed)
    beside = _clinical(table, clinical, resamples, seed, training) if clinical else None
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
