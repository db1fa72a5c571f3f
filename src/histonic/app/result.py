"""Commands on results: report, explain, compare, verify, export, export-onnx."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import answer, answer_failure, settings_command, with_progress

if TYPE_CHECKING:
    from histonic.stages.compare.settings import CompareSettings
    from histonic.stages.exchange.settings import ExportSettings, OnnxSettings
    from histonic.stages.explain.settings import ExplainSettings
    from histonic.stages.report.settings import ReportSettings
    from histonic.stages.verify.settings import VerifySettings


@settings_command("report", "histonic.stages.report.settings:ReportSettings", "run")
def report(settings: ReportSettings) -> int:
    """Write report.html (one file, no network) and report.json into a run, and ordered/TARGET.png.

    The pictures there show the slides in the order of their predicted risk or score.
    """
    from histonic.stages.report.report import write_report

    page = with_progress(write_report, settings)
    click.echo(f"Report: {page}")
    told = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    answer(
        paths={"report": page, "json": page.parent / "report.json"},
        rows=[
            {"target": each["task"]["name"], "patients": each["n"], "leading": number == 0}
            | {name: score[name] for name in ("name", "value", "low", "high", "chance")}
            for each in told["targets"]
            for number, score in enumerate(each.get("scores", ()))
        ],
    )
    return 0


@settings_command("explain", "histonic.stages.explain.settings:ExplainSettings", "run")
def explain(settings: ExplainSettings) -> int:
    """Show what on a slide speaks for a prediction: a number per cell, with checks beside it.

    Writes overlay.png, tiles.png, cells.geojson and tiles.geojson (QuPath), values.zarr and curves.png for
    each target and slide under RUN/explain, from the stored maps. What is there already is kept.
    """
    from histonic.app.explanations import explain_lines
    from histonic.stages.explain.explain import explain as run
    from histonic.stages.explain.record import summary_row

    result = with_progress(run, settings)
    for line in explain_lines(result):
        click.echo(line)
    for target, slide, reason in result.failures:
        answer_failure(slide, target, reason)
    answer(
        paths={"out": result.folder, "summary": result.folder / "summary.csv"},
        numbers={"maps": len(result.records), "failures": len(result.failures)},
        rows=[summary_row(each).to_dict() for each in result.records],
    )
    return 1 if result.failures else 0


@settings_command("compare", "histonic.stages.compare.settings:CompareSettings", "runs")
def compare(settings: CompareSettings) -> int:
    """Compare runs on the patients they share: paired differences with intervals, p-values corrected.

    Prints tables; with --out also writes comparison.md, comparison.csv and comparison.json.
    """
    from histonic.stages.compare.compare import compare_runs

    result = with_progress(compare_runs, settings)
    click.echo(result.markdown())
    answer(paths={"out": settings.out}, numbers={"runs": len(result.runs)}, rows=result.rows())
    if settings.out is not None:
        click.echo(f"Written: {settings.out / 'comparison.json'}, .csv and .md")
    return 0


@settings_command("verify", "histonic.stages.verify.settings:VerifySettings", "paths")
def verify(settings: VerifySettings) -> int:
    """Compare every byte of stores, runs, bundles and encoders with the hashes written with them.

    With --repair, what is damaged and can be made anew is removed: maps (compress makes them again) and
    explanations (explain does). Exit code 1 if something is damaged and still there.
    """
    from histonic.stages.verify.verify import verify as run

    still = 0
    for found in with_progress(run, settings):
        for fault in found.faults:
            still += not fault.was_removed
            done = "removed" if fault.was_removed else "damaged"
            click.echo(f"{done}  {fault.path}  {fault.found} {fault.todo}")
            answer_failure(fault.path, done, f"{fault.found} {fault.todo}")
        click.echo(f"{found.path}: {found.kind}, {found.checked} checked, {len(found.faults)} damaged")
        counts = {"checked": found.checked, "damaged": len(found.faults)}
        answer(rows=[{"path": str(found.path), "kind": found.kind, **counts}])
    answer(numbers={"damaged_still": still})
    return 1 if still else 0


@settings_command("export", "histonic.stages.exchange.settings:ExportSettings", "store")
def export(settings: ExportSettings) -> int:
    """Write the maps of a store as features of TRIDENT, STAMP or CLAM, as AnnData, SpatialData or Parquet."""
    from histonic.stages.exchange.exporting import export_features

    result = with_progress(export_features, settings)
    click.echo(f"{result.out}: {len(result.done)} slides written for {settings.to}")
    answer(paths={"out": result.out}, numbers={"done": len(result.done)})
    return 0


@settings_command("export-onnx", "histonic.stages.exchange.settings:OnnxSettings", "model")
def export_onnx(settings: OnnxSettings) -> int:
    """Write an encoder, or the networks of a bundle or run, as ONNX, compared with onnxruntime."""
    from histonic.stages.exchange.onnx_files import export_onnx as run

    for written in with_progress(run, settings):
        click.echo(f"{written.path}: {written.words}")
        answer(rows=[{"path": str(written.path), "difference": written.difference}])
    return 0
