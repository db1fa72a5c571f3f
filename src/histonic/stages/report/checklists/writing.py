"""Filled checklists as HTML, and as CSV and Markdown that word processors take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from histonic.core.files import csv_text, write_text
from histonic.stages.report.checklists.claim import CLAIM
from histonic.stages.report.checklists.facts import facts_of
from histonic.stages.report.checklists.item import Statement
from histonic.stages.report.checklists.remark import REMARK
from histonic.stages.report.checklists.stard_ai import STARD_AI
from histonic.stages.report.checklists.tripod_ai import TRIPOD_AI
from histonic.stages.report.document.report import Report
from histonic.stages.report.wording.pages import template_environment

STATEMENTS = {each.key: each for each in (TRIPOD_AI, CLAIM, STARD_AI, REMARK)}
AUTHORS = "Authors to supply"
COLUMNS = ("item", "section", "topic", "known from the run", "where it stands", "authors to supply")


class Row(NamedTuple):
    """One item, filled in as far as the run knows."""

    number: str
    section: str
    topic: str
    known: str
    where: tuple[str, ...]
    """Places of report.html."""
    rest: str
    """What is left to the authors; empty if nothing."""


def filled(statement: Statement, report: Report) -> list[Row]:
    """The items of a statement with what the run knows.

    Args:
        statement: The checklist.
        report: The content of the report.
    """
    rows = []
    for item in statement.items:
        facts = facts_of(report, item.facts)
        known = " ".join(fact.text for fact in facts)
        places = tuple(dict.fromkeys(f"report.html{fact.where}" for fact in facts))
        rest = item.rest if known or not item.facts else item.rest or item.topic
        rows.append(Row(item.number, item.section, item.topic, known, places, rest))
    return rows


def write_checklists(folder: Path, report: Report, names: Sequence[str]) -> list[Path]:
    """Write ``checklist-NAME.html``, ``.csv`` and ``.md`` beside the report.

    Args:
        folder: The run.
        report: The content of the report.
        names: Of :data:`STATEMENTS`.

    Returns:
        The HTML pages.

    Raises:
        OutputError: A file cannot be written.
    """
    template = template_environment().get_template("checklist.html.j2")
    written = []
    for name in dict.fromkeys(names):
        statement = STATEMENTS[name]
        rows = filled(statement, report)
        base = folder / f"checklist-{name}"
        known = sum(bool(row.known) for row in rows)
        whole = sum(bool(row.known) and not row.rest for row in rows)
        page = template.render(
            statement=statement, rows=rows, known=known, whole=whole, version=report.report.histonic
        )
        write_text(base.with_suffix(".html"), page)
        cells = [(r.number, r.section, r.topic, r.known, "; ".join(r.where), r.rest) for r in rows]
        write_text(base.with_suffix(".csv"), csv_text(COLUMNS, cells))
        write_text(base.with_suffix(".md"), markdown(statement, rows))
        written.append(base.with_suffix(".html"))
    return written


def markdown(statement: Statement, rows: Sequence[Row]) -> str:
    """A table that pandoc and word processors turn into one of theirs.

    Args:
        statement: The checklist.
        rows: Its filled items.
    """
    lines = [f"# {statement.name}: items filled in by histonic", "", f"Statement: {statement.source}."]
    lines += ["", statement.note] if statement.note else []
    lines += [
        "",
        "| Item | Topic | Known from the run | Where | Authors to supply |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (row.number or "–", row.topic, row.known or "–", ", ".join(row.where) or "–", row.rest or "–")
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
