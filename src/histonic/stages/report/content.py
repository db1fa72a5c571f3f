"""All that the report says: the page and report.json are made from the same values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from histonic.core.errors import CohortError, StoreError
from histonic.core.progress import Progress
from histonic.core.task import Coding
from histonic.data.maps.remote.opening import have_copy
from histonic.runs.documents import RunDocument
from histonic.runs.predictions import PredictionTable
from histonic.runs.repeats import split_repeats
from histonic.runs.run import External, WholeRun
from histonic.stages.audit.findings import Finding
from histonic.stages.evaluate.chance import Verdict, judge
from histonic.stages.evaluate.curves import Curves
from histonic.stages.evaluate.evaluate import evaluate_target
from histonic.stages.evaluate.groups import site_grouping
from histonic.stages.evaluate.site_intervals import site_intervals
from histonic.stages.report.audit import audit_content
from histonic.stages.report.cases.content import list_cases
from histonic.stages.report.commands import command_lines
from histonic.stages.report.details import read_patient_facts, with_details, with_external_details
from histonic.stages.report.document.report import Making, Report
from histonic.stages.report.document.target import ExternalCohort, Target
from histonic.stages.report.evidence import evidence_of, groups_of
from histonic.stages.report.folds import patient_groups
from histonic.stages.report.maps import explained_places, report_explanations
from histonic.stages.report.points import describe_points
from histonic.stages.report.settings import ReportSettings
from histonic.stages.report.slides import left_out_slides, shown_slides, slides_by_site, tissue_section
from histonic.stages.report.training import network_histories, search_rows
from histonic.stages.report.wording import cohort, words

SEED = 0
"""Of the resamples for the intervals; fixed, so that the same run gives the same page."""


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
    about = read_patient_facts(run, settings)
    targets = []
    for task in run.tasks:
        found = target_of(full[task.name], resamples, run.facts, alone=len(run.tasks) == 1)
        target = _with_coding(found, run.facts.codings.get(task.name))
        target = evidence_of(full[task.name], target, about, resamples, SEED, run.training(task))
        target = _by_sites(target, full[task.name], settings)
        targets.append(with_details(target, full[task.name], about, run, SEED))
        progress.advance(note=task.name)
    facts = run.facts
    moved = run_with_store(run, settings)
    audited = audit_content(moved, progress)
    tissue, explanations = tissue_section(moved), report_explanations(moved, progress)
    content = Report(
        report=Making(histonic=version("histonic"), resamples=resamples, seed=SEED),
        summary=cohort.opening(run.cohort.counts, [target.label for target in targets], facts),
        run=facts,
        settings=run.settings.model_dump(mode="json"),
        counts=run.cohort.counts,
        exclusions=run.cohort.exclusions,
        targets=_judged(targets),
        audit=audited,
        external=[
            _external(external, run, settings, _overlap(external.facts.name, audited.findings))
            for external in run.externals
        ],
        tested=len(patients),
        without_part=sum(bool(each.unused_in) for each in run.cohort.patients),
        search=search_rows(run.search),
        # Of several repeats the first.
        folds=patient_groups(patients, tables, "fold", lambda patient: patient.tested_in[0][1]),
        sites=patient_groups(patients, tables, "site", lambda patient: patient.site),
        slides=shown_slides(run),
        tissue=tissue,
        site_slides=slides_by_site(moved),
        left_out=left_out_slides(moved),
        failures=run.failures,
        history=network_histories(run),
        commands=command_lines(run, settings),
        explanations=explanations,
        cases=list_cases(moved, tissue.share_of(), explained_places(moved, explanations)),
    )
    return Report.model_validate(_plain(content.model_dump(by_alias=True)))


def run_with_store(run: WholeRun, settings: ReportSettings) -> WholeRun:
    """The run with the store where it lies now, if the settings say so."""
    if settings.store is None:
        return run
    return replace(run, facts=run.facts.model_copy(update={"store": settings.store}))


def have_stores(run: WholeRun, progress: Progress) -> None:
    """Bring the copies of remote stores up to date, as far as these can be reached."""
    cohorts = [(run.facts.store, [name for each in run.cohort.patients for name in each.slide_ids])]
    cohorts += [
        (each.facts.store, [name for patient in each.facts.patients for name in patient.slide_ids])
        for each in run.externals
    ]
    for store, names in cohorts:
        slides = [name for name in names if not run.thumbnail(name).is_file()]
        try:
            have_copy(store, pictures=[*slides, *(each.slide_id for each in run.failures)])
        except StoreError as error:
            progress.say(f"the store {store} cannot be read, the report does without it: {error.reason}")


def _plain(value: Any) -> Any:
    """The value with None for what JSON cannot say (NaN, infinity)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _by_sites(
    target: Target,
    table: PredictionTable,
    settings: ReportSettings,
    reference: PredictionTable | None = None,
) -> Target:
    """The target with intervals by resampling sites, if they were asked for."""
    if target.problem or not settings.site_intervals:
        return target
    found = site_intervals(table, resamples=settings.resamples, seed=SEED, reference=reference)
    return target.model_copy(update={"by_sites": found})


def _external(
    external: External, run: WholeRun, settings: ReportSettings, overlap: Sequence[str]
) -> ExternalCohort:
    """A cohort from elsewhere, its targets evaluated by what was fitted to the run's own patients."""
    targets, resamples = [], settings.resamples
    for name, table in external.tables.items():
        target = target_of(table, resamples, run.facts, alone=False, reference=run.tables[name])
        sites = site_grouping(table)
        if sites and not target.problem:
            groups = groups_of(table, {"site": sites}, resamples, SEED)
            target = target.model_copy(update={"groups": groups})
        target = _by_sites(target, table, settings, run.tables[name])
        target = with_external_details(target, table, run.tables[name], SEED)
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


def target_of(
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
