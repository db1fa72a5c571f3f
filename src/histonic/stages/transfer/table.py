"""The table of the transfer protocol: an encoder and its use a row, a task a column, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from histonic.stages.transfer.results import Cell, Row, Table, markdown
from histonic.stages.transfer.tiles.scores import (
    beyond_two_sd,
    compare_resampled,
    mean_over_tasks,
    standard_deviation,
)

MEAN = "mean of tasks"
MODE_WORDS = {
    "frozen": "frozen, linear model",
    "mlp": "frozen, dense layer of 256",
    "finetuned": "fine-tuned",
    "scratch": "from scratch",
    "joint": "trained with the task among the others, own head",
}


def compare_rows(table: Table) -> list[dict[str, Any]]:
    """The difference of each two rows on each task, and on the mean of the tasks, with a paired test."""
    found = []
    for first, second in combinations(table.rows, 2):
        names = {
            "encoder": first.encoder,
            "mode": first.mode,
            "other_encoder": second.encoder,
            "other_mode": second.mode,
        }
        cells, others = table.rows[first], table.rows[second]
        shared = [
            task
            for task in table.tasks
            if task in cells and task in others and _same_tiles(cells[task], others[task])
        ]
        for task in shared:
            found.append({"task": task, **names, **_compare([cells[task]], [others[task]])})
        if len(shared) == len(table.tasks) > 1:
            sides = ([side[task] for task in shared] for side in (cells, others))
            found.append({"task": MEAN, **names, **_compare(*sides)})
    return found


def _same_tiles(one: Cell, other: Cell) -> bool:
    """Whether two encoders were evaluated on the same tiles; another resolution may have dropped some."""
    a, b = one.models[0], other.models[0]
    return np.array_equal(a.truth, b.truth) and np.array_equal(a.group, b.group)


def _compare(first: Sequence[Cell], second: Sequence[Cell]) -> dict[str, Any]:
    """The difference of the means over some tasks."""
    one, other = (mean_over_tasks([cell.resampled for cell in side]) for side in (first, second))
    paired = asdict(compare_resampled(one, other))
    return {**paired, "beyond_two_sd": beyond_two_sd(_seed_means(first), _seed_means(second))}


def _seed_means(cells: Sequence[Cell]) -> list[float]:
    """Mean over tasks for each seed."""
    seeds = min(len(cell.values) for cell in cells)
    return [float(np.mean([cell.values[number] for cell in cells])) for number in range(seeds)]


def _mark(differences: Sequence[Mapping[str, Any]], task: str, row: Row, reference: str) -> str:
    """▲ or ▼ where both readings say that a row differs from the reference's on a task."""
    other = (reference, "finetuned" if row.mode in ("scratch", "joint") else row.mode)
    here = (row.encoder, row.mode)
    for each in differences:
        first, second = (each["encoder"], each["mode"]), (each["other_encoder"], each["other_mode"])
        if each["task"] != task or {first, second} != {here, other}:
            continue
        if not each["beyond_two_sd"] or each["p"] is None or each["p"] >= 0.05:
            return ""
        return " ▲" if (each["difference"] > 0) == (first == here) else " ▼"
    return ""


def render(table: Table, differences: Sequence[Mapping[str, Any]], seeds: int, reference: str) -> str:
    """The table as Markdown, with what differs from the reference marked.

    Args:
        table: All outcomes.
        differences: Of each two rows.
        seeds: How many.
        reference: Name of an encoder.
    """
    head = [f"{task}<br>{_measure(table, task)}" for task in table.tasks]
    several = len(table.tasks) > 1
    rows = []
    for row, cells in table.rows.items():
        texts = [
            _cell_text(cells[task]) + _mark(differences, task, row, reference) if task in cells else ""
            for task in table.tasks
        ]
        if several:
            texts.append(_mean_text(table, row) if len(cells) == len(table.tasks) else "")
        rows.append([row.encoder, MODE_WORDS[row.mode], *texts])
    return markdown(
        "Transfer to tasks that an encoder never saw",
        f"Mean over {seeds} seeds ± standard deviation over seeds, [95 % interval from resampled groups of"
        " test tiles].",
        ["encoder", "use", *head, *([MEAN] if several else [])],
        rows,
        f"▼ below and ▲ above {reference} used in the same way (from scratch, and among the others:"
        " fine-tuned): by more than twice the larger standard deviation over seeds, and with p < 0.05 in a"
        " paired bootstrap test over groups. All differences are in transfer.json.",
        *_few_groups(table),
        *_shares(table),
    )


def _shares(table: Table) -> list[str]:
    """What codes vary with, as a table of its own; nothing where heads alone were evaluated."""
    if not any(cell.shares for cell in table.cells):
        return []
    rows = [
        [row.encoder, *(_share_text(cells.get(task)) for task in table.tasks)]
        for row, cells in table.rows.items()
        if any(cell.shares for cell in cells.values())
    ]
    head = ["encoder", *table.tasks]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return [
        "## What the codes vary with",
        "Share of the variance of the codes that goes with the class of a tile / with the group it comes from"
        " (patient, slide or site, as the set names them) among tiles of one class; all labelled tiles, mean"
        " over seeds, adjusted so that what means nothing has a share of 0. An encoder whose codes tell the"
        " group rather than the class will find sites before it finds tissue.",
        "\n".join(lines),
    ]


def _share_text(cell: Cell | None) -> str:
    if cell is None or not cell.shares:
        return ""
    texts = []
    for name in ("classes", "sources"):
        values = [value for each in cell.shares if (value := getattr(each, name)) is not None]
        texts.append(f"{np.mean(values):.0%}" if values else "unknown")
    return " / ".join(texts)


def _measure(table: Table, task: str) -> str:
    return next(cell.mean.name for cell in table.cells if cell.task == task).lower()


def _cell_text(cell: Cell) -> str:
    if cell.mean.value is None:
        return "undefined"
    sd = standard_deviation(cell.values)
    spread = "" if sd is None else f" ± {sd:.3f}"
    return f"{cell.mean.value:.3f}{spread}{_interval(cell.mean.low, cell.mean.high)}"


def _mean_text(table: Table, row: Row) -> str:
    value, low, high = table.mean(row)
    return f"{value:.3f}{_interval(low, high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f" [{low:.3f}, {high:.3f}]"


def _few_groups(table: Table) -> list[str]:
    """A note on the tasks whose intervals rest on few groups; none if there are none."""
    notes = {
        cell.task: f"- {cell.task}: {cell.mean.note}"
        for cell in table.cells
        if cell.mean.note.endswith("groups only.") or "one group" in cell.mean.note
    }
    return ["\n".join(notes.values())] if notes else []


def draw(table: Table, figure: Figure) -> None:
    """Draw a panel a task: a row an encoder and mode, mean and interval, and a small dot a seed."""
    colours = {mode: f"C{number}" for number, mode in enumerate(MODE_WORDS)}
    panels = figure.subplots(1, len(table.tasks), sharey=True, squeeze=False)[0]
    for axis, task in zip(panels, table.tasks, strict=True):
        for height, (row, cells) in enumerate(table.rows.items()):
            if task in cells:
                _draw_cell(axis, cells[task], height, colours[row.mode])
        axis.set_title(task, fontsize=9)
        axis.set_xlabel(_measure(table, task))
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)
    names = [row.encoder if row.mode == "scratch" else f"{row.encoder}, {row.mode}" for row in table.rows]
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()


def _draw_cell(axis: Any, cell: Cell, height: int, colour: str) -> None:
    if cell.mean.low is not None:
        axis.plot([cell.mean.low, cell.mean.high], [height, height], color=colour, linewidth=1.5)
    axis.plot(cell.values, [height] * len(cell.values), ".", color=colour, alpha=0.5, markersize=4)
    axis.plot([cell.resampled.value], [height], "o", color=colour, markersize=5)
