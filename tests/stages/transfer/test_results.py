"""Outcomes are put together by row and task, and constant predictions are as good as chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.stages.transfer.results import Outcome, Row, Table, markdown, write_results
from histonic.stages.transfer.table import compare_rows, draw, render
from histonic.stages.transfer.tiles.evaluated import Evaluated
from histonic.stages.transfer.tiles.scores import TilePredictions

VALUE = Task("age", "regression", ("label",))


def outcome(encoder: str, slope: float, seed: int = 0, sets: int = 0, name: str = "age") -> Outcome:
    truth = np.arange(24.0)
    predictions = TilePredictions(VALUE, truth, (slope * truth)[:, None], np.arange(24) // 2)
    return Outcome(encoder, "frozen", seed, "", Evaluated(name, predictions, 1.0), sets)


def test_rows_are_encoders_or_numbers_of_sets() -> None:
    outcomes = [
        outcome("given", 1.0),
        outcome("a", 1.0, sets=1),
        outcome("b", -1.0, sets=1),
        outcome("a,b", 1.0, sets=2),
    ]
    table = Table(outcomes, 100)
    assert list(table.rows) == [Row("given", "frozen", 0), Row("", "frozen", 1), Row("", "frozen", 2)]
    assert table.rows[Row("", "frozen", 1)]["age"].values == [1.0, -1.0]
    assert [table.mean(row)[0] for row in table.rows] == [1.0, 0.0, 1.0]
    assert [each["encoder"] for each in table.outcome_facts()] == ["given", "a", "b", "a,b"]


def test_no_outcome_is_refused() -> None:
    with pytest.raises(SettingsError, match="None is trained here or given"):
        Table([], 100)


def test_constant_predictions_are_as_good_as_chance(tmp_path: Path) -> None:
    table = Table([outcome("one", 1.0), outcome("flat", 0.0)], 100)
    differences = compare_rows(table)
    assert differences[0]["difference"] == 1.0 and differences[0]["p"] is None
    assert table.mean(Row("flat", "frozen", 0)) == (0.0, None, None)
    write_results(
        tmp_path,
        "flat",
        tables={"flat": table.outcome_facts()},
        page=render(table, differences, 1, "one"),
        facts={"differences": differences},
        size=(4, 3),
        draw=lambda figure: draw(table, figure),
    )
    assert "| flat | frozen, linear model | undefined |" in (tmp_path / "flat.md").read_text()
    assert json.loads((tmp_path / "flat.json").read_text())["differences"] == differences
    assert (tmp_path / "flat.png").is_file()


def test_a_page_by_hand() -> None:
    page = markdown("Title", "Words.", ("a", "b"), [("1", "")], "Note.")
    assert page == "# Title\n\nWords.\n\n| a | b |\n| --- | --- |\n| 1 |  |\n\nNote.\n"
