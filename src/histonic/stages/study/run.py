"""A study from its file to its report: what is done and right is kept, what is not is done, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from histonic.core.claims import sole_owner
from histonic.core.documents import read_document
from histonic.core.errors import RunError
from histonic.core.files import output_error, remove, require_writable_folder, set_aside
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.maps.failures import Failure
from histonic.data.maps.store import Store
from histonic.runs.primary import primary_of
from histonic.runs.run import read_facts
from histonic.stages.audit.findings import AuditFile, AuditResult
from histonic.stages.report.document.report import Report
from histonic.stages.study.estimates import train_time
from histonic.stages.study.examining import examine_study, look_for_doctor
from histonic.stages.study.file.commands import run_of, steps_of, store_of, store_of_external
from histonic.stages.study.file.fields import told_by_fields
from histonic.stages.study.file.reading import Study, read_study
from histonic.stages.study.file.settings import RunStudyKeywords, RunStudySettings
from histonic.stages.study.planning import StudyPlan, earlier_results, plan_study, with_precision
from histonic.stages.study.steps.records import read_record
from histonic.stages.study.steps.running import (
    EARLIER,
    StepState,
    drop_explanations,
    drop_report,
    forget,
    look_at,
    run_step,
)
from histonic.stages.study.steps.step import Step


@dataclass
class StudyResult:
    """What a study did.

    Attributes:
        out: Its folder.
        plan: What was done already, and what was to do.
        run: Of the slide networks; None with ``dry_run``.
        report: The page; None with ``dry_run``, or where the study has none.
        scores: A line a target: its leading metric, with the 95 % interval.
        failures: Slides that could not be compressed, of all cohorts.
        not_explained: Target, slide and reason of what could not be explained.
        audit_errors: Errors that the audit found before the training.
        seconds: That it took.
    """

    out: Path
    plan: StudyPlan
    run: Path | None = None
    report: Path | None = None
    scores: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    not_explained: list[tuple[str, str, str]] = field(default_factory=list)
    audit_errors: int = 0
    seconds: float = 0.0


def run_study(
    settings: RunStudySettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[RunStudyKeywords],
) -> StudyResult:
    """Do all that the file of a study says: doctor, compress, audit, train, explain, external, report.

    What is done already is not done again, as long as it was made from the same slides, labels and settings;
    what depends on something that has changed is done anew, and nothing else. Runs and stores that no
    longer fit are kept in ``OUT/earlier`` until a later call with ``clear_earlier=True``. An interrupted
    study goes on with the same call, and ends with the same results as an undisturbed one.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name: ``study="study.yaml"``, ``dry_run=True`` to be told what would be done.

    Raises:
        SettingsError: The file is wrong; line and key are named.
        TableError: The label table is wrong.
        CohortError: The patients cannot be joined or split.
        RunError: Not one slide could be used, or another process works on the study.
        OutputError: The folder of the study cannot be written to.

    Example:
        >>> try:
        ...     run_study(study="nowhere.yaml")
        ... except Exception as error:
        ...     print(error.found)
        No such file or directory.
    """
    resolved = resolve(RunStudySettings, settings, values)
    listener = heard(progress)
    began = time.monotonic()
    study = read_study(resolved.study)
    if resolved.dry_run:
        return StudyResult(study.out, plan_study(study))
    require_writable_folder(study.out)
    with sole_owner(study.out, f"Run the study {study.file}."):
        plan = plan_study(study)
        for line in plan.lines():
            listener.say(line)
        result = StudyResult(study.out, plan, run_of(study))
        earlier = earlier_results(study)  # what this very call replaces is not yet among them
        _run(study, result, listener)
        if resolved.clear_earlier:
            _clear_earlier(study, earlier)
    result.seconds = time.monotonic() - began
    return result


def _run(study: Study, result: StudyResult, progress: Progress) -> None:
    steps = steps_of(study)
    known: StepState | None = None
    for number, step in enumerate(steps, start=1):
        progress.say(f"step {number} of {len(steps)}: {step.words}")
        if step.verb == "doctor":
            with told_by_fields(study.file):
                known = _examine(study, step, steps, progress)
            continue
        if step.verb == "report":
            _drop_unasked(study)
        with told_by_fields(study.file, step.verb, step.title):
            done = _do(study, with_precision(study, step), progress, known)
        known = None
        if step.verb == "audit":
            result.audit_errors = _audit_errors(study, done)
        if step.verb == "explain" and done is not None:
            result.not_explained = list(done.failures)
    for store in (store_of(study), *(store_of_external(study, each.name) for each in study.externals)):
        result.failures += Store.open(store).failures()
    if study.report is not None:
        result.report = run_of(study) / "report.html"
        result.scores = _scores(run_of(study))


def _clear_earlier(study: Study, earlier: Sequence[Path]) -> None:
    for path in earlier:
        try:
            remove(path)
        except OSError as error:
            raise output_error(path, error) from error
    for folder in (study.out / EARLIER / "maps", study.out / EARLIER):
        with suppress(OSError):  # it holds something else, or is not there
            folder.rmdir()


def _do(study: Study, step: Step, progress: Progress, known: StepState | None) -> Any:
    """Do a step if it is not done; what shows its earlier result goes first."""
    state = known or look_at(study.out, step)
    if state.kind != "done" and step.verb in ("explain", "external"):
        drop_report(study.out, run_of(study))
    if state.kind != "done" and step.verb == "train":
        progress.say(f"  {train_time(step.settings, read_record(study.out, step.name)).line()}")
    return run_step(study.out, step, progress, state)


def _examine(study: Study, step: Step, steps: Sequence[Step], progress: Progress) -> StepState:
    """Let the doctor see what he has not seen; where the compression stands, which comes next."""
    compress = next(each for each in steps if each.verb == "compress" and not each.title)
    state = look_at(study.out, compress)
    maps = state.maps
    if maps is None:
        return state
    found = look_for_doctor(study.out, step, maps)
    if found.is_done:
        progress.say("doctor is done already")
        return state
    examine_study(study.out, step, found, progress)
    return state


def _drop_unasked(study: Study) -> None:
    """Take away what the report would show of cohorts and explanations that the study no longer has."""
    run = run_of(study)
    names = {each.name for each in study.externals}
    for folder in sorted((run / "external").glob("*")):
        name = Step(folder.name, "external", {}).name
        record = read_record(study.out, name)
        # A cohort of which there is no record was tested by the single command, and stays.
        if folder.name not in names and record is not None and record.settings.get("name") == folder.name:
            set_aside(folder)
            forget(study.out, name)
    name = Step("", "explain", {}).name
    record = read_record(study.out, name)
    if study.explain is None and record is not None:
        drop_explanations(study.out, record)  # the report makes those that it shows
        forget(study.out, name)


def _audit_errors(study: Study, done: AuditResult | None) -> int:
    if done is not None:
        return done.count("error")
    kept = read_document(AuditFile, study.out / "audit" / "audit.json", RunError, "Delete it.")
    return kept.count("error")


def _scores(run: Path) -> list[str]:
    """The leading metric of each target, as the report has it."""
    report = read_document(Report, run / "report.json", RunError, "Write the report again.")
    leading = {task.name: primary_of(task) for task in read_facts(run).tasks}
    lines = []
    for target in report.targets:
        for score in target.scores:
            if score.name == leading[target.task.name]:
                lines.append(f"{target.task.name}: {score_words(score)}")
    return lines


def score_words(score: Any) -> str:
    """A metric with its interval in words."""
    if score.value is None:
        return f"{score.name} undefined ({score.note})"
    ends = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.name} {score.value:.3f}{ends}"
