"""The transfer protocol: each task left out in turn, and encoders trained on the others evaluated on it.

Mormont, Geurts and Marée, Multi-task pre-training of deep neural networks for digital pathology, IEEE
JBHI (2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from histonic.core.errors import SettingsError
from histonic.core.progress import Progress
from histonic.core.settings import resolve
from histonic.data.tilesets.plan import TileSetSettings
from histonic.stages.transfer.evaluator import Evaluator, begin_with, can_be_tuned
from histonic.stages.transfer.results import Cell, Outcome, Table, write_results
from histonic.stages.transfer.selection import expand_grid, mean_ranks, with_changes
from histonic.stages.transfer.settings import TransferKeywords, TransferSettings
from histonic.stages.transfer.table import compare_rows, draw, render
from histonic.stages.transfer.tiles.scores import leading_value, standard_deviation

SCRATCH = "from scratch"
"""Stands in the place of the encoder's name where there is none."""


def transfer(
    settings: TransferSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[TransferKeywords],
) -> Path:
    """Evaluate encoders on tasks that they never saw.

    For each tile set, encoders are trained on the sets that are not related to it. On the left-out set follow
    a linear model on frozen codes (or the small network of the NIC paper), fine-tuning, and training from
    scratch, each by several seeds. The mode ``joint`` is the baseline that leaves nothing out: one training
    on all sets, the task's own among them, and what the task's head says of its test tiles. Where a grid of
    settings is given, those of the lowest mean rank on the validation tiles of the *other* tasks are used.
    Finished trainings and predictions are reused when the same command is given again.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``sets=[...]``, ``base={...}``, ``out="transfer"``.

    Returns:
        The folder: ``transfer.md`` (the table), ``transfer.png``, ``transfer.csv`` (a row a task, encoder,
        mode and seed), ``transfer.json``, ``settings.yaml``, ``runs/``, ``predictions/``.

    Raises:
        SettingsError: A setting is wrong, or nothing is left to train on.
        TileSetError: A tile set cannot be used.
        EncoderError: An encoder cannot be loaded.
        TrainingError: A training cannot go on.
        OutputError: The results cannot be written.
    """
    resolved = resolve(TransferSettings, settings, values)
    evaluator = Evaluator(resolved, progress, [*resolved.variants, SCRATCH])
    design = _LeaveOut(resolved, evaluator)
    evaluator.train_ahead(design.outcomes)
    table = Table([*design.outcomes()], resolved.resamples)
    rows, differences = table.outcome_facts(), compare_rows(table)
    reference = next(iter(resolved.variants), table.cells[0].row.encoder)
    write_results(
        resolved.out,
        "transfer",
        tables={"transfer": rows},
        page=render(table, differences, resolved.seeds, reference),
        facts={
            "rows": rows,
            "chosen": design.chosen,
            "cells": [_cell_facts(cell) for cell in table.cells],
            "differences": differences,
        },
        size=(2.2 + 2.3 * len(table.tasks), 1.2 + 0.32 * len(table.rows)),
        draw=partial(draw, table),
    )
    evaluator.clear_cache()
    return resolved.out


class _LeaveOut:
    """Each set left out in turn.

    Attributes:
        chosen: Variant -> set -> settings chosen from the grid, and the mean ranks.

    Raises:
        SettingsError: No set is left to train on, or a combination of settings is wrong.
    """

    def __init__(self, settings: TransferSettings, evaluator: Evaluator) -> None:
        self.settings = settings
        self.evaluator = evaluator
        self.grid = expand_grid(settings.grid)
        self.chosen: dict[str, dict[str, Any]] = {}
        for declared in settings.sets if settings.variants else ():
            self._others(declared)
        for variant in settings.variants.values():
            for each in self.grid.values():
                evaluator.training(with_changes(variant, each))
        for changes in (settings.finetune, self._scratch_changes()):
            evaluator.training(changes)

    def outcomes(self) -> Iterator[Outcome]:
        """Of the given encoders, of each variant on the sets that it has not seen, and from scratch."""
        seeds = self.evaluator.seeds
        for name, given in self.evaluator.given.items():
            for declared in self.settings.sets:
                yield from self._outcomes(name, given, declared, "", seeds)
        for variant in self.settings.variants:
            if (chosen := self._choose(variant)) is None:
                continue
            self.chosen[variant] = chosen
            for declared in self.settings.sets:
                label = self.chosen[variant][declared.name]["settings"]
                for seed in seeds:
                    encoder = self._trained(variant, label, declared, seed)
                    yield from self._outcomes(variant, encoder, declared, label, [seed])
            if "joint" in self.settings.modes:
                yield from self._joint(variant)
        for declared in self.settings.sets if "scratch" in self.settings.modes else ():
            for seed in seeds:
                changes = self._scratch_changes()
                encoder = self.evaluator.train(changes, [declared], f"scratch/{declared.name}", seed)
                for each in self.evaluator.headed(encoder, declared):
                    yield Outcome(SCRATCH, "scratch", seed, "", each)

    def _others(self, declared: TileSetSettings) -> tuple[TileSetSettings, ...]:
        """The sets that are trained on when a set and its relatives are left out.

        Raises:
            SettingsError: There is none.
        """
        away = {each.name for each in self.evaluator.relatives(declared)}
        others = tuple(each for each in self.settings.sets if each.name not in away)
        if not others:
            raise SettingsError(
                f"Leave out {declared.name!r} with the sets related to it.",
                "No set is left to train on.",
                "Add a set, or correct 'related'.",
            )
        return others

    def _trained(self, variant: str, label: str, declared: TileSetSettings, seed: int) -> str:
        """The encoder of a variant that has not seen a set."""
        changes = with_changes(self.settings.variants[variant], self.grid[label])
        # Sets that leave together share one training.
        away = ",".join(each.name for each in self.evaluator.relatives(declared))
        folder = "/".join(part for part in (variant, label, f"without-{away}") if part)
        return self.evaluator.train(changes, self._others(declared), folder, seed)

    def _choose(self, variant: str) -> dict[str, Any] | None:
        """Settings of a variant for each left-out set, by ranks on the tasks unrelated to it.

        Returns:
            Set name -> ``{"settings": label, "mean_ranks": {label: rank}}``; None in a rehearsal, as long as
            an encoder is missing by which it is chosen.
        """
        labels = list(self.grid)
        names = [declared.name for declared in self.settings.sets]
        if len(labels) == 1:
            return {name: {"settings": labels[0], "mean_ranks": {}} for name in names}
        awaited = self.evaluator.awaited
        scores = {label: self._validation(variant, label) for label in labels}
        if self.evaluator.awaited > awaited:
            return None
        chosen = {}
        for declared in self.settings.sets:
            away = {each.name for each in self.evaluator.relatives(declared)}
            ranks = mean_ranks(scores, [task for task in scores[labels[0]] if task[0] in away])
            # Of equals the first.
            best = min(ranks, key=lambda label: ranks[label])
            chosen[declared.name] = {"settings": best, "mean_ranks": ranks}
        return chosen

    def _validation(self, variant: str, label: str) -> dict[tuple[str, str], float]:
        """Score of one combination of settings on the validation tiles of each (set, task), when left out."""
        found: dict[tuple[str, str], list[float]] = {}
        for declared in self.settings.sets:
            for seed in self.evaluator.seeds[: self.settings.selection_seeds]:
                encoder = self._trained(variant, label, declared, seed)
                for each in self.evaluator.frozen(encoder, declared, seed, "val"):
                    task = declared.name, each.predictions.task.name
                    found.setdefault(task, []).append(leading_value(each.predictions))
        return {task: float(np.mean(values)) for task, values in found.items()}

    def _outcomes(
        self, name: str, encoder: str, declared: TileSetSettings, label: str, seeds: Sequence[int]
    ) -> Iterator[Outcome]:
        """Outcomes of one encoder on one set, its codes frozen and its weights fine-tuned."""
        tune = (
            "finetuned" in self.settings.modes
            and not self.evaluator.awaits(encoder)
            and can_be_tuned(encoder)
        )
        for seed in seeds:
            if "frozen" in self.settings.modes:
                for each in self.evaluator.frozen(encoder, declared, seed):
                    yield Outcome(name, "frozen", seed, label, each)
            if "mlp" in self.settings.modes:
                for each in self.evaluator.mlp(encoder, declared, seed):
                    yield Outcome(name, "mlp", seed, label, each)
            if tune:
                changes = with_changes(self.settings.finetune, begin_with(encoder))
                folder = "/".join(part for part in ("finetuned", name, label, declared.name) if part)
                tuned = self.evaluator.train(changes, [declared], folder, seed)
                for each in self.evaluator.headed(tuned, declared):
                    yield Outcome(name, "finetuned", seed, label, each)

    def _joint(self, variant: str) -> Iterator[Outcome]:
        """One training on all sets, whose heads are judged on the test tiles; needs heads."""
        for declared in self.settings.sets:
            label = self.chosen[variant][declared.name]["settings"]
            changes = with_changes(self.settings.variants[variant], self.grid[label])
            if self.evaluator.training(changes).objective != "multitask":
                continue
            folder = "/".join(part for part in (variant, label, "joint") if part)
            for seed in self.evaluator.seeds:
                encoder = self.evaluator.train(changes, self.settings.sets, folder, seed)
                for each in self.evaluator.headed(encoder, declared):
                    yield Outcome(variant, "joint", seed, label, each)

    def _scratch_changes(self) -> dict[str, Any]:
        return {"objective": "multitask", "weights": None, **self.settings.scratch}


def _cell_facts(cell: Cell) -> dict[str, Any]:
    """Plain values of a cell, for JSON."""
    return {
        "task": cell.task,
        "encoder": cell.row.encoder,
        "mode": cell.row.mode,
        "values": cell.values,
        "sd": standard_deviation(cell.values),
        **{key: value for key, value in cell.mean.to_dict().items() if key != "higher_is_better"},
    }
