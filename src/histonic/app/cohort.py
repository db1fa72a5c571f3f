"""Commands before any training: doctor, convert, compress, import, project, audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from histonic.app.terminal.command import answer, settings_command, show_failures, with_progress

if TYPE_CHECKING:
    from histonic.data.maps.shares import TissueOutlier
    from histonic.stages.audit.settings import AuditSettings
    from histonic.stages.compress.plan import CompressPlan
    from histonic.stages.compress.settings import CompressSettings
    from histonic.stages.convert.settings import ConvertSettings
    from histonic.stages.doctor.settings import DoctorSettings
    from histonic.stages.exchange.settings import ImportFeaturesSettings
    from histonic.stages.project.settings import ProjectSettings


@settings_command("doctor", "histonic.stages.doctor.settings:DoctorSettings", "slides")
def doctor(settings: DoctorSettings) -> int:
    """Open every slide and read every row before any compute, and say what is wrong.

    One line for each slide and each problem, and a warning for slides whose share of tissue stands out.
    --preview draws the tissue. Exit code 1 if anything would fail.
    """
    from histonic.stages.doctor.doctor import doctor as run

    result = with_progress(run, settings)
    for finding in result:
        click.echo(finding.line())
    click.echo(result.summary)
    answer(
        paths={"preview": settings.preview},
        numbers={
            severity: sum(line.severity == kind for line in result)
            for severity, kind in (("ok", "ok"), ("warnings", "warning"), ("errors", "error"))
        },
        rows=[vars(finding) for finding in result],
    )
    return 0 if result.ok else 1


@settings_command("convert", "histonic.stages.convert.settings:ConvertSettings", "slides")
def convert(settings: ConvertSettings) -> int:
    """Write slides and pictures as pyramidal OME-TIFF that OpenSlide and QuPath open.

    Finished files are skipped; the same command resumes after an interruption.
    """
    from histonic.stages.convert.convert import convert as run

    result = with_progress(run, settings)
    click.echo(
        f"{result.out}: {len(result.done)} converted, {len(result.skipped)} there already, "
        f"{len(result.failures)} failed"
    )
    answer(paths={"out": result.out}, numbers=_counts(result))
    return show_failures(result.failures)


@settings_command("compress", "histonic.stages.compress.settings:CompressSettings", "slides", measures=True)
def compress(settings: CompressSettings) -> int:
    """Compress slides (files, folders, or a CSV with path, mpp, mask) to maps of codes in a store.

    Finished slides are skipped; the same command resumes after an interruption. At the end slides are named
    whose share of tissue stands out; look at them. --dry-run says what would be done, --limit tries a few.
    """
    from histonic.data.maps.shares import SHARES_FILE, cohort_words, quality_words
    from histonic.stages.compress.compress import compress as run

    result = with_progress(run, settings)
    shares = f"{result.store}/{SHARES_FILE}"
    if result.plan is not None:
        return _show_plan(result.plan)
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
    if result.enlarged:
        most = max(result.enlarged.values())
        click.echo(
            f"{len(result.enlarged)} slide(s) are coarser than the encoder's tiles and were enlarged, "
            f"at most {most:.3g} times: no finer detail than their own"
        )
    rate = result.tiles / result.seconds if result.tiles else None
    answer(
        paths={"store": str(result.store), "tissue": shares if result.shares else None},
        numbers={
            **_counts(result),
            "tiles": result.tiles,
            "seconds": round(result.seconds, 3),
            "tiles_per_second": rate,
            "encoder_share": result.encoder_share,
            "enlarged": len(result.enlarged),
        },
        rows=[vars(each) for each in result.outliers],
    )
    if words := cohort_words(result.shares):
        click.echo(f"{words} Of each: {shares}")
    if words := quality_words(result.shares):
        click.echo(words)
    _show_outliers(result.outliers)
    if result.done:
        click.echo(
            f"For a first look: histonic train {result.store} --labels TABLE --target NAME --out RUN --quick"
        )
    return show_failures(result.failures)


@settings_command("import", "histonic.stages.exchange.settings:ImportFeaturesSettings", "folder")
def import_(settings: ImportFeaturesSettings) -> int:
    """Make a store of features that another tool extracted: TRIDENT, CLAM, STAMP, slide2vec and others.

    No slide and no encoder is needed. Finished slides are skipped; the same command resumes after an
    interruption. Exit code 1 if a slide failed.
    """
    from histonic.stages.exchange.importing import import_features

    result = with_progress(import_features, settings)
    if result.encoder is not None:
        spec = result.encoder.spec
        click.echo(f"Encoder: {spec.name}, {spec.code_size} numbers ({spec.provenance})")
    click.echo(
        f"{result.store}: {len(result.done)} imported from {result.tool}, "
        f"{len(result.skipped)} there already, {len(result.failures)} failed"
    )
    answer(
        paths={"store": result.store},
        numbers={**_counts(result), "tiles": result.tiles, "dropped": result.dropped},
    )
    if result.moved:
        click.echo(
            f"Of {len(result.moved)} slide(s) tiles lie on several lattices and were moved to the nearest "
            f"cell; {result.dropped} tile(s) were dropped"
        )
    return show_failures(result.failures)


@settings_command("project", "histonic.stages.project.settings:ProjectSettings", "store")
def project(settings: ProjectSettings) -> int:
    """Make the codes of a store shorter by a projection, without reading any slide.

    The encoder is one of 'histonic encoder train' with --objective components or --freeze-trunk; finished
    maps are skipped, and the same command resumes after an interruption.
    """
    from histonic.stages.project.project import project as run

    result = with_progress(run, settings)
    click.echo(
        f"{result.store}: {len(result.done)} projected ({result.cells} cells), "
        f"{len(result.skipped)} there already"
    )
    answer(
        paths={"store": result.store},
        numbers={"done": len(result.done), "skipped": len(result.skipped), "cells": result.cells},
    )
    return 0


def _counts(result: Any) -> dict[str, float | None]:
    return {name: len(getattr(result, name)) for name in ("done", "skipped", "failures")}


def _show_plan(plan: CompressPlan) -> int:
    """Print a line for each slide, then what would be done in all; the exit code."""
    for line in (*(slide.line() for slide in plan.slides), *plan.lines()):
        click.echo(line)
    _show_outliers(plan.outliers)
    answer(
        paths={"store": str(plan.store)},
        numbers={
            **{state.replace(" ", "_"): plan.count(state) for state in ("to do", "there", "fails")},
            "cells": plan.cells,
            "seconds": plan.seconds,
            "bytes": plan.bytes,
            "free_bytes": plan.free_bytes,
        },
        rows=[
            {"slide_id": each.slide_id, "path": each.path, "state": each.state, "reason": each.reason}
            for each in plan.slides
        ],
    )
    return 1 if plan.count("fails") else 0


def _show_outliers(outliers: Sequence[TissueOutlier]) -> None:
    for each in outliers:
        click.echo(f"look at  {each.slide_id}  {each.words}")


@settings_command(
    "audit",
    "histonic.stages.audit.settings:AuditSettings",
    "store",
    absent="histonic.app.terminal.targets:absent_target",
)
def audit(settings: AuditSettings) -> int:
    """Look for what but the tissue could explain the labels, before training: copies, site, colour.

    One line a finding; exit code 1 for an error. 'histonic report' looks for the same in a finished run.
    """
    from histonic.stages.audit.audit import audit as run

    result = with_progress(run, settings)
    for finding in result.findings:
        click.echo(finding.line())
    tested = [each for each in result.confounders if each.value is not None]
    alarms = sum(each.alarm for each in tested)
    click.echo(
        f"{result.slides} slides, {len(tested)} confounder(s) tested, {alarms} predict a target; "
        f"{result.count('error')} error(s), {result.count('warning')} warning(s)"
    )
    answer(
        paths={"out": result.out},
        numbers={
            "slides": result.slides,
            "tested": len(tested),
            "alarms": alarms,
            "errors": result.count("error"),
            "warnings": result.count("warning"),
        },
        rows=[vars(finding) for finding in result.findings],
    )
    return 1 if result.count("error") else 0
