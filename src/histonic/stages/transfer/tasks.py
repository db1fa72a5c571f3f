"""The number-of-tasks curve: what an encoder gains from each further task it is trained on.

Tellez et al., Extending unsupervised neural image compression with supervised multitask learning, MIDL
(2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file, require_writable_folder, write_csv, write_json, write_text
from histonic.core.progress import Progress, Silent
from histonic.core.settings import resolve
from histonic.data.tilesets.plan import TileSetSettings
from histonic.runs.files import versions
from histonic.stages.transfer.judge import Judge, encoder_names
from histonic.stages.transfer.results import Outcome, csv_row, saved_settings
from histonic.stages.transfer.scores import TilePredictions, mean_over_tasks, middle, resample_leading
from histonic.stages.transfer.settings import StudyTasksSettings

RUN_COLUMNS = ["tasks", "trained_on", "seed", "task", "measure", "score", "low", "high", "tiles", "groups"]
POINT_COLUMNS = ["tasks", "encoder", "mean", "low", "high", "sd", "subsets", "left_out_tasks"]


@dataclass(frozen=True)
class Trial:
    """One encoder on one task that it was not trained on.

    Attributes:
        count: Number of sets it was trained on; 0 for an encoder that was given.
        trained_on: Their names, or the name of the given encoder.
        outcome: Predictions and seed.
    """

    count: int
    trained_on: str
    outcome: Outcome


@dataclass(frozen=True)
class Point:
    """One point of the curve.

    Attributes:
        count: Number of sets; 0 for an encoder that was given.
        name: Of the given encoder; empty for those trained here.
        mean: Mean over the left-out tasks of the mean over the encoders that have not seen the task.
        low: Lower end of the 95 % interval, resampling the groups of all test tiles.
        high: Upper end.
        sd: Standard deviation of the encoders' own means; None for one encoder.
        encoders: How many choices of sets.
        tasks: How many tasks were judged.
    """

    count: int
    name: str
    mean: float
    low: float | None
    high: float | None
    sd: float | None
    encoders: int
    tasks: int


def study_tasks(
    settings: StudyTasksSettings | None = None, /, *, progress: Progress | None = None, **values: Any
) -> Path:
    """Train encoders on 1, 2, 3 ... tile sets and judge their frozen codes on the sets left out.

    Finished trainings and predictions are reused when the same command is given again.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``sets=[...]``, ``base={...}``, ``out="study"``.

    Returns:
        The folder: ``tasks.md``, ``tasks.png``, ``tasks.csv`` (a row a count), ``trials.csv`` (a row an
        encoder and task), ``tasks.json``, ``settings.yaml``, ``runs/``, ``predictions/``.

    Raises:
        SettingsError: A setting is wrong, or a number of tasks leaves none out.
        TileSetError: A tile set cannot be used.
        EncoderError: An encoder cannot be loaded.
        TrainingError: A training cannot go on.
        OutputError: The results cannot be written.
    """
    resolved = resolve(StudyTasksSettings, settings, values)
    named = encoder_names(resolved, [])
    require_writable_folder(resolved.out)
    write_text(resolved.out / "settings.yaml", saved_settings(resolved))
    judge = Judge(resolved, progress or Silent())
    subsets = _subsets(judge, resolved)
    trials = _given(judge, named)
    for subset in subsets:
        trials += _trained(judge, subset)
    points = make_points(trials, resolved.resamples)
    _write(resolved, trials, points)
    judge.clear_cache()
    return resolved.out


def draw_subsets(names: Sequence[str], count: int, most: int, seed: int) -> list[tuple[str, ...]]:
    """All choices of ``count`` names, or a seeded sample in which the names occur about equally often.

    Args:
        names: To choose from.
        count: How many in a choice.
        most: Choices at most.
        seed: Of the sample.

    Example:
        >>> draw_subsets(["a", "b", "c"], 2, 6, seed=0)
        [('a', 'b'), ('a', 'c'), ('b', 'c')]
    """
    if comb(len(names), count) <= most:
        return list(combinations(names, count))
    rng = np.random.default_rng([seed, count, 19])
    used = np.zeros(len(names))
    chosen: set[tuple[int, ...]] = set()
    while len(chosen) < most:
        # The least used first, at random among equals; a little noise ends a search that goes in circles.
        order = np.argsort(used + rng.random(len(names)) * 1.5)
        pick = tuple(sorted(int(number) for number in order[:count]))
        if pick not in chosen:
            chosen.add(pick)
            used[list(pick)] += 1
    return [tuple(names[number] for number in pick) for pick in sorted(chosen)]


def _subsets(judge: Judge, settings: StudyTasksSettings) -> list[tuple[TileSetSettings, ...]]:
    """The sets of each training, small choices first.

    Raises:
        SettingsError: A count is not below the number of sets, or no set is left to judge.
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
        chosen = draw_subsets(list(by_name), count, settings.max_subsets, judge.first_seed)
        subsets = [tuple(by_name[name] for name in names) for names in chosen]
        judged = [subset for subset in subsets if _left_out(judge, subset)]
        if not judged:
            raise SettingsError(
                f"Study encoders trained on {count} tasks.",
                "No set is left out that is not related to one of them.",
                "Add sets, or leave this number out of 'counts'.",
            )
        found += judged
    return found


def _left_out(judge: Judge, subset: Sequence[TileSetSettings]) -> list[TileSetSettings]:
    """Sets that are neither in a choice nor related to one in it."""
    seen = {relative.name for each in subset for relative in judge.relatives(each)}
    return [each for each in judge.settings.sets if each.name not in seen]


def _given(judge: Judge, named: Mapping[str, str]) -> list[Trial]:
    return [
        Trial(0, name, Outcome(name, "frozen", judge.first_seed, "", judged))
        for name, given in named.items()
        for declared in judge.settings.sets
        for judged in judge.frozen(given, declared, judge.first_seed)
    ]


def _trained(judge: Judge, subset: Sequence[TileSetSettings]) -> list[Trial]:
    """Train on a choice of sets by each seed, and judge on the sets left out."""
    names = ",".join(each.name for each in subset)
    trials = []
    for seed in judge.seeds:
        run = judge.train({}, subset, f"on-{len(subset)}/{names}", seed)
        for declared in _left_out(judge, subset):
            for judged in judge.frozen(str(run / "encoder.safetensors"), declared, seed):
                trials.append(Trial(len(subset), names, Outcome(names, "frozen", seed, "", judged)))
    return trials


def make_points(trials: Sequence[Trial], resamples: int) -> list[Point]:
    """The curve, and a point for each given encoder.

    A task is judged by the encoders that have not seen it, and all tasks weigh equally, so that a sample of
    choices in which an easy task is left out more often does not move the curve.

    Args:
        trials: All of them.
        resamples: Of the groups of each task's test tiles.
    """
    together: dict[tuple[int, str], list[Trial]] = {}
    for trial in trials:
        together.setdefault((trial.count, "" if trial.count else trial.trained_on), []).append(trial)
    return [_point(count, name, here, resamples) for (count, name), here in together.items()]


def _point(count: int, name: str, trials: Sequence[Trial], resamples: int) -> Point:
    models: dict[tuple[str, int], list[TilePredictions]] = {}
    own: dict[tuple[str, int], list[float]] = {}
    for trial in trials:
        predictions = trial.outcome.judged.predictions
        models.setdefault((trial.outcome.task, trial.outcome.draws), []).append(predictions)
        value = resample_leading([predictions], resamples=1).value
        own.setdefault((trial.trained_on, trial.outcome.seed), []).append(value)
    mean = mean_over_tasks(
        [resample_leading(each, seed=draws, resamples=resamples) for (_, draws), each in models.items()]
    )
    spread = [float(np.mean(values)) for values in own.values()]
    return Point(
        count,
        name,
        mean.value,
        *middle(mean.drawn),
        float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
        len({trial.trained_on for trial in trials}),
        len(models),
    )


def _write(settings: StudyTasksSettings, trials: Sequence[Trial], points: Sequence[Point]) -> None:
    rows = [
        {
            **csv_row(trial.outcome, settings.resamples),
            "tasks": trial.count,
            "trained_on": trial.trained_on,
        }
        for trial in trials
    ]
    write_csv(settings.out / "trials.csv", RUN_COLUMNS, rows)
    table = [_point_row(point) for point in points]
    write_csv(settings.out / "tasks.csv", POINT_COLUMNS, table)
    write_text(settings.out / "tasks.md", render(points))
    draw(settings.out / "tasks.png", points)
    write_json(settings.out / "tasks.json", {"versions": versions(), "points": table, "trials": rows})


def _point_row(point: Point) -> dict[str, Any]:
    return {
        "tasks": point.count,
        "encoder": point.name,
        "mean": point.mean,
        "low": point.low,
        "high": point.high,
        "sd": point.sd,
        "subsets": point.encoders,
        "left_out_tasks": point.tasks,
    }


def render(points: Sequence[Point]) -> str:
    """The curve as a Markdown table."""
    lines = [
        "# Number of tasks that an encoder was trained on",
        "",
        "Linear model on frozen codes, on tasks that were left out: the mean over tasks of the leading score"
        " (balanced accuracy of classes, Spearman correlation of values), with the 95 % interval from"
        " resampled groups of test tiles, and the standard deviation over encoders, each by its own mean over"
        " its left-out tasks.",
        "",
        "| trained on | mean | 95 % interval | sd over encoders | choices of tasks | left-out tasks |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for point in points:
        words = f"{point.count} task{'s' if point.count > 1 else ''}" if point.count else f"({point.name})"
        interval = "" if point.low is None else f"{point.low:.3f} to {point.high:.3f}"
        spread = "" if point.sd is None else f"{point.sd:.3f}"
        cells = [words, f"{point.mean:.3f}", interval, spread, str(point.encoders), str(point.tasks)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def draw(path: Path, points: Sequence[Point]) -> None:
    """Draw mean and interval over the number of tasks, and a line for each given encoder."""
    curve = [point for point in points if point.count]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        axis = figure.subplots()
        for number, point in enumerate(point for point in points if not point.count):
            axis.axhline(point.mean, color=f"C{number + 1}", linestyle="--", label=point.name)
        counts = [point.count for point in curve]
        axis.plot(counts, [point.mean for point in curve], "o-", color="C0", label="trained here")
        for point in curve:
            if point.low is not None and point.high is not None:
                axis.vlines(point.count, point.low, point.high, color="C0", linewidth=1)
        axis.set_xticks(counts)
        axis.set_xlabel("tasks trained on")
        axis.set_ylabel("score on left-out tasks")
        axis.legend(frameon=False)
        with replacing_file(path) as partial:
            # Without the library's version in it, the same numbers give the same bytes.
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
