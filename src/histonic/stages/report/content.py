"""All that the report says: the page and report.json are made from the same values."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from histonic.core.errors import CohortError, StoreError
from histonic.core.progress import Progress
from histonic.core.settings import Settings, fields_of, option_name
from histonic.core.task import Coding, Task
from histonic.data.maps.shares import TissueShare, cohort_words, read_shares, tissue_outliers, unknown_words
from histonic.data.maps.store import map_folder, thumbnail_path
from histonic.runs.documents import CohortPatient, RunDocument
from histonic.runs.patient_columns import read_patient_columns
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import split_repeats
from histonic.runs.run import External, Run, WholeRun
from histonic.stages.audit.findings import Finding
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.evaluate.chance import Verdict, judge
from histonic.stages.evaluate.curves import Curves
from histonic.stages.evaluate.evaluate import evaluate_target
from histonic.stages.evaluate.groups import site_grouping
from histonic.stages.report import words
from histonic.stages.report.audit import audit_content
from histonic.stages.report.document import (
    ChosenSettings,
    ClassCount,
    ExternalCohort,
    Making,
    NetworkHistory,
    OutlyingSlide,
    PatientGroup,
    Report,
    ShownSlide,
    Slides,
    SlideTissue,
    Spread,
    Target,
    TissueSection,
)
from histonic.stages.report.evidence import evidence_of, groups_of
from histonic.stages.report.maps import report_explanations
from histonic.stages.report.points import describe_points
from histonic.stages.report.settings import ReportSettings
from histonic.stages.train.settings import TrainSettings

SEED = 0
"""Of the resamples for the intervals; fixed, so that the same run gives the same page."""
SLIDES_SHOWN, OUTLIERS_SHOWN = 60, 24
CURVES = ("learning_rate", "train_loss", "validation_loss")
"""Columns of ``history.csv`` over the epochs of one network."""
ROWS_SHOWN = 1000
"""Rows of a list of exclusions or failures on the page; report.json has all."""


def report_content(run: WholeRun, settings: ReportSettings, progress: Progress) -> Report:
    """Everything the page says.

    Args:
        run: The run.
        settings: Resamples for the 95 % intervals, and columns of the label table.
        progress: Advances once per target.

    Raises:
        CohortError: Not one target can be evaluated.
        TableError: A table of predictions or the label table is damaged.
        SettingsError: The label table has moved.
    """
    resamples = settings.resamples
    full = run.tables
    tables = {name: split_repeats(table)[0] for name, table in full.items()}
    patients = [each for each in run.cohort.patients if each.tested_in]
    columns = read_patient_columns(run.settings, (*settings.subgroups, *settings.clinical), settings.labels)
    targets = []
    for task in run.tasks:
        found = _target(full[task.name], resamples, run.facts, alone=len(run.tasks) == 1)
        target = _with_coding(found, run.facts.codings.get(task.name))
        targets.append(evidence_of(full[task.name], target, columns, settings, SEED, run.training(task)))
        progress.advance(note=task.name)
    facts = run.facts
    moved = run_with_store(run, settings)
    audited = audit_content(moved, progress)
    content = Report(
        report=Making(histonic=version("histonic"), resamples=resamples, seed=SEED),
        summary=words.opening(run.cohort.counts, [target.label for target in targets], facts),
        run=facts,
        settings=run.settings.model_dump(mode="json"),
        counts=run.cohort.counts,
        exclusions=run.cohort.exclusions,
        targets=_judged(targets),
        audit=audited,
        external=[
            _external(external, run, resamples, _overlap(external.facts.name, audited.findings))
            for external in run.externals
        ],
        tested=len(patients),
        without_part=sum(bool(each.unused_in) for each in run.cohort.patients),
        search=search_rows(run.search),
        # Of several repeats the first.
        folds=_groups(patients, tables, "fold", lambda patient: patient.tested_in[0][1]),
        sites=_groups(patients, tables, "site", lambda patient: patient.site),
        slides=_slides(run),
        tissue=_tissue(moved),
        failures=run.failures,
        history=_history(run),
        commands=_commands(run, settings),
        explanations=report_explanations(moved, progress),
    )
    return Report.model_validate(_plain(content.model_dump(by_alias=True)))


def run_with_store(run: WholeRun, settings: ReportSettings) -> WholeRun:
    """The run with the store where it lies now, if the settings say so."""
    if settings.store is None:
        return run
    return replace(run, facts=run.facts.model_copy(update={"store": settings.store}))


def _plain(value: Any) -> Any:
    """The value with None for what JSON cannot say (NaN, infinity)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ----------------------------------------------------------------------------- targets


def _external(external: External, run: WholeRun, resamples: int, overlap: Sequence[str]) -> ExternalCohort:
    """A cohort from elsewhere, its targets evaluated by what was fitted to the run's own patients."""
    targets = []
    for name, table in external.tables.items():
        target = _target(table, resamples, run.facts, alone=False, reference=run.tables[name])
        sites = site_grouping(table)
        if sites and not target.problem:
            groups = groups_of(table, {"site": sites}, resamples, SEED)
            target = target.model_copy(update={"groups": groups})
        targets.append(_with_coding(target, external.facts.codings.get(name)))
    return ExternalCohort(
        name=external.facts.name, about=external.facts, targets=_judged(targets), overlap=overlap
    )


def _overlap(name: str, findings: Sequence[Finding]) -> list[str]:
    """What the audit found of the run's own patients and slides in an external cohort."""
    return [each.what for each in findings if (each.level, each.cohort) == ("error", name)]


def _with_coding(target: Target, coding: Coding | None) -> Target:
    update = {"coding": coding.text, "doubt": coding.doubt} if coding else {}
    return target.model_copy(update=update)


def _target(
    table: PredictionTable,
    resamples: int,
    facts: RunDocument,
    *,
    alone: bool,
    reference: PredictionTable | None = None,
) -> Target:
    """Scores, curves and words of one target; ``alone``: without it there is no report."""
    found = evaluate_target(table, resamples=resamples, seed=SEED, reference=reference)
    # One fold is a fixed test part or an external cohort, whose patients trained nothing.
    crossed, label = table.is_crossed(), words.label_of(table.task.name)
    common: dict[str, Any] = {"task": table.task, "label": label, "crossed": crossed}
    common |= {"groups": (), "clinical": None, "decided_by": table.decided_by}
    if isinstance(found, CohortError):
        if alone:
            raise found
        summary = f"Could not be evaluated: {found.reason}"
        return Target(**common, n=0, problem=found.reason, scores=(), curves=Curves(), summary=summary)
    # What is said of it waits for the other targets.
    return Target(
        **common,
        n=found.n,
        problem="",
        scores=found.scores,
        curves=found.curves,
        summary="",
        operating_points=describe_points(found, facts, external=reference is not None),
    )


def _judged(targets: Sequence[Target]) -> list[Target]:
    """The targets of one cohort with what their leading metrics mean, all counted together."""
    scored = [target for target in targets if not target.problem]
    verdicts = iter(judge([each.scores[0] for each in scored], [each.crossed for each in scored]))
    return [target if target.problem else _worded(target, next(verdicts)) for target in targets]


def _worded(target: Target, verdict: Verdict) -> Target:
    leading = target.scores[0]
    said = (
        words.pair_words(leading, target.task, target.crossed),
        words.chance_words(leading, verdict, target.label),
        words.pooled_words(target.scores),
    )
    return target.model_copy(
        update={
            "against_chance": verdict.word,
            "p_chance": verdict.p_holm,
            "summary": words.target_summary(leading, verdict, target.n),
            "meaning": tuple(filter(None, said)),
        }
    )


# ---------------------------------------------------------------------- folds and sites


def _groups(
    patients: Sequence[CohortPatient],
    tables: Mapping[str, PredictionTable],
    column: str,
    group_of: Callable[[CohortPatient], Any],
) -> list[PatientGroup]:
    """Patients, slides and targets per fold or site.

    Args:
        patients: Those who were tested.
        tables: Predictions per target, which hold the truth.
        column: ``fold`` or ``site``.
        group_of: The same of a patient.
    """
    names = sorted({group_of(patient) for patient in patients})
    spread = {task: _spread(table, column) for task, table in tables.items()}
    return [
        PatientGroup(
            name=name,
            patients=sum(group_of(patient) == name for patient in patients),
            slides=sum(len(patient.slide_ids) for patient in patients if group_of(patient) == name),
            targets={task: values.get(str(name), Spread(n=0)) for task, values in spread.items()},
        )
        for name in names
    ]


def _spread(table: PredictionTable, column: str) -> dict[str, Spread]:
    """What is known of one target's truth, per value of ``column``."""
    first, describe = _describer(table)
    rows: dict[str, list[int]] = {}
    for row, (group, truth) in enumerate(zip(table.texts(column), first, strict=True)):
        if truth:
            rows.setdefault(group, []).append(row)
    return {group: Spread(n=len(found), **describe(found)) for group, found in rows.items()}


def _describer(table: PredictionTable) -> tuple[list[str], Callable[[Sequence[int]], dict[str, Any]]]:
    """The column that tells whether the truth is known, and the description of some rows."""
    kind = table.task.kind
    if table.task.is_classification:
        truth = table.texts("truth")
        return truth, lambda rows: {"classes": _class_counts(table.task, [truth[row] for row in rows])}
    values = table.numbers("event" if kind == "survival" else "truth", missing=True)
    if kind == "survival":
        time = table.texts("time")
        known = [text if math.isfinite(event) else "" for text, event in zip(time, values, strict=True)]
        return known, lambda rows: {"events": int(sum(values[row] == 1 for row in rows))}
    return table.texts("truth"), lambda rows: {
        "mean": float(sum(values[row] for row in rows) / len(rows)),
        "low": float(min(values[row] for row in rows)),
        "high": float(max(values[row] for row in rows)),
    }


def _class_counts(task: Task, truth: Iterable[str]) -> list[ClassCount]:
    found = Counter(truth)
    return [ClassCount(name=name, n=found[name]) for name in task.classes]


# ------------------------------------------------------------------------------ slides


def _slides(run: WholeRun) -> Slides:
    """The slides that were used, and which of them the page shows: spread evenly over the list."""
    used = sorted(
        (slide_id, patient.patient_id) for patient in run.cohort.patients for slide_id in patient.slide_ids
    )
    pictured = [pair for pair in used if run.thumbnail(pair[0]).is_file()]
    count = min(SLIDES_SHOWN, len(pictured))
    shown = [pictured[index * len(pictured) // count] for index in range(count)]
    return Slides(
        used=len(used),
        shown=[ShownSlide(slide_id=slide, patient_id=patient) for slide, patient in shown],
        without_picture=[slide for slide, _ in used if not run.thumbnail(slide).is_file()],
    )


def _tissue(run: WholeRun) -> TissueSection:
    """How much of each slide is tissue, by the maps in the store, and which slides stand out."""
    store = run.facts.store
    patient_of = {slide: patient.patient_id for patient in run.cohort.patients for slide in patient.slide_ids}
    held = [slide for slide in patient_of if map_folder(store, slide).is_dir()]
    shares: list[TissueShare] = []
    problem = unknown_words(len(held), len(patient_of))
    try:
        shares = read_shares(store, held, run.failures)
    except StoreError as error:
        problem = f"The share of tissue is not known: {error.found}"
    outliers = tissue_outliers(shares)
    pictured = [each.slide_id for each in outliers if slide_picture(run, each.slide_id)][:OUTLIERS_SHOWN]
    least_first = sorted(shares, key=lambda each: each.of_cells if each.of_area is None else each.of_area)
    return TissueSection(
        summary=cohort_words(shares),
        problem=problem,
        slides=[
            SlideTissue(
                slide_id=each.slide_id,
                patient_id=patient_of.get(each.slide_id, ""),
                of_area=each.of_area,
                of_cells=each.of_cells,
                cells=each.cells,
                words=each.words(),
            )
            for each in least_first
        ],
        outliers=[
            OutlyingSlide(
                slide_id=each.slide_id,
                patient_id=patient_of.get(each.slide_id, ""),
                kind=each.kind,
                words=each.words,
                pictured=each.slide_id in pictured,
            )
            for each in outliers
        ],
    )


def slide_picture(run: Run, slide_id: str) -> Path | None:
    """The picture of a slide in the run, or in its store, where slides without tissue have one too."""
    places = (run.thumbnail(slide_id), thumbnail_path(run.facts.store, slide_id))
    return next((path for path in places if path.is_file()), None)


def _history(run: WholeRun) -> list[NetworkHistory]:
    """Losses by epoch, one item per network."""
    networks = ["repeat", "fold", "initialisation"]
    ordered = run.history.sort_values([*networks, "epoch"])
    return [
        NetworkHistory(
            repeat=int(repeat),
            fold=int(fold),
            initialisation=int(initialisation),
            **{key: [float(value) for value in rows[key]] for key in CURVES},
            epoch=[int(value) for value in rows["epoch"]],
        )
        for (repeat, fold, initialisation), rows in ordered.groupby(networks)
    ]


def search_rows(search: pd.DataFrame | None) -> list[ChosenSettings]:
    """What each fold chose among the settings that were tried; empty without a search."""
    if search is None:
        return []
    keys = [name for name in search.columns if name not in ("repeat", "fold", "validation_loss", "chosen")]
    tried = len(search[keys].drop_duplicates())
    kept = search[search["chosen"] == 1]
    differ = len(kept[keys].drop_duplicates()) > 1
    return [
        ChosenSettings(
            repeat=int(row["repeat"]),
            fold=int(row["fold"]),
            chosen=", ".join(f"{key} {row[key]}" for key in keys),
            tried=tried,
            differ=differ,
        )
        for row in kept.to_dict("records")
    ]


# ------------------------------------------------------------------------ reproduction


def _commands(run: WholeRun, settings: ReportSettings) -> list[str]:
    """The command lines that lead to this page, with all settings that are not the default."""
    facts = run.facts
    compress = {"encoder": facts.encoder.name, **facts.compress_settings.to_dict(), "out": str(facts.store)}
    given = facts.slides_given
    compress |= {"masks": "MASKS"} if given.masked else {}
    told = [
        compress | {"mpp": mpp, "names": names}
        for mpp, names in product(given.default_mpp or [None], given.names or ["file"])
    ]
    train = run.settings.model_dump(mode="json")
    report = settings.model_dump(mode="json", exclude={"labels", "store"}) | {"run": str(run.settings.out)}
    return [
        *(f"histonic compress {_arguments(CompressSettings, each, 'slides')}" for each in told),
        f"histonic train {_arguments(TrainSettings, train, 'store')}",
        f"histonic report {_arguments(ReportSettings, report, 'run')}",
    ]


def _arguments(model: type[Settings], values: Mapping[str, Any], positional: str) -> str:
    """Settings as a command line; keys that the model lacks, and defaults, are left out."""
    given = values.get(positional) or positional.upper()
    items = [given] if isinstance(given, str) else given
    parts = [shlex.quote(str(item)) for item in items]
    for key, field in fields_of(model).items():
        default = field.get_default(call_default_factory=True)
        if key == positional or values.get(key) is None:
            continue
        inner = values[key]
        if isinstance(default, Settings) and isinstance(inner, Mapping):
            plain = default.model_dump(mode="json")
            for name, value in sorted(inner.items()):
                parts += _option(option_name(model, key, name), value, plain.get(name))
        else:
            # The encoder decides everything, so it is named even where it is the default.
            usual = list(default) if isinstance(default, tuple) else default
            parts += _option(option_name(model, key), inner, None if key == "encoder" else usual)
    return " \\\n  ".join(parts)


def _option(flag: str, value: Any, default: Any) -> list[str]:
    if value is None or value == default:
        return []
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, Mapping):
        value = [f"{name}={item}" for name, item in sorted(value.items())]
    values = value if isinstance(value, (list, tuple)) else [value]
    return [f"{flag} {shlex.quote(str(item))}" for item in values]
