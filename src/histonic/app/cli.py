"""The command line: one command a stage, exit codes, and errors without tracebacks.

Exit codes: 0 all done; 1 done, but slides failed or the doctor found errors; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import click

from histonic.app.options import settings_command
from histonic.app.settings import DemoSettings, DoctorSettings
from histonic.core.errors import HistonicError
from histonic.stages.audit.settings import AuditSettings
from histonic.stages.compare.settings import CompareSettings
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.encoder.settings import ImportSettings, TrainEncoderSettings
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.predict.settings import ExternalSettings, PredictSettings
from histonic.stages.report.settings import ReportSettings
from histonic.stages.tiles.settings import ExtractSettings, MosaicSettings
from histonic.stages.train.settings import TrainSettings
from histonic.stages.transfer.settings import StudyTasksSettings, TransferSettings

# Heavy imports stand inside the commands, so that --help answers at once.


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("histonic"), prog_name="histonic")
def histonic() -> None:
    """Slides and a label table in, a cross-validated patient-level model and a report out."""


@settings_command(histonic, "doctor", DoctorSettings, ("slides",))
def doctor(settings: DoctorSettings) -> int:
    """Open every slide and read every row before any compute, and say what is wrong.

    One line for each slide and each problem. Exit code 1 if anything would fail.
    """
    from histonic.app.doctor import examine
    from histonic.app.progress import TerminalProgress

    with TerminalProgress() as progress:
        findings = examine(settings, progress)
    for finding in findings:
        click.echo(finding.line())
    errors = sum(finding.verdict == "error" for finding in findings)
    warnings = sum(finding.verdict == "warning" for finding in findings)
    click.echo(f"{len(findings) - errors - warnings} ok, {warnings} warning(s), {errors} error(s)")
    return 1 if errors else 0


@settings_command(histonic, "compress", CompressSettings, ("slides",))
def compress(settings: CompressSettings) -> int:
    """Compress slides (files, folders, or a CSV with path, mpp, mask) to maps of codes in a store.

    Finished slides are skipped; the same command resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.compress.compress import compress as run

    with TerminalProgress() as progress:
        result = run(settings, progress=progress)
    click.echo(
        f"{result.store}: {len(result.done)} compressed, {len(result.skipped)} there already, "
        f"{len(result.failures)} failed"
    )
    if result.tiles:
        waiting = 1 - result.encoder_share
        click.echo(
            f"{result.tiles} tiles in {result.seconds:.1f} s ({result.tiles / result.seconds:.0f} tiles/s); "
            f"the encoder worked {result.encoder_share:.0%} of the time, "
            f"{'so it' if waiting < 0.5 else 'so reading'} sets the pace"
        )
    for failure in result.failures:
        click.echo(f"failed  {failure.path}  at {failure.stage}: {failure.reason}")
    return 1 if result.failures else 0


@settings_command(histonic, "train", TrainSettings, ("store",))
def train(settings: TrainSettings) -> int:
    """Cross-validate the slide network by patient on one or several targets at once.

    Writes out-of-fold predictions and a portable bundle. The same command resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.train.train import train_slides

    with TerminalProgress() as progress:
        run = train_slides(settings, progress=progress)
    click.echo(f"{run}: trained; see it with: histonic report {run}")
    return 0


@settings_command(histonic, "train-encoder", TrainEncoderSettings, config_first=True)
def train_encoder(settings: TrainEncoderSettings) -> int:
    """Train a tile encoder: supervised on several tile sets, or unsupervised (VAE, contrastive, BiGAN).

    Tile sets stand in the YAML file under 'sets:', or are given by --tiles and --slides. Writes the encoder
    with a model card. The same command resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.encoder.train import train_encoder as run

    with TerminalProgress() as progress:
        out = run(settings, progress=progress)
    click.echo(f"{out}: trained; use it with: histonic compress --encoder {out / 'encoder.safetensors'}")
    return 0


@settings_command(histonic, "transfer", TransferSettings, config_first=True)
def transfer(settings: TransferSettings) -> int:
    """Compare encoders on tasks that they never saw: train on all tile sets but one, judge on that one.

    Frozen codes with a linear model, fine-tuning, and training from scratch, by several seeds. The YAML file
    lists the tile sets. The same command resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.transfer.transfer import transfer as run

    with TerminalProgress() as progress:
        out = run(settings, progress=progress)
    click.echo(f"Table: {out / 'transfer.md'}, figure: {out / 'transfer.png'}")
    return 0


@settings_command(histonic, "audit", AuditSettings, ("store",))
def audit(settings: AuditSettings) -> int:
    """Look for what but the tissue could explain the labels, before training: copies, site, colour.

    One line a finding; exit code 1 for an error. 'histonic report' looks for the same in a finished run.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.audit.audit import audit as run

    with TerminalProgress() as progress:
        result = run(settings, progress=progress)
    for finding in result.findings:
        click.echo(finding.line())
    tested = [each for each in result.told if each.value is not None]
    alarms = sum(each.alarm for each in tested)
    click.echo(
        f"{result.slides} slides, {len(tested)} confounder(s) tested, {alarms} predict a target; "
        f"{result.count('error')} error(s), {result.count('warning')} warning(s)"
    )
    return 1 if result.count("error") else 0


@settings_command(histonic, "report", ReportSettings, ("run",))
def report(settings: ReportSettings) -> int:
    """Write report.html (one file, no network) and report.json into a run."""
    from histonic.app.progress import TerminalProgress
    from histonic.stages.report.report import write_report

    with TerminalProgress() as progress:
        path = write_report(settings, progress=progress)
    click.echo(f"Report: {path}")
    return 0


@settings_command(histonic, "external", ExternalSettings, ("run", "store"))
def external(settings: ExternalSettings) -> int:
    """Test a finished run on another cohort: its maps in a store, and its label table.

    Writes predictions into RUN/external/NAME; the report scores them under a heading of their own.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.predict.external import external_test

    with TerminalProgress() as progress:
        out = external_test(settings, progress=progress)
    click.echo(f"{out}: predicted; see it with: histonic report {settings.run}")
    return 0


@settings_command(histonic, "explain", ExplainSettings, ("run",))
def explain(settings: ExplainSettings) -> int:
    """Show what on a slide speaks for a prediction: a number per cell, with checks beside it.

    Writes overlay.png, tiles.png, cells.geojson (QuPath), values.zarr and curves.png for each target and
    slide under RUN/explain, from the stored maps. What is there already is kept.
    """
    from histonic.app.explanations import explain_lines
    from histonic.app.progress import TerminalProgress
    from histonic.stages.explain.explain import explain as run

    with TerminalProgress() as progress:
        result = run(settings, progress=progress)
    for line in explain_lines(result):
        click.echo(line)
    return 1 if result.failures else 0


@settings_command(histonic, "compare", CompareSettings, ("runs",))
def compare(settings: CompareSettings) -> int:
    """Compare runs on the patients they share: paired differences with intervals, p-values corrected.

    Prints tables; with --out also writes comparison.md, comparison.csv and comparison.json.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.compare.compare import compare_runs

    with TerminalProgress() as progress:
        result = compare_runs(settings, progress=progress)
    click.echo(result.markdown())
    if settings.out is not None:
        click.echo(f"Written: {settings.out / 'comparison.json'}, .csv and .md")
    return 0


@settings_command(histonic, "predict", PredictSettings, ("bundle", "slides"))
def predict(settings: PredictSettings) -> int:
    """Predict from slide files or maps with one portable bundle."""
    from histonic.app.progress import TerminalProgress
    from histonic.stages.predict.predict import predict as run

    with TerminalProgress() as progress:
        result = run(settings, progress=progress)
    click.echo(f"Predictions: {result.out} ({result.rows} rows)")
    for failure in result.failures:
        click.echo(f"failed  {failure.path}  at {failure.stage}: {failure.reason}")
    return 1 if result.failures else 0


@settings_command(histonic, "demo", DemoSettings)
def demo(settings: DemoSettings) -> int:
    """Simulate a small cohort of slides, then compress, train and report on it; no data needed."""
    from histonic.app.demo import run_demo
    from histonic.app.progress import TerminalProgress

    with TerminalProgress() as progress:
        path = run_demo(settings, progress)
    click.echo(f"Report: {path}")
    return 0


@histonic.group()
def encoder() -> None:
    """Import tile encoders."""


@settings_command(encoder, "import", ImportSettings, ("file",))
def import_(settings: ImportSettings) -> int:
    """Convert a released Keras encoder (.h5) to a safetensors file."""
    from histonic.encoders.networks.released import import_encoder

    imported = import_encoder(settings.file, settings.out)
    spec = imported.spec
    click.echo(
        f"{settings.out}: {spec.name}, {spec.tile_px} px at {spec.mpp} µm/px to {spec.code_size} numbers, "
        f"licence {spec.licence}"
    )
    return 0


@histonic.group()
def study() -> None:
    """Studies of what makes an encoder good."""


@settings_command(study, "tasks", StudyTasksSettings, config_first=True)
def study_tasks(settings: StudyTasksSettings) -> int:
    """Train encoders on 1, 2, 3 ... tile sets and judge each on the sets that it has not seen.

    The YAML file lists the tile sets. The same command resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.transfer.tasks import study_tasks as run

    with TerminalProgress() as progress:
        out = run(settings, progress=progress)
    click.echo(f"Table: {out / 'tasks.md'}, figure: {out / 'tasks.png'}")
    return 0


@histonic.group()
def simulate() -> None:
    """Make slides whose right answer is known."""


@settings_command(simulate, "mosaic", MosaicSettings)
def mosaic(settings: MosaicSettings) -> int:
    """Make slides of real tissue from labelled tiles: needle, fraction, arrangement or survival.

    Test tiles feed test patients only, and no group of tiles is shown in two patients. The same command
    resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.tiles.mosaic import simulate_mosaic

    with TerminalProgress() as progress:
        out = simulate_mosaic(settings, progress=progress)
    click.echo(f"Slides: {out / 'slides'}, labels: {out / 'labels.csv'}")
    return 0


@histonic.group()
def tiles() -> None:
    """Make sets of tiles to train encoders on."""


@settings_command(tiles, "extract", ExtractSettings, ("slides",))
def extract(settings: ExtractSettings) -> int:
    """Cut tiles from slides: labelled by annotations, or from all tissue without labels.

    Annotations are QuPath GeoJSON, ASAP XML or masks of class codes. Writes a folder for each label,
    tiles.csv and set.yaml. The same command resumes after an interruption.
    """
    from histonic.app.progress import TerminalProgress
    from histonic.stages.tiles.extract import extract_tiles

    with TerminalProgress() as progress:
        result = extract_tiles(settings, progress=progress)
    total = sum(result.tiles.values())
    click.echo(
        f"{result.out}: {total} tiles; {len(result.done)} slide(s) cut, {len(result.skipped)} there already, "
        f"{len(result.failures)} failed"
    )
    for label, count in result.tiles.items():
        if label:
            click.echo(f"  {label}: {count}")
    for failure in result.failures:
        click.echo(f"failed  {failure.path}  at {failure.stage}: {failure.reason}")
    return 1 if result.failures else 0


@histonic.command("list")
def list_() -> None:
    """Show readers, encoders and aggregators: what is there, what is missing, what to install."""
    from histonic.app.listing import plugin_lines

    for line in plugin_lines():
        click.echo(line)


def main() -> None:
    """Entry point of the ``histonic`` command."""
    try:
        histonic(standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except HistonicError as error:
        click.echo(f"histonic: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; the same command goes on where it stopped", err=True)
        sys.exit(130)
