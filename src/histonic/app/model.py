"""Commands that make models of slides and use them: train, external, predict, recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import answer, settings_command, show_failures, with_progress

if TYPE_CHECKING:
    from histonic.stages.predict.settings import ExternalSettings, PredictSettings
    from histonic.stages.study.frame.settings import RecipeSettings
    from histonic.stages.train.settings import TrainSettings


@settings_command(
    "train",
    "histonic.stages.train.settings:TrainSettings",
    "store",
    measures=True,
    absent="histonic.app.terminal.targets:absent_target",
)
def train(settings: TrainSettings) -> int:
    """Cross-validate the slide network by patient on one or several targets at once.

    Writes out-of-fold predictions and a portable bundle. The same command resumes after an interruption.
    """
    from histonic.runs.documents import FIRST_LOOK
    from histonic.runs.run import read_cohort, read_facts
    from histonic.stages.train.train import train_slides

    run = with_progress(train_slides, settings)
    click.echo(f"{run}: trained; see it with: histonic report {run}")
    facts, cohort = read_facts(run), read_cohort(run)
    answer(
        paths={"run": run, "bundle": run / "bundle", "predictions": run / "predictions"},
        numbers={
            "patients": len(cohort.patients),
            "slides": sum(len(each.slide_ids) for each in cohort.patients),
            "excluded": len(cohort.exclusions),
            "folds": facts.folds,
            "repeats": facts.repeats,
            "initialisations": facts.initialisations,
        },
        rows=[{"target": task.name, "kind": task.kind} for task in facts.tasks],
    )
    if settings.quick:
        click.echo(f"{FIRST_LOOK} For those: the same command without --quick, into another --out.")
    return 0


@settings_command("external", "histonic.stages.predict.settings:ExternalSettings", "run", "store")
def external(settings: ExternalSettings) -> int:
    """Test a finished run on another cohort: its maps in a store, and its label table.

    Writes predictions into RUN/external/NAME; the report scores them under a heading of their own.
    """
    from histonic.stages.predict.external import external_test

    out = with_progress(external_test, settings)
    click.echo(f"{out}: predicted; see it with: histonic report {settings.run}")
    answer(paths={"out": out, "run": settings.run})
    return 0


@settings_command("predict", "histonic.stages.predict.settings:PredictSettings", "bundle", "slides")
def predict(settings: PredictSettings) -> int:
    """Predict from slide files or maps with one portable bundle."""
    from histonic.stages.predict.predict import predict as run

    result = with_progress(run, settings)
    click.echo(f"Predictions: {result.out} ({result.rows} rows)")
    answer(paths={"predictions": result.out}, numbers={"rows": result.rows})
    return show_failures(result.failures)


@settings_command(
    "recipe", "histonic.stages.study.frame.settings:RecipeSettings", "name", "data", measures=True
)
def recipe(settings: RecipeSettings) -> int:
    """Follow a public challenge from the organisers' files to a submission or a score.

    NAME is the challenge, DATA the folder of its files. Says what was recognised, missing, doubled and extra,
    writes tables and settings into --out, and prints the commands; --run runs them, --check only looks.
    """
    from histonic.stages.study.recipe import recipe as run

    result = with_progress(run, settings)
    for line in result.outcome.lines if settings.run else result.commands:
        click.echo(line)
    answer(
        paths={each.name: each for each in result.outcome.files},
        rows=[{"command": each} for each in result.commands],
    )
    if settings.check:
        click.echo("checked; nothing was written")
    return 0
