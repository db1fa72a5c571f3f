"""Outcomes put together by row and task, and the files that they leave: tables, page, picture, JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import matplotlib
from matplotlib.figure import Figure

from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file, write_csv, write_json, write_text
from histonic.metrics.inference.scores import Score
from histonic.runs.files import versions
from histonic.stages.transfer.tiles.evaluated import Evaluated
from histonic.stages.transfer.tiles.scores import (
    leading_value,
    mean_over_tasks,
    middle,
    resample_leading,
    score_mean,
    score_tiles,
)


class Row(NamedTuple):
    """What the encoders have in common that are put together."""

    encoder: str
    """Name; empty for all that were trained on the same number of sets."""
    mode: str
    """``frozen``, ``mlp``, ``finetuned`` or ``scratch``."""
    sets: int
    """Number of sets, where encoders are put together by it; else 0."""


@dataclass(frozen=True)
class Outcome:
    """One encoder on one task by one seed.

    Attributes:
        encoder: Its short name, or the names of the sets that it was trained on.
        mode: ``frozen``, ``mlp``, ``finetuned`` or ``scratch``.
        seed: Of training and folds.
        label: Settings chosen from the grid; empty if there was no choice.
        evaluated: Predictions of the test tiles.
        sets: Number of sets that it was trained on, where encoders are put together by it; else 0.
    """

    encoder: str
    mode: str
    seed: int
    label: str
    evaluated: Evaluated
    sets: int = 0

    @property
    def row(self) -> Row:
        """Where it stands in the table."""
        return Row("" if self.sets else self.encoder, self.mode, self.sets)

    @property
    def task(self) -> str:
        """Name of the task in results: that of its set, and the label column where a set has several."""
        task, name = self.evaluated.predictions.task.name, self.evaluated.set_name
        return task if task.startswith(name) else f"{name}.{task}"

    @property
    def draws(self) -> int:
        """Seed of the resamples of its test tiles: each set has its own, its tasks share it."""
        return crc32(self.evaluated.set_name.encode())


class Cell:
    """All outcomes of one row on one task.

    Args:
        outcomes: At least one.
        resamples: Of the groups of the test tiles.

    Attributes:
        models: Predictions of each outcome.
        shares: What the codes of each vary with; none where heads were evaluated.
        values: Leading measure of each.
        resampled: Their mean, on the resamples that all encoders share.
    """

    def __init__(self, outcomes: Sequence[Outcome], resamples: int) -> None:
        self.resamples = resamples
        self.task, self.row, self.draws = outcomes[0].task, outcomes[0].row, outcomes[0].draws
        self.models = [each.evaluated.predictions for each in outcomes]
        self.shares = [each.evaluated.shares for each in outcomes if each.evaluated.shares is not None]
        self.values = [leading_value(model) for model in self.models]
        self.resampled = resample_leading(self.models, seed=self.draws, resamples=resamples)

    @cached_property
    def mean(self) -> Score:
        """Their mean, with an interval of its own."""
        return score_mean(self.models, seed=self.draws, resamples=self.resamples)


class Table:
    """Outcomes by row and task, both in the order of their first appearance.

    Args:
        outcomes: All of them.
        resamples: Of the groups of each task's test tiles.

    Raises:
        SettingsError: There is no outcome.
    """

    def __init__(self, outcomes: Sequence[Outcome], resamples: int) -> None:
        if not outcomes:
            raise SettingsError(
                "Evaluate encoders.",
                "None is trained here or given that can be used in one of the 'modes'.",
                "Add to 'encoders', 'variants' or 'modes'.",
            )
        self.outcomes, self.resamples = outcomes, resamples
        together: dict[tuple[str, Row], list[Outcome]] = {}
        for each in outcomes:
            together.setdefault((each.task, each.row), []).append(each)
        self.cells = [Cell(here, resamples) for here in together.values()]
        self.tasks = list(dict.fromkeys(cell.task for cell in self.cells))
        self.rows: dict[Row, dict[str, Cell]] = {}
        for cell in self.cells:
            self.rows.setdefault(cell.row, {})[cell.task] = cell

    def mean(self, row: Row) -> tuple[float, float | None, float | None]:
        """Mean over the tasks of a row, all of equal weight, with the ends of its 95 % interval."""
        over = mean_over_tasks([cell.resampled for cell in self.rows[row].values()])
        return over.value, *middle(over.drawn)

    def outcome_facts(self) -> list[dict[str, Any]]:
        """Plain values of each outcome, for CSV and JSON."""
        return [_outcome_facts(each, self.resamples) for each in self.outcomes]


def _outcome_facts(outcome: Outcome, resamples: int) -> dict[str, Any]:
    predictions = outcome.evaluated.predictions
    first, second = score_tiles(predictions, seed=outcome.draws, resamples=resamples)[:2]
    return {
        "set": outcome.evaluated.set_name,
        "task": outcome.task,
        "encoder": outcome.encoder,
        "mode": outcome.mode,
        "seed": outcome.seed,
        "settings": outcome.label,
        "measure": first.name,
        "score": first.value,
        "low": first.low,
        "high": first.high,
        "second_measure": second.name,
        "second_score": second.value,
        "c": outcome.evaluated.c,
        "class_share": None if outcome.evaluated.shares is None else outcome.evaluated.shares.classes,
        "source_share": None if outcome.evaluated.shares is None else outcome.evaluated.shares.sources,
        "tiles": len(predictions.truth),
        "groups": int(predictions.group.max()) + 1,
    }


def write_results(
    out: Path,
    name: str,
    *,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    page: str,
    facts: Mapping[str, Any],
    size: tuple[float, float],
    draw: Callable[[Figure], None],
) -> None:
    """Write tables, page, picture and JSON.

    Args:
        out: Folder.
        name: Of the page, the picture and the JSON.
        tables: Name of a CSV file -> its rows, all with the same keys.
        page: Markdown.
        facts: Plain values for the JSON.
        size: Of the picture, width and height in inches.
        draw: Draws the picture.

    Raises:
        OutputError: They cannot be written.
    """
    for table, rows in tables.items():
        write_csv(out / f"{table}.csv", list(rows[0]), rows)
    write_text(out / f"{name}.md", page)
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        with replacing_file(out / f"{name}.png") as partial:
            # Without the library's version in it, the same numbers give the same bytes.
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    write_json(out / f"{name}.json", {"versions": versions(), **facts})


def markdown(title: str, words: str, head: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> str:
    """A page: what is shown, the table, and what is to be known of it."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n\n".join([f"# {title}", words, "\n".join(lines), *notes]) + "\n"
