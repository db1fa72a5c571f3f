"""Commands on a whole study in one file: init, run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import (
    answer,
    answer_failure,
    settings_command,
    show_failures,
    with_progress,
)

if TYPE_CHECKING:
    from histonic.stages.study.file.settings import InitStudySettings, RunStudySettings


@settings_command("init", "histonic.stages.study.file.settings:InitStudySettings", "file")
def init(settings: InitStudySettings) -> int:
    """Write one commented file for a whole study, after a look at slides and labels.

    FILE is study.yaml by default. What could be filled in is, and comments say why; 'histonic run FILE' does
    the rest.
    """
    from histonic.stages.study.init import init_study

    result = with_progress(init_study, settings)
    for line in result.lines:
        click.echo(line)
    click.echo(f"{result.file}: written; next: histonic run {result.file} --dry-run")
    answer(paths={"study": result.file})
    return 0


@settings_command("run", "histonic.stages.study.file.settings:RunStudySettings", "study", measures=True)
def run(settings: RunStudySettings) -> int:
    """Do a whole study: doctor, compress, audit, train, explain, other cohorts, report.

    Says first what is done already, what will be done, why, and about how long it takes; --dry-run says only
    that. A changed line of STUDY redoes what depends on it, and nothing else; the same command goes on after
    an interruption. Exit code 1 if slides failed or the audit found errors.
    """
    from histonic.stages.study.file.reading import read_study

    read_study(settings.study)  # what is wrong in it is told before all else is imported
    from histonic.stages.study.run import run_study

    result = with_progress(run_study, settings)
    if settings.dry_run:
        for line in result.plan.lines():
            click.echo(line)
        answer(rows=[{"line": line} for line in result.plan.lines()])
        return 0
    code = show_failures(result.failures)
    for target, slide, reason in result.not_explained:
        click.echo(f"failed  {target}  {slide}: {reason}")
        answer_failure(slide, target, reason)
    for line in result.scores:
        click.echo(line)
    answer(
        paths={"out": result.out, "run": result.run, "report": result.report},
        numbers={"audit_errors": result.audit_errors},
        rows=[{"line": line} for line in result.scores],
    )
    if result.audit_errors:
        click.echo(f"The audit found {result.audit_errors} error(s): {result.out / 'audit' / 'audit.csv'}")
    click.echo(f"Report: {result.report}" if result.report else f"Run: {result.run}")
    return 1 if code or result.not_explained or result.audit_errors else 0
