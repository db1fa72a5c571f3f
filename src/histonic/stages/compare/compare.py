"""Two or more runs on the same patients: their metrics, paired differences, and whether these are chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np

from histonic.core.errors import CohortError, SettingsError
from histonic.core.files import require_writable_folder
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.core.task import Task, TaskKind
from histonic.metrics.inference.comparisons import crossed_p, delong, holm, permutation_p
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.runs.predictions import PredictionTable, read_predictions
from histonic.runs.primary import primary_of, with_primary
from histonic.runs.repeats import mean_measures, split_repeats
from histonic.runs.run import read_facts
from histonic.stages.compare.comparison import Comparison, PairDifference, RunScore, write_comparison
from histonic.stages.compare.permutations import permuted
from histonic.stages.compare.settings import CompareKeywords, CompareSettings
from histonic.stages.evaluate.evaluate import EVALUATORS
from histonic.stages.evaluate.evaluated import difference_measure, same_folds

FEWEST_SHARED = 10
COMPARED: dict[TaskKind, tuple[str, ...]] = {
    "binary": ("AUROC", "AUPRC", "Brier score"),
    "multiclass": ("AUROC", "AUPRC", "Balanced accuracy", "Brier score"),
    "ordinal": ("Quadratic weighted kappa", "Spearman correlation", "AUROC", "Brier score"),
    "regression": ("Spearman correlation", "Mean absolute error", "Median absolute error", "R²"),
    "survival": ("C-index", "Uno's C", "Mean AUC over time", "Integrated Brier score"),
}
"""The metrics that are compared; the leading one, which has p-values, comes first."""
CROSSED_NOTE = (
    "In cross-validation patients predict each other, so that differences vary more than resampling shows: "
    "the p-values count the variance twice. Judge by them, not by an interval that just leaves out 0."
)


class _Entry(NamedTuple):
    """One run's predictions of one target, for the shared patients in one order."""

    name: str
    tables: list[PredictionTable]
    measures: dict[str, Measure]


def compare_runs(
    settings: CompareSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[CompareKeywords],
) -> Comparison:
    """Compare runs on the patients that all of them predicted.

    Patients are joined by their identifier, and must have the same truth in all runs. For each pair of runs
    the difference of each metric has an interval from paired resamples of the patients. Whether the leading
    metric differs is tested by exchanging the two runs' predictions patient by patient, and for AUROC by
    DeLong; the p-values of all pairs and targets are corrected together after Holm. Those of cross-validated
    runs count the variance of the difference twice, see
    :func:`histonic.metrics.inference.comparisons.crossed_p`.

    Args:
        settings: The runs and what to compare; None to give them as keywords.
        progress: Advances once per run and once per pair, for each target.
        **values: Settings by name, such as ``runs=["run-a", "run-b"]``.

    Returns:
        Scores and differences; with ``out`` they are also written as ``comparison.md``, ``.csv`` and
        ``.json``.

    Raises:
        SettingsError: Fewer than two runs, or no target that all have.
        RunError: A run is not finished, or a file of it is damaged.
        TableError: A column or cell of a table of predictions cannot be used.
        CohortError: Runs disagree on a target or its truth, or share fewer than ten patients.
        OutputError: The folder cannot be written to.
    """
    resolved = resolve(CompareSettings, settings, values)
    listener = heard(progress)
    names = _names(resolved.runs)
    tasks = _shared_tasks(resolved)
    if resolved.out is not None:
        require_writable_folder(resolved.out)
    pairs = list(combinations(range(len(names)), 2))
    listener.stage("compare", len(tasks) * (len(names) + len(pairs)))
    scores: list[RunScore] = []
    differences: list[PairDifference] = []
    for task in tasks:
        entries = _entries(task, resolved.runs, names)
        for entry in entries:
            scores += _scores(task, entry, resolved)
            listener.advance(note=f"{task.name}: {entry.name}")
        for first, second in pairs:
            differences += _differences(task, entries[first], entries[second], resolved)
            listener.advance(note=f"{task.name}: {names[first]} and {names[second]}")
    result = Comparison(
        runs={name: str(path) for name, path in zip(names, resolved.runs, strict=True)},
        scores=scores,
        differences=_corrected(differences),
        settings=resolved.model_dump(mode="json"),
    )
    if resolved.out is not None:
        write_comparison(result, resolved.out)
    return result


def _names(runs: Sequence[Path]) -> list[str]:
    """The folders' own names, or their paths where two are alike."""
    if len(runs) < 2:
        raise SettingsError(
            f"Compare {len(runs)} run(s).",
            "There is nothing to compare with.",
            "Give two or more run folders.",
        )
    names = [path.resolve().name for path in runs]
    if len(set(names)) < len(names):
        names = [str(path) for path in runs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"Compare {twice} with itself.", "The same run is named twice.", "Name it once.")
    return names


def _shared_tasks(settings: CompareSettings) -> list[Task]:
    each = [{task.name: task for task in read_facts(run).tasks} for run in settings.runs]
    asked = f"Compare the runs {', '.join(map(str, settings.runs))}."
    shared = [name for name in each[0] if all(name in tasks for tasks in each)]
    listed = "; ".join(f"{run}: {', '.join(tasks)}" for run, tasks in zip(settings.runs, each, strict=True))
    absent = [name for name in settings.target if name not in shared]
    if absent or not shared:
        found = f"Not all runs have the target {absent[0]!r}" if absent else "No target is in all runs"
        raise SettingsError(asked, f"{found} ({listed}).", "Name targets that all of the runs have.")
    chosen = [name for name in shared if not settings.target or name in settings.target]
    for name in chosen:
        for run, tasks in zip(settings.runs, each, strict=True):
            one, other = each[0][name], tasks[name]
            if (one.kind, one.classes) != (other.kind, other.classes):
                raise CohortError(
                    asked,
                    f"The target {name!r} is {_kind(one)} in {settings.runs[0]}, {_kind(other)} in {run}.",
                    "Compare runs that were trained on the same target.",
                )
    agreed = [_of_all([tasks[name] for tasks in each]) for name in chosen]
    return list(with_primary(agreed, settings.primary))


def _of_all(tasks: Sequence[Task]) -> Task:
    """A target with the leading metric of all runs, or with the usual one if they do not agree."""
    return tasks[0] if len({task.primary for task in tasks}) == 1 else replace(tasks[0], primary="")


def _kind(task: Task) -> str:
    return f"{task.kind} ({', '.join(task.classes)})" if task.classes else task.kind


# ------------------------------------------------------------------------ joining


def _entries(task: Task, runs: Sequence[Path], names: Sequence[str]) -> list[_Entry]:
    """Each run's predictions of the patients that all runs have with a truth."""
    read = [split_repeats(read_predictions(run, task)) for run in runs]
    truths = [_truths(tables[0]) for tables in read]
    shared = sorted(set.intersection(*(set(truth) for truth in truths)))
    asked = f"Compare the predictions of {task.name!r} of {', '.join(names)}."
    if len(shared) < FEWEST_SHARED:
        counts = ", ".join(f"{name} {len(truth)}" for name, truth in zip(names, truths, strict=True))
        raise CohortError(
            asked,
            f"They share {len(shared)} patients with a truth ({counts}).",
            f"At least {FEWEST_SHARED} are needed: compare runs on the same patients.",
        )
    for name, truth in zip(names[1:], truths[1:], strict=True):
        for patient in shared:
            if truth[patient] != truths[0][patient]:
                raise CohortError(
                    asked,
                    f"Patient {patient} is {_said(truths[0][patient])} in {names[0]} and "
                    f"{_said(truth[patient])} in {name}.",
                    "Compare runs that were trained with the same labels.",
                )
    return [
        _entry(name, [_only(table, shared) for table in tables])
        for name, tables in zip(names, read, strict=True)
    ]


def _truths(table: PredictionTable) -> dict[str, tuple[Any, ...]]:
    """Truth per patient who has one."""
    patients = table.texts("patient_id")
    if table.task.kind == "survival":
        pairs = zip(table.numbers("time", missing=True), table.numbers("event", missing=True), strict=True)
        known = {
            name: (float(time), float(event)) for name, (time, event) in zip(patients, pairs, strict=True)
        }
        return {name: pair for name, pair in known.items() if np.isfinite(pair).all()}
    if table.task.kind == "regression":
        values = table.numbers("truth", missing=True)
        return {n: (float(value),) for n, value in zip(patients, values, strict=True) if np.isfinite(value)}
    return {n: (text,) for n, text in zip(patients, table.texts("truth"), strict=True) if text}


def _said(truth: tuple[Any, ...]) -> str:
    if len(truth) == 2:
        return f"{'with' if truth[1] else 'without'} event at {truth[0]:g}"
    return repr(truth[0]) if isinstance(truth[0], str) else f"{truth[0]:g}"


def _only(table: PredictionTable, patients: Sequence[str]) -> PredictionTable:
    row = {name: index for index, name in enumerate(table.texts("patient_id"))}
    frame = table.frame.iloc[[row[name] for name in patients]].reset_index(drop=True)
    return PredictionTable(table.task, frame)


def _entry(name: str, tables: list[PredictionTable]) -> _Entry:
    task = tables[0].task
    measures = mean_measures([EVALUATORS[task.kind](table).measures for table in tables])
    found = {measure.name: measure for measure in measures}
    chosen = dict.fromkeys((primary_of(task), *COMPARED[task.kind]))
    return _Entry(name, tables, {key: found[key] for key in chosen if key in found})


# ---------------------------------------------------------------------- comparing


def _scores(task: Task, entry: _Entry, settings: CompareSettings) -> list[RunScore]:
    n = len(entry.tables[0].frame)
    rng = np.random.default_rng(settings.seed)
    scores = score_measures(
        list(entry.measures.values()),
        n,
        resamples=settings.resamples,
        rng=rng,
        fold=same_folds(_folds_of(entry)),
    )
    return [RunScore(task.name, entry.name, n, len(entry.tables), score) for score in scores]


def _differences(
    task: Task, first: _Entry, second: _Entry, settings: CompareSettings
) -> list[PairDifference]:
    n = len(first.tables[0].frame)
    names = [name for name in first.measures if name in second.measures]
    measures = [difference_measure(first.measures[name], second.measures[name]) for name in names]
    rng = np.random.default_rng(settings.seed)
    fold = same_folds([*_folds_of(first), *_folds_of(second)])
    scores = score_measures(measures, n, resamples=settings.resamples, rng=rng, fold=fold)
    rows = [PairDifference(task.name, first.name, second.name, n, score) for score in scores]
    permutation = permuted(first.tables, second.tables)
    p = permutation_p(
        permutation.score,
        permutation.first,
        permutation.second,
        permutations=settings.permutations,
        rng=np.random.default_rng(settings.seed),
    )
    by_delong = None
    if rows[0].score.value is None:
        # Without a pair within folds nothing is tested.
        note = f"No test: no fold has two patients to compare. {_other_pairs(first, second)}".strip()
        return [replace(rows[0], note=note), *rows[1:]]
    if task.kind == "binary" and primary_of(task) == "AUROC":
        positive = first.tables[0].classes("truth") == 1
        if min(positive.sum(), (~positive).sum()) > 1:
            folds = (np.stack(_folds_of(first), axis=1), np.stack(_folds_of(second), axis=1))
            by_delong = delong(positive, _scores_of(first), _scores_of(second), folds=folds).p
    note = " ".join([permutation.note, _other_pairs(first, second)]).strip()
    if any(table.is_crossed() for table in (*first.tables, *second.tables)):
        p, by_delong = crossed_p(p), None if by_delong is None else crossed_p(by_delong)
        note = " ".join([note, CROSSED_NOTE]).strip()
    note = " ".join([note, _other_rule(first, second)]).strip()
    return [replace(rows[0], p=p, p_delong=by_delong, note=note), *rows[1:]]


def _other_rule(first: _Entry, second: _Entry) -> str:
    """That two runs call classes by different rules, which kappa and accuracy see; empty if they do not."""
    if not first.tables[0].task.is_classification:
        return ""
    rules = [entry.tables[0].decided_by or "balanced" for entry in (first, second)]
    if rules[0] == rules[1]:
        return ""
    return (
        f"{first.name} calls classes by another rule ({rules[0]}) than {second.name} ({rules[1]}): kappa and "
        "balanced accuracy differ by that, too."
    )


def _other_pairs(first: _Entry, second: _Entry) -> str:
    """That two runs compare other pairs of patients, so that their metrics differ in meaning; or empty."""
    kept = [entry.tables[0].splits_sites() for entry in (first, second)]
    crossed = [entry.tables[0].is_crossed() for entry in (first, second)]
    if kept[0] != kept[1]:
        sites, mixed = (first, second) if kept[0] else (second, first)
        return (
            f"Two different questions: the folds of {sites.name} are whole sites, so that it is scored by "
            f"how well it tells patients of one site apart; those of {mixed.name} are not, and differences "
            "between sites help it. The difference says little of the networks: train both with one split."
        )
    if crossed[0] != crossed[1]:
        whole = second if crossed[0] else first
        return (
            f"{whole.name} has one fold, in which all patients are compared; the other run compares by fold."
        )
    return ""


def _folds_of(entry: _Entry) -> list[Any]:
    return [table.numbers("fold") for table in entry.tables]


def _scores_of(entry: _Entry) -> Any:
    return np.stack([table.probabilities()[:, 1] for table in entry.tables], axis=1)


def _corrected(rows: Sequence[PairDifference]) -> list[PairDifference]:
    """The p-values of all pairs and targets, corrected together."""
    exchanged_p, delong_p = _holm([row.p for row in rows]), _holm([row.p_delong for row in rows])
    return [
        replace(row, p_holm=one, p_delong_holm=other)
        for row, one, other in zip(rows, exchanged_p, delong_p, strict=True)
    ]


def _holm(values: Sequence[float | None]) -> list[float | None]:
    """Corrected p-values in their places; None where there was no test."""
    corrected = iter(holm([value for value in values if value is not None]).tolist())
    return [None if value is None else float(next(corrected)) for value in values]
