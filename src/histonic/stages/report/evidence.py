"""What the report says beyond the metrics of all patients: sites, subgroups, and clinical columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from histonic.core.errors import CohortError
from histonic.runs.patient_columns import as_levels
from histonic.runs.predictions import PredictionTable
from histonic.stages.evaluate.clinical_models import evaluate_clinical
from histonic.stages.evaluate.groups import evaluate_groups, site_grouping
from histonic.stages.report import words
from histonic.stages.report.settings import ReportSettings


def evidence_of(
    table: PredictionTable,
    target: Mapping[str, Any],
    columns: Mapping[str, Mapping[str, str]],
    settings: ReportSettings,
    seed: int,
    training: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """``groups`` and ``clinical`` of one target of a run.

    Args:
        table: Its predictions.
        target: Its entry in ``report.json`` so far.
        columns: Cell per column and patient of the label table.
        settings: Which columns are for what.
        seed: Of the resamples.
        training: With a fixed split, the patients who trained; see
            :func:`histonic.stages.evaluate.clinical_models.evaluate_clinical`.
    """
    if target["problem"]:
        return {"groups": [], "clinical": None}
    sites = site_grouping(table)
    groupings = {"site": sites} if sites and "site" not in settings.subgroups else {}
    groupings |= {name: as_levels(columns[name]) for name in settings.subgroups}
    clinical = {name: columns[name] for name in settings.clinical}
    return {
        "groups": groups_of(table, groupings, settings.resamples, seed),
        "clinical": _clinical(table, clinical, settings.resamples, seed, training) if clinical else None,
    }


def groups_of(
    table: PredictionTable, groupings: Mapping[str, Mapping[str, str]], resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Groups with their scores and, where patients are few, a word of warning."""
    groups = evaluate_groups(table.task, table.frame, groupings, resamples=resamples, seed=seed)
    for grouping in groups:
        for level in grouping["levels"]:
            level["warning"] = words.few_words(level, table.task.kind)
    return groups


def _clinical(
    table: PredictionTable,
    columns: Mapping[str, Mapping[str, str]],
    resamples: int,
    seed: int,
    training: pd.DataFrame | None,
) -> dict[str, Any]:
    try:
        found = evaluate_clinical(
            table.task, table.frame, columns, resamples=resamples, seed=seed, training=training
        )
    except CohortError as error:
        return {"problem": error.reason}
    return {**found, "problem": "", "summary": words.clinical_words(found)}
