"""The steps to which the file of a study leads, in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from histonic.data.tables.settings import LabelSettings
from histonic.stages.study.file.reading import TABLE_KEYS, ExternalPart, Study
from histonic.stages.study.steps.step import Step

NOT_OF_OTHERS = ("slides", "masks", "mask", "mpp", "sheet", "names")
"""Settings of the compression that say something of the study's own slides."""


def store_of(study: Study) -> Path:
    """Maps of the study's own slides."""
    return study.out / "store"


def run_of(study: Study) -> Path:
    """What is trained from them."""
    return study.out / "run"


def store_of_external(study: Study, name: str) -> Path:
    """Maps of a cohort from elsewhere."""
    return study.out / "external" / name / "store"


def steps_of(study: Study) -> list[Step]:
    """The commands, in their order; each with all of its settings.

    Args:
        study: As it was read.
    """
    store, run = str(store_of(study)), str(run_of(study))
    steps = [Step("", "doctor", doctor_settings(study))] if study.doctor else []
    steps.append(Step("", "compress", {**study.compress, "out": store, "replace": True}))
    if study.audit is not None:
        keys = ("labels", "target", "private", *TABLE_KEYS)
        shared = {key: study.train[key] for key in keys if key in study.train}
        out = str(study.out / "audit")
        steps.append(Step("", "audit", {**shared, **study.audit, "store": store, "out": out}))
    steps.append(Step("", "train", {**study.train, "store": store, "out": run}))
    if study.explain is not None:
        steps.append(Step("", "explain", {**study.explain, "run": run, "store": store}))
    for each in study.externals:
        steps += _external_steps(study, each)
    if study.report is not None:
        values: dict[str, Any] = {**study.report, "run": run, "store": store, "labels": study.train["labels"]}
        steps.append(Step("", "report", values))
    return steps


def doctor_settings(study: Study) -> dict[str, Any]:
    """What is looked at before anything is computed."""
    compress = (
        *("slides", "encoder", "mpp", "masks", "names", "reader", "tissue", "mask", "most_enlargement"),
        *("tile_um", "stain"),
    )
    values = {key: study.compress[key] for key in compress if key in study.compress}
    values |= {key: study.train[key] for key in ("labels", "target", *TABLE_KEYS) if key in study.train}
    return values


def _external_steps(study: Study, cohort: ExternalPart) -> list[Step]:
    store = str(store_of_external(study, cohort.name))
    shared = {key: value for key, value in study.compress.items() if key not in NOT_OF_OTHERS}
    # Maps of two machines would differ by precision: those of the other cohort go by the study's own.
    compress = {**shared, **cohort.compress, "out": store, "replace": True}
    tables = [key for key in LabelSettings.model_fields if key in ("decimal", "table_style")]
    inherited = {key: study.train[key] for key in tables if key in study.train}
    external = {**inherited, **cohort.external, "run": str(run_of(study)), "store": store}
    return [Step(cohort.name, "compress", compress), Step(cohort.name, "external", external)]
