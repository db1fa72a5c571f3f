"""The table, the figure and the files that the transfer protocol leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from zlib import crc32

import matplotlib
import numpy as np
import yaml
from matplotlib.figure import Figure

from histonic.core.files import replacing_file, write_csv, write_json, write_text
from histonic.metrics.inference.scores import Score
from histonic.runs.files import versions
from histonic.stages.transfer.judge import Judged
from histonic.stages.transfer.scores import (
    Resampled,
    TilePredictions,
    beyond_two_sd,
    compare_resampled,
    mean_over_tasks,
    middle,
    resample_leading,
    score_mean,
    score_tiles,
)
from histonic.stages.transfer.settings import JudgeSettings, TransferSettings

COLUMNS = [
    *("set", "task", "encoder", "mode", "seed", "settings", "measure", "score", "low", "high"),
    *("second_measure", "second_score", "c", "tiles", "groups"),
]
MEAN = "mean of tasks"
MODE_WORDS = {"frozen": "frozen, linear model", "finetuned": "fine-tuned", "scratch": "from scratch"}


@dataclass(frozen=True)
class Outcome:
    """One encoder on one task by one seed.

    Attributes:
        encoder: Its short name.
        mode: ``frozen``, ``finetuned`` or ``scratch``.
        seed: Of training and folds.
        label: Settings chosen from the grid; empty if there was no choice.
        judged: Predictions of the test tiles.
    """

    encoder: str
    mode: str
    seed: int
    label: str
    judged: Judged

    @property
    def task(self) -> str:
        """Name of the task in results: that of its set, and the label column where a set has several."""
        task, name = self.judged.task.name, self.judged.set_name
        return task if task.startswith(name) else f"{name}.{task}"

    @property
    def draws(self) -> int:
        """Seed of the resamples of its test tiles: each set has its own, its tasks share it."""
        return crc32(self.judged.set_name.encode())


@dataclass(frozen=True)
class Cell:
    """All seeds of one encoder and mode on one task."""

    task: str
    encoder: str
    mode: str
    measure: str
    values: tuple[float, ...]
    mean: Score
    resampled: Resampled
    models: tuple[TilePredictions, ...]

    @property
    def row(self) -> tuple[str, str]:
        """What the table's row is named by."""
        return self.encoder, self.mode

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


def saved_settings(settings: JudgeSettings) -> str:
    """The settings as YAML."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=True, allow_unicode=True)


def write_results(
    settings: TransferSettings, outcomes: Sequence[Outcome], chosen: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write table, figure, CSV and JSON.

    Args:
        settings: Of the protocol.
        outcomes: All of them.
        chosen: Variant -> set -> settings chosen from the grid and the mean ranks.
    """
    out, resamples = settings.out, settings.resamples
    rows = [csv_row(each, resamples) for each in outcomes]
    write_csv(out / "transfer.csv", COLUMNS, rows)
    cells = make_cells(outcomes, resamples)
    differences = compare(cells)
    write_text(out / "transfer.md", render(settings, cells, differences))
    draw(out / "transfer.png", cells)
    facts = {
        "versions": versions(),
        "rows": rows,
        "chosen": chosen,
        "cells": [cell_facts(each) for each in cells],
        "differences": differences,
    }
    write_json(out / "transfer.json", facts)


def csv_row(outcome: Outcome, resamples: int) -> dict[str, Any]:
    """One row of ``transfer.csv``."""
    predictions = outcome.judged.predictions
    first, second = score_tiles(predictions, seed=outcome.draws, resamples=resamples)[:2]
    return {
        "set": outcome.judged.set_name,
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
        "c": outcome.judged.c,
        "tiles": len(predictions.truth),
        "groups": int(predictions.group.max()) + 1,
    }


def make_cells(outcomes: Sequence[Outcome], resamples: int) -> list[Cell]:
    """Put the seeds of each task, encoder and mode together, in the order of their first appearance."""
    together: dict[tuple[str, str, str, int], list[TilePredictions]] = {}
    for each in outcomes:
        key = (each.task, each.encoder, each.mode, each.draws)
        together.setdefault(key, []).append(each.judged.predictions)
    cells = []
    for (task, encoder, mode, draws), models in together.items():
        values = [resample_leading([model], resamples=1).value for model in models]
        mean = score_mean(models, seed=draws, resamples=resamples)
        cells.append(
            Cell(
                task,
                encoder,
                mode,
                mean.name,
                tuple(0.0 if np.isnan(value) else value for value in values),
                mean,
                resample_leading(models, seed=draws, resamples=resamples),
                tuple(models),
            )
        )
    return cells


def cell_facts(cell: Cell) -> dict[str, Any]:
    """Plain values of a cell, for JSON."""
    return {
        "task": cell.task,
        "encoder": cell.encoder,
        "mode": cell.mode,
        "values": list(cell.values),
        "sd": cell.sd,
        **{key: value for key, value in cell.mean.to_dict().items() if key != "higher_is_better"},
    }


def compare(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The difference of each two rows on each task, and on the mean of the tasks, with a paired test."""
    tasks = _tasks(cells)
    by = {(cell.task, *cell.row): cell for cell in cells}
    rows = list(dict.fromkeys(cell.row for cell in cells))
    found = []
    for first, second in combinations(rows, 2):
        shared = [
            task
            for task in tasks
            if (task, *first) in by
            and (task, *second) in by
            and _same_tiles(by[(task, *first)], by[(task, *second)])
        ]
        pairs = [(by[(task, *first)], by[(task, *second)]) for task in shared]
        for task, (one, other) in zip(shared, pairs, strict=True):
            paired = compare_resampled(one.resampled, other.resampled).to_dict()
            two_sd = beyond_two_sd(one.values, other.values)
            found.append({"task": task, **_named(first, second), **paired, "beyond_two_sd": two_sd})
        if len(shared) == len(tasks) > 1:
            means = [mean_over_tasks([pair[side].resampled for pair in pairs]) for side in (0, 1)]
            paired = compare_resampled(*means).to_dict()
            seeds = [_seed_means([pair[side] for pair in pairs]) for side in (0, 1)]
            found.append(
                {"task": MEAN, **_named(first, second), **paired, "beyond_two_sd": beyond_two_sd(*seeds)}
            )
    return found


def _tasks(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.task for cell in cells))


def _named(first: tuple[str, str], second: tuple[str, str]) -> dict[str, str]:
    return {
        "encoder": first[0],
        "mode": first[1],
        "other_encoder": second[0],
        "other_mode": second[1],
    }


def _same_tiles(one: Cell, other: Cell) -> bool:
    """Whether two encoders were judged on the same tiles; another resolution may have dropped some."""
    a, b = one.models[0], other.models[0]
    return np.array_equal(a.truth, b.truth) and np.array_equal(a.group, b.group)


def _seed_means(cells: Sequence[Cell]) -> list[float]:
    """Mean over tasks for each seed."""
    seeds = min(len(cell.values) for cell in cells)
    return [float(np.mean([cell.values[number] for cell in cells])) for number in range(seeds)]


def render(
    settings: TransferSettings, cells: Sequence[Cell], differences: Sequence[Mapping[str, Any]]
) -> str:
    """The table as Markdown, with what differs from the first trained encoder marked."""
    tasks, by = _tasks(cells), {(cell.task, *cell.row): cell for cell in cells}
    reference = next(iter(settings.variants), cells[0].encoder)
    head = [_headed(task, cells) for task in tasks] + ([MEAN] if len(tasks) > 1 else [])
    lines = [
        "# Transfer to tasks that an encoder never saw",
        "",
        f"Mean over {settings.seeds} seeds ± standard deviation over seeds, [95 % interval from resampled"
        " groups of test tiles].",
        "",
        "| encoder | use | " + " | ".join(head) + " |",
        "| --- " * (2 + len(head)) + "|",
    ]
    for encoder, mode in dict.fromkeys(cell.row for cell in cells):
        texts = []
        for task in tasks:
            cell = by.get((task, encoder, mode))
            texts.append("" if cell is None else _cell_text(cell) + _mark(differences, cell, reference))
        if len(tasks) > 1:
            here = [by[key] for task in tasks if (key := (task, encoder, mode)) in by]
            texts.append(_mean_text(here) if len(here) == len(tasks) else "")
        lines.append(f"| {encoder} | {MODE_WORDS[mode]} | " + " | ".join(texts) + " |")
    lines += [
        "",
        f"▼ below and ▲ above {reference} used in the same way (from scratch: fine-tuned): by more than"
        " twice the larger standard deviation over seeds, and with p < 0.05 in a paired bootstrap test over"
        " groups. All differences are in transfer.json.",
        "",
        *_few_groups(cells),
    ]
    return "\n".join(lines)


def _headed(task: str, cells: Sequence[Cell]) -> str:
    measure = next(cell.measure for cell in cells if cell.task == task)
    return f"{task}<br>{measure.lower()}"


def _cell_text(cell: Cell) -> str:
    spread = "" if cell.sd is None else f" ± {cell.sd:.3f}"
    if cell.mean.value is None:
        return "undefined"
    interval = "" if cell.mean.low is None else f" [{cell.mean.low:.3f}, {cell.mean.high:.3f}]"
    return f"{cell.mean.value:.3f}{spread}{interval}"


def _mean_text(cells: Sequence[Cell]) -> str:
    mean = mean_over_tasks([cell.resampled for cell in cells])
    low, high = middle(mean.drawn)
    return f"{mean.value:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _mark(differences: Sequence[Mapping[str, Any]], cell: Cell, reference: str) -> str:
    """▲ or ▼ where both readings say that a cell differs from the reference's."""
    mode = "finetuned" if cell.mode == "scratch" else cell.mode
    for each in differences:
        first, second = (each["encoder"], each["mode"]), (each["other_encoder"], each["other_mode"])
        if each["task"] != cell.task or {first, second} != {cell.row, (reference, mode)} or first == second:
            continue
        if not each["beyond_two_sd"] or each["p"] is None or each["p"] >= 0.05:
            return ""
        return " ▲" if (each["difference"] > 0) == (first == cell.row) else " ▼"
    return ""


def _few_groups(cells: Sequence[Cell]) -> list[str]:
    """Notes on tasks whose intervals rest on few groups."""
    notes = {
        cell.task: f"- {cell.task}: {cell.mean.note}"
        for cell in cells
        if cell.mean.note.endswith("groups only.") or "one group" in cell.mean.note
    }
    return [*notes.values(), ""] if notes else []


def draw(path: Path, cells: Sequence[Cell]) -> None:
    """Draw a panel a task: a row an encoder and mode, mean and interval, and a small dot a seed."""
    tasks = _tasks(cells)
    rows = list(dict.fromkeys(cell.row for cell in cells))
    by = {(cell.task, *cell.row): cell for cell in cells}
    modes = list(MODE_WORDS)
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        size = (2.2 + 2.3 * len(tasks), 1.2 + 0.32 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
        for axis, task in zip(panels, tasks, strict=True):
            for height, row in enumerate(rows):
                if (task, *row) in by:
                    _draw_cell(axis, by[(task, *row)], height, f"C{modes.index(row[1])}")
            axis.set_title(task, fontsize=9)
            axis.set_xlabel(next(cell.measure for cell in cells if cell.task == task).lower())
            axis.grid(axis="x", color="0.9")
            axis.set_axisbelow(True)
        names = [row[0] if row[1] == "scratch" else f"{row[0]}, {row[1]}" for row in rows]
        panels[0].set_yticks(range(len(rows)), names)
        panels[0].invert_yaxis()
        with replacing_file(path) as partial:
            # Without the library's version in it, the same numbers give the same bytes.
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def _draw_cell(axis: Any, cell: Cell, height: int, colour: str) -> None:
    if cell.mean.low is not None:
        axis.plot([cell.mean.low, cell.mean.high], [height, height], color=colour, linewidth=1.5)
    axis.plot(cell.values, [height] * len(cell.values), ".", color=colour, alpha=0.5, markersize=4)
    axis.plot([cell.resampled.value], [height], "o", color=colour, markersize=5)
