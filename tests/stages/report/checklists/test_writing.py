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
from histonic.stages.report.checklists.results import performance
from histonic.stages.report.checklists.writing import STATEMENTS, filled, markdown, write_checklists
from histonic.stages.report.document.report import Report
from histonic.stages.report.document.sections import ChosenSettings
from histonic.stages.report.document.target import ExternalCohort
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings
from histonic.stages.report.wording.cohort import folds_words

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


def with_run(report: Report, **update: object) -> Report:
    return report.model_copy(update={"run": report.run.model_copy(update=update)})


def said(report: Report, *names: str) -> str:
    return " ".join(fact.text for fact in facts_of(report, names))


def test_of_fitted_heads_no_training_in_epochs_is_told(report: Report) -> None:
    names = ("start", "training", "tuning")
    trained, fitted = said(report, *names), said(with_run(report, aggregator="mean"), *names)
    for words in ("random weights", "Learning rate", "when training stopped"):
        assert words in trained and words not in fitted
    assert "training and validation patients together" in fitted and "penalty" in fitted
    row = ChosenSettings(repeat=0, fold=0, chosen="crop_cells 20, aggregator mean", tried=2, differ=True)
    other = row.model_copy(update={"fold": 1, "chosen": "crop_cells 20, aggregator convnet"})
    searched = said(report.model_copy(update={"search": (row, other)}), *names)
    assert "of aggregators without weights the heads were fitted" in searched and "Learning rate" in searched
    assert "Learning rate" not in said(report.model_copy(update={"search": (row,)}), *names)


@pytest.mark.parametrize("split", ["random", "site", "fixed", "given folds"])
def test_the_page_tells_how_heads_were_fitted(report: Report, split: str) -> None:
    trained, fitted = (
        folds_words(with_run(report, split=split, aggregator=name).run, 60, 20) for name in ("convnet", "max")
    )
    assert "training stopped" not in fitted and "fitted to training and validation patients" in fitted
    assert "fitted" not in trained


def test_masks_from_outside_may_be_drawn_by_hand(report: Report) -> None:
    assert "no region chosen by hand" in said(report, "cells") and said(report, "no_judgement")
    given = with_run(report, slides_given=report.run.slides_given.model_copy(update={"masked": True}))
    assert "by hand" not in said(given, "cells") and not said(given, "no_judgement")
    assert "masks from outside" in said(given, "cells")
    tissue = report.run.compress_settings.tissue
    settings = report.run.compress_settings.model_copy(
        update={"tissue": tissue.model_copy(update={"source": "all"})}
    )
    assert "All cells" in said(with_run(report, compress_settings=settings), "cells")


def test_of_groups_only_what_was_computed_is_told(report: Report) -> None:
    msi, survival = report.targets
    text = said(report, "fairness")
    assert text.startswith("Performance by site.")
    assert "missed cases" not in text.partition(f"{survival.label}:")[2]
    bare = tuple(each.model_copy(update={"fairness": None}) for each in (msi, survival))
    assert said(report.model_copy(update={"targets": bare}), "fairness") == "Performance by site."


def test_intervals_are_told_as_they_were_made(report: Report) -> None:
    text = said(report, "intervals")
    for words in ("within folds", "Hazard ratios and tests", "calibration error by simulated outcomes"):
        assert words in text
    msi = report.targets[0].model_copy(update={"crossed": False})
    alone = said(report.model_copy(update={"targets": (msi,)}), "intervals")
    assert "folds" not in alone and "twice" not in alone and "BCa" in alone


def test_few_external_patients_are_told_before_their_number(report: Report) -> None:
    target = report.targets[0].model_copy(update={"n": 12})
    graz = ExternalCohort.model_construct(name="Graz", targets=(target,), overlap=())
    said = performance(report.model_copy(update={"external": (graz,)}))
    assert said.index("Too few to tell: 12 patients") < said.index("in Graz: AUROC")
    assert "Too few" not in performance(report)
