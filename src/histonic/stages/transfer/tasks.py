"""The number-of-tasks curve: what an encoder gains from each further task it is trained on.

Tellez et al., Extending unsupervised neural image compression with supervised multitask learning, MIDL
(2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np
from matplotlib.figure import Figure

from histonic.core.errors import SettingsError
from histonic.core.progress import Progress
from histonic.core.settings import resolve
from histonic.data.tilesets.plan import TileSetSettings
from histonic.stages.transfer.evaluator import Evaluator
from histonic.stages.transfer.results import Outcome, Row, Table, markdown, write_results
from histonic.stages.transfer.settings import StudyTasksKeywords, StudyTasksSettings
from histonic.stages.transfer.slides import study_slides
from histonic.stages.transfer.subsets import draw_subsets
from histonic.stages.transfer.tiles.scores import leading_value, standard_deviation

TRIAL_COLUMNS = ("tasks", "trained_on", "seed", "task", "measure", "score", "low", "high", "tiles", "groups")


@dataclass(frozen=True)
class CurvePoint:
    """One point of the curve, named as the columns of ``tasks.csv``.

    Attributes:
        tasks: Number of sets; 0 for an encoder that was given.
        encoder: Name of the given encoder; empty for those trained here.
        mean: Mean over the left-out tasks of the mean over the encoders that have not seen the task.
        low: Lower end of the 95 % interval, resampling the groups of all test tiles.
        high: Upper end.
        sd: Standard deviation of the encoders' own means; None for one encoder.
        subsets: How many choices of sets.
        left_out_tasks: How many tasks were evaluated.
    """

    tasks: int
    encoder: str
    mean: float
    low: float | None
    high: float | None
    sd: float | None
    subsets: int
    left_out_tasks: int


def study_tasks(
    settings: StudyTasksSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[StudyTasksKeywords],
) -> Path:
    """Train encoders on 1, 2, 3 ... tile sets and evaluate their frozen codes on the sets left out.

    With ``cohort`` they are evaluated on slides instead, see
    :func:`histonic.stages.transfer.slides.study_slides`. Finished trainings and predictions are reused when
    the same command is given again.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``sets=[...]``, ``base={...}``, ``out="study"``.

    Returns:
        The folder: ``tasks.md``, ``tasks.png``, ``tasks.csv`` (a row a count), ``trials.csv`` (a row an
        encoder and task), ``tasks.json``, ``settings.yaml``, ``runs/``, ``predictions/``; with a cohort
        ``slides.md`` and so on.

    Raises:
        SettingsError: A setting is wrong, or a number of tasks leaves none out.
        TileSetError: A tile set cannot be used.
        EncoderError: An encoder cannot be loaded.
        TrainingError: A training cannot go on.
        OutputError: The results cannot be written.
    """
    resolved = resolve(StudyTasksSettings, settings, values)
    if resolved.cohort.is_given:
        return study_slides(resolved, progress)
    evaluator = Evaluator(resolved, progress)
    subsets = _subsets(evaluator, resolved)
    evaluator.train_ahead(lambda: _outcomes(evaluator, subsets))
    table = Table([*_outcomes(evaluator, subsets)], resolved.resamples)
    points = [make_point(table, row) for row in table.rows]
    trials = [
        {**facts, "tasks": each.sets, "trained_on": each.encoder}
        for each, facts in zip(table.outcomes, table.outcome_facts(), strict=True)
    ]
    rows = [asdict(point) for point in points]
    write_results(
        resolved.out,
        "tasks",
        tables={"trials": [{key: each[key] for key in TRIAL_COLUMNS} for each in trials], "tasks": rows},
        page=task_table(points),
        facts={"points": rows, "trials": trials},
        size=(4.8, 3.2),
        draw=partial(draw_task_curve, points),
    )
    evaluator.clear_cache()
    return resolved.out


def _outcomes(evaluator: Evaluator, subsets: Sequence[Sequence[TileSetSettings]]) -> Iterator[Outcome]:
    """Of the given encoders on all sets, and of each choice and seed on the sets left out."""
    seed = evaluator.first_seed
    for name, given in evaluator.given.items():
        for declared in evaluator.settings.sets:
            for each in evaluator.frozen(given, declared, seed):
                yield Outcome(name, "frozen", seed, "", each)
    for subset in subsets:
        names = ",".join(each.name for each in subset)
        for seed in evaluator.seeds:
            encoder = evaluator.train({}, subset, f"on-{len(subset)}/{names}", seed)
            for declared in _left_out(evaluator, subset):
                for each in evaluator.frozen(encoder, declared, seed):
                    yield Outcome(names, "frozen", seed, "", each, len(subset))


def _subsets(evaluator: Evaluator, settings: StudyTasksSettings) -> list[tuple[TileSetSettings, ...]]:
    """The sets of each training, small choices first.

    Raises:
        SettingsError: A count is not below the number of sets, or no set is left to evaluator.
    """
    by_name = {each.name: each for each in settings.sets}
    found = []
    for count in settings.counts or range(1, len(by_name)):
        if not 0 < count < len(by_name):
            raise SettingsError(
                "Study the number of tasks.",
                f"'counts' holds {count}, and there are {len(by_name)} sets.",
                f"Use numbers from 1 to {len(by_name) - 1}.",
            )
        chosen = draw_subsets(list(by_name), count, settings.max_subsets, evaluator.first_seed)
        subsets = [tuple(by_name[name] for name in names) for names in chosen]
        useful = [subset for subset in subsets if _left_out(evaluator, subset)]
        if not useful:
            raise SettingsError(
                f"Study encoders trained on {count} tasks.",
                "No set is left out that is not related to one of them.",
                "Add sets, or leave this number out of 'counts'.",
            )
        found += useful
    return found


def _left_out(evaluator: Evaluator, subset: Sequence[TileSetSettings]) -> list[TileSetSettings]:
    """Sets that are neither in a choice nor related to one in it."""
    seen = {relative.name for each in subset for relative in evaluator.relatives(each)}
    return [each for each in evaluator.settings.sets if each.name not in seen]


def make_point(table: Table, row: Row) -> CurvePoint:
    """A point of the curve, or of a given encoder.

    A task is evaluated by the encoders that have not seen it, and all tasks weigh equally, so that a sample
    of choices in which an easy task is left out more often does not move the curve.

    Args:
        table: Each row holds the encoders that were trained on the same number of sets.
        row: Of the table.
    """
    own: dict[tuple[str, int], list[float]] = {}
    for each in table.outcomes:
        if each.row == row:
            value = leading_value(each.evaluated.predictions)
            own.setdefault((each.encoder, each.seed), []).append(value)
    return CurvePoint(
        row.sets,
        row.encoder,
        *table.mean(row),
        standard_deviation([float(np.mean(values)) for values in own.values()]),
        len({encoder for encoder, _ in own}),
        len(table.rows[row]),
    )


def task_table(points: Sequence[CurvePoint]) -> str:
    """The curve as a Markdown table."""
    rows = []
    for point in points:
        words = f"{point.tasks} task{'s' if point.tasks > 1 else ''}" if point.tasks else f"({point.encoder})"
        interval = "" if point.low is None else f"{point.low:.3f} to {point.high:.3f}"
        spread = "" if point.sd is None else f"{point.sd:.3f}"
        counts = (str(point.subsets), str(point.left_out_tasks))
        rows.append((words, f"{point.mean:.3f}", interval, spread, *counts))
    return markdown(
        "Number of tasks that an encoder was trained on",
        "Linear model on frozen codes, on tasks that were left out: the mean over tasks of the leading score"
        " (balanced accuracy of classes, Spearman correlation of values), with the 95 % interval from"
        " resampled groups of test tiles, and the standard deviation over encoders, each by its own mean over"
        " its left-out tasks.",
        ("trained on", "mean", "95 % interval", "sd over encoders", "choices of tasks", "left-out tasks"),
        rows,
    )


def draw_task_curve(points: Sequence[CurvePoint], figure: Figure) -> None:
    """Draw mean and interval over the number of tasks, and a line for each given encoder."""
    axis = figure.subplots()
    for number, point in enumerate(point for point in points if not point.tasks):
        axis.axhline(point.mean, color=f"C{number + 1}", linestyle="--", label=point.encoder)
    curve = [point for point in points if point.tasks]
    counts = [point.tasks for point in curve]
    axis.plot(counts, [point.mean for point in curve], "o-", color="C0", label="trained here")
    for point in curve:
        if point.low is not None and point.high is not None:
            axis.vlines(point.tasks, point.low, point.high, color="C0", linewidth=1)
    axis.set_xticks(counts)
    axis.set_xlabel("tasks trained on")
    axis.set_ylabel("score on left-out tasks")
    axis.legend(frameon=False)
