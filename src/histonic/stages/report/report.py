"""The report of a run: one page that needs no network, and all its numbers as JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import yaml
from jinja2 import Environment
from PIL import Image

from histonic.core.documents import write_document
from histonic.core.files import require_writable_folder, write_text
from histonic.core.progress import Progress, heard, warn
from histonic.core.settings import resolve
from histonic.metrics.inference.scores import Score
from histonic.runs.ordered import FOLDER as ORDERED
from histonic.runs.ordered import draw_ordered, value_name
from histonic.runs.run import Run, read_whole_run
from histonic.stages.report import points
from histonic.stages.report.audit import LEVEL_WORDS, audit_pictures
from histonic.stages.report.cases import page as case_page
from histonic.stages.report.cases import plain
from histonic.stages.report.checklists.writing import write_checklists
from histonic.stages.report.content import ROWS_SHOWN, have_stores, report_content, run_with_store
from histonic.stages.report.document.report import Report
from histonic.stages.report.figures.export import named_pictures, write_figures
from histonic.stages.report.figures.forest import forest_picture
from histonic.stages.report.figures.targets import not_drawn, target_pictures
from histonic.stages.report.figures.training import training_picture
from histonic.stages.report.maps import explanation_pictures
from histonic.stages.report.pdf import find_browser, print_pdf
from histonic.stages.report.settings import ReportKeywords, ReportSettings
from histonic.stages.report.slides import slide_picture
from histonic.stages.report.wording import cohort, details, groups, outcome, words
from histonic.stages.report.wording.pages import template_environment
from histonic.stages.report.wording.terms import RANGES

THUMBNAIL_PX = 380
"""Longer side of a slide's picture on the page; twice what a phone shows of it."""
THUMBNAIL_QUALITY = 70


def write_report(
    settings: ReportSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ReportKeywords],
) -> Path:
    """Write ``report.html`` and ``report.json`` into a finished run.

    The same run and settings give the same bytes. Nothing on the page is loaded from elsewhere. Beside it,
    ``ordered/TARGET.png`` shows the slides in the order of what was predicted of them. On request also
    ``report.pdf``, ``checklist-NAME.html``, ``.csv`` and ``.md``, and every figure with its numbers.

    Args:
        settings: The run, resamples for the intervals, columns of the label table for subgroups and for a
            clinical model, and what else is to be written; None to give them as keywords.
        progress: Advances once per target and per picture.
        **values: Settings by name, such as ``run="run"``.

    Returns:
        Path of ``report.html``.

    Raises:
        RunError: There is no such run, it is not finished, or a file of it is damaged.
        SettingsError: Its label table has moved, or there is no browser to print a PDF.
        TableError: A column or cell of a table of predictions cannot be used, or a column that was asked for
            is absent.
        CohortError: No target can be evaluated.
        OutputError: The folder cannot be written to.
    """
    resolved = resolve(ReportSettings, settings, values)
    listener = heard(progress)
    run = read_whole_run(resolved.run)
    require_writable_folder(run.folder)
    # Before the minutes of the evaluation: whether what was asked for can be written.
    browser = find_browser() if resolved.pdf else None
    if resolved.figures is not None:
        require_writable_folder(resolved.figures)
    have_stores(run_with_store(run, resolved), listener)
    listener.stage("evaluate", len(run.tasks))
    content = report_content(run, resolved, listener)
    moved = run_with_store(run, resolved)
    pictures = _pictures(content, moved, listener)
    page = render_page(content, pictures)
    write_document(run.folder / "report.json", content)
    case_page.write_pages(_environment(), moved, content.cases, content.report.histonic)
    path = run.folder / "report.html"
    write_text(path, page)
    write_checklists(run.folder, content, resolved.checklist)
    if resolved.figures is not None:
        named = named_pictures(
            [target.task.name for target in content.targets],
            {each.name: [target.task.name for target in each.targets] for each in content.external},
            pictures,
        )
        write_figures(resolved.figures, list(named))
    if resolved.pdf:
        print_pdf(path, path.with_suffix(".pdf"), browser)
    for task in run.tasks:
        if value_name(task) in run.tables[task.name].frame.columns:
            draw_ordered(run, task, run.folder / ORDERED / f"{task.name}.png")
    return path


def render_page(content: Report, pictures: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        content: What ``report.json`` holds.
        pictures: ``targets`` (a list of figures per target), ``forests`` (a figure or None per target),
            ``external`` (per cohort a list of figures per target), ``audit`` (a list of figures),
            ``training`` (a figure or None), ``slides`` (a data URI per slide_id), ``explanations`` (overlay
            and tiles per folder), and what the case list needs (``cases``, ``case_pages``, ``script``,
            ``script_hash``).
    """
    listed = case_page.numbers_of(content.cases)
    template = _environment().get_template("report.html.j2")
    return template.render(dict(content), pictures=pictures, numbers_of=listed)


def _environment() -> Environment:
    environment = template_environment()
    environment.filters.update(
        compact=words.compact, counted=lambda count, noun: words.counted(count, noun), yaml=_yaml
    )
    environment.globals.update(words=words, outcome=outcome, cohort_words=cohort, points=points)
    environment.globals.update(group_words=groups, detail_words=details, drawn_words=not_drawn)
    environment.globals.update(
        interval_drawing=interval_drawing, rows_shown=ROWS_SHOWN, audit_levels=LEVEL_WORDS
    )
    environment.globals.update(plain=plain)
    return environment


def interval_drawing(score: Score) -> dict[str, float] | None:
    """Where value, interval and chance lie on a small line, in % of its length.

    Args:
        score: A metric.

    Returns:
        ``value``, ``low``, ``high`` and, if there is one, ``chance``; None if the value is undefined.

    Example:
        >>> interval_drawing(Score("AUROC", 0.75, 0.5, 1.0, chance=0.5, higher_is_better=True))
        {'value': 75.0, 'low': 50.0, 'high': 100.0, 'chance': 50.0}
    """
    if score.value is None:
        return None
    found = {"value": score.value, "low": score.low, "high": score.high, "chance": score.chance}
    marks = {key: mark for key, mark in found.items() if mark is not None}
    ends = RANGES.get(words.base_name(score.name), (0.0, 1.15 * max(marks.values())))
    left, right = min(ends[0], 0.0), ends[1] or 1.0
    return {
        key: round(100 * min(max((mark - left) / (right - left), 0), 1), 2) for key, mark in marks.items()
    }


def _pictures(content: Report, run: Run, progress: Progress) -> dict[str, Any]:
    names = {each.slide_id for each in content.slides.shown}
    names |= {each.slide_id for each in content.tissue.outliers if each.pictured}
    names |= {each.slide_id for each in content.left_out if each.pictured}
    progress.stage("draw", len(content.targets) + len(names))
    figures, forests = [], []
    for target in content.targets:
        figures.append(target_pictures(target))
        forests.append(forest_picture(target))
        progress.advance(note=target.task.name)
    external = [[target_pictures(target) for target in each.targets] for each in content.external]
    slides = {}
    for slide_id in sorted(names):
        slides[slide_id] = _small_picture(run, slide_id, progress)
        progress.advance(note=slide_id)
    pages = case_page.split_pages(content.cases)
    return {
        "targets": figures,
        "audit": audit_pictures(content.audit),
        "forests": forests,
        "external": external,
        "training": training_picture(content.history),
        "slides": slides,
        "explanations": explanation_pictures(run, content.explanations),
        "case_pages": pages,
        "cases": case_page.pictures_of(run, pages[0].cases),
        "script": case_page.script(),
        "script_hash": case_page.script_hash(),
    }


def _small_picture(run: Run, slide_id: str, progress: Progress) -> str:
    """The thumbnail as a small data URI; empty if the file is damaged."""
    buffer = io.BytesIO()
    try:
        with Image.open(slide_picture(run, slide_id) or run.thumbnail(slide_id)) as picture:
            small = picture.convert("RGB")
    except OSError as error:
        warn(progress, f"The picture of slide {slide_id} cannot be read and is left out: {error}")
        return ""
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=True, allow_unicode=True, default_flow_style=False).rstrip()
