"""Checklists of a made-up run: what is filled in is in the report, the rest is left to the authors."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from histonic.core.documents import read_document
from histonic.core.errors import TableError
from histonic.core.task import Task
from histonic.stages.report.checklists.facts import FACTS, facts_of
from histonic.stages.report.checklists.writing import STATEMENTS, filled, markdown, write_checklists
from histonic.stages.report.document.report import Report
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings

MSI = Task("msi", "binary", ("msi",), ("stable", "instable"))
SURVIVAL = Task("overall_survival", "survival", ("os_months", "os_event"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Path]) -> Path:
    folder = make_run(tmp_path_factory.mktemp("checklists") / "run", [MSI, SURVIVAL], pictures=False)
    write_report(ReportSettings(run=folder, resamples=100, checklist=("tripod-ai",)))
    return folder


@pytest.fixture(scope="module")
def report(run: Path) -> Report:
    return read_document(Report, run / "report.json", TableError, "Write it again.")


def test_the_numbers_are_those_of_the_statements() -> None:
    """Counted by hand in the statements: items of TRIPOD+AI with their letters, CLAIM, STARD 2015, REMARK."""
    numbers = {key: [item.number for item in each.items if item.number] for key, each in STATEMENTS.items()}
    assert {re.match(r"\d+", each).group() for each in numbers["tripod-ai"]} == set(map(str, range(1, 28)))  # type: ignore[union-attr]
    assert len(numbers["tripod-ai"]) == 52
    assert numbers["claim"] == list(map(str, range(1, 45)))
    assert {re.match(r"\d+", each).group() for each in numbers["stard-ai"]} == set(map(str, range(1, 31)))  # type: ignore[union-attr]
    assert numbers["remark"] == list(map(str, range(1, 21)))
    assert all(len(set(each)) == len(each) for each in numbers.values())


def test_every_question_has_an_answer_and_every_answer_a_question() -> None:
    asked = {fact for each in STATEMENTS.values() for item in each.items for fact in item.facts}
    assert asked == set(FACTS)
    for each in STATEMENTS.values():
        assert all(item.facts or item.rest for item in each.items), each.name


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_is_known_is_filled_in_and_the_rest_is_the_authors(name: str, report: Report, run: Path) -> None:
    rows = filled(STATEMENTS[name], report)
    assert all(row.known or row.rest for row in rows)
    assert all(row.where if row.known else not row.where for row in rows)
    ids = re.findall(r'id="([^"]+)"', (run / "report.html").read_text(encoding="utf-8"))
    for place in (place for row in rows for place in row.where):
        assert place.removeprefix("report.html#") in ids
    assert not any("None" in row.known or "{" in row.known for row in rows)


def test_performance_and_flow_are_those_of_the_report(report: Report) -> None:
    (performance,) = facts_of(report, ["performance"])
    for target in report.targets:
        assert f"{target.scores[0].value:.2f}" in performance.text
    (flow,) = facts_of(report, ["flow"])
    assert f"{report.counts.patients_used} used" in flow.text
    (events,) = facts_of(report, ["events"])
    assert "events in 60 patients" in events.text and "“instable”" in events.text


def test_files_can_be_read_elsewhere(report: Report, tmp_path: Path) -> None:
    pages = write_checklists(tmp_path, report, ["remark", "claim", "remark"])
    assert [page.name for page in pages] == ["checklist-remark.html", "checklist-claim.html"]
    with (tmp_path / "checklist-claim.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows] == list(map(str, range(1, 45)))
    lines = (tmp_path / "checklist-claim.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 46 and all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in table)
    page = pages[0].read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page and "<script" not in page and "://" not in page


def test_bars_in_names_do_not_break_the_table(report: Report) -> None:
    text = markdown(STATEMENTS["remark"], filled(STATEMENTS["remark"], report)[:1])
    row = filled(STATEMENTS["remark"], report)[0]._replace(known="a|b\nc")
    assert "a\\|b c" in markdown(STATEMENTS["remark"], [row]) and text.count("\n| ") == 3


def test_the_report_writes_them(run: Path) -> None:
    assert (run / "checklist-tripod-ai.html").is_file() and (run / "checklist-tripod-ai.md").is_file()
