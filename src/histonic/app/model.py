"""Commands that make models of slides and use them: train, external, predict, recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import settings_command, show_failures, with_progress

if TYPE_CHECKING:
    from histonic.stages.predict.settings import ExternalSettings, PredictSettings
    from histonic.stages.study.frame.settings import RecipeSettings
    from histonic.stages.train.settings import TrainSettings


@settings_command("train", "histonic.stages.train.settings:TrainSettings", "store")
def train(settings: TrainSettings) -> int:
    """Cross-validate the slide network by patient on one or several targets at once.

    Writes out-of-fold predictions and a portable bundle. The same command resumes after an interruption.
    """
    from histonic.runs.documents import FIRST_LOOK
    from histonic.stages.train.train import train_slides

    run = with_progress(train_slides, settings)
    click.echo(f"{run}: trained; see it with: histonic report {run}")
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
    return 0


@settings_command("predict", "histonic.stages.predict.settings:PredictSettings", "bundle", "slides")
def predict(settings: PredictSettings) -> int:
    """Predict from slide files or maps with one portable bundle."""
    from histonic.stages.predict.predict import predict as run

    result = with_progress(run, settings)
    click.echo(f"Predictions: {result.out} ({result.rows} rows)")
    return show_failures(result.failures)


@settings_command("recipe", "histonic.stages.study.frame.settings:RecipeSettings", "name", "data")
def recipe(settings: RecipeSettings) -> int:
    """Follow a public challenge from the organisers' files to a submission or a score.

    NAME is the challenge, DATA the folder of its files. Says what was recognised, missing, doubled and extra,
    writes tables and settings into --out, and prints the commands; --run runs them, --check only looks.
    """
    from histonic.stages.study.recipe import recipe as run

    result = with_progress(run, settings)
    for line in result.outcome.lines if settings.run else result.commands:
        click.echo(line)
    if settings.check:
        click.echo("checked; nothing was written")
    return 0
