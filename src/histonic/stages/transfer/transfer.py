"""The transfer protocol: each task left out in turn, and encoders trained on the others judged on it.

Mormont, Geurts and Marée, Multi-task pre-training of deep neural networks for digital pathology, IEEE
JBHI (2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histonic.core.errors import SettingsError
from histonic.core.files import require_writable_folder, write_text
from histonic.core.progress import Progress, Silent
from histonic.core.settings import resolve
from histonic.data.tilesets.plan import TileSetSettings
from histonic.stages.transfer.judge import Judge, Judged, begin_with, can_be_tuned, encoder_names
from histonic.stages.transfer.results import Outcome, saved_settings, write_results
from histonic.stages.transfer.scores import tile_measures
from histonic.stages.transfer.selection import expand_grid, mean_ranks, select_by_rank, with_changes
from histonic.stages.transfer.settings import TransferSettings

SCRATCH = "from scratch"
"""Stands in the place of the encoder's name where there is none."""


def transfer(
    settings: TransferSettings | None = None, /, *, progress: Progress | None = None, **values: Any
) -> Path:
    """Judge encoders on tasks that they never saw.

    For each tile set, encoders are trained on the sets that are not related to it. On the left-out set follow
    a linear model on frozen codes, fine-tuning, and training from scratch, each by several seeds. Where a
    grid of settings is given, those of the lowest mean rank on the validation tiles of the *other* tasks are
    used. Finished trainings and predictions are reused when the same command is given again.

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
    listener = progress or Silent()
    named = encoder_names(resolved, [*resolved.variants, SCRATCH])
    require_writable_folder(resolved.out)
    write_text(resolved.out / "settings.yaml", saved_settings(resolved))
    judge = Judge(resolved, listener)
    protocol = _Protocol(resolved, judge)
    protocol.check()
    outcomes = [*protocol.of_given(named)]
    chosen: dict[str, dict[str, Any]] = {}
    for variant in resolved.variants:
        chosen[variant] = protocol.choose(variant)
        outcomes += protocol.of_variant(variant, chosen[variant])
    if "scratch" in resolved.modes:
        outcomes += protocol.from_scratch()
    write_results(resolved, outcomes, chosen)
    judge.clear_cache()
    return resolved.out


class _Protocol:
    """The parts of the protocol, on the sets of one call."""

    def __init__(self, settings: TransferSettings, judge: Judge) -> None:
        self.settings = settings
        self.judge = judge
        self.grid = expand_grid(settings.grid)

    def check(self) -> None:
        """Refuse, before any training, what cannot be done.

        Raises:
            SettingsError: No set is left to train on, or a combination of settings is wrong.
        """
        for declared in self.settings.sets if self.settings.variants else ():
            self._others(declared)
        changes = [
            with_changes(variant, each)
            for variant in self.settings.variants.values()
            for each in self.grid.values()
        ]
        runs = self.settings.out / "runs"
        for each in [*changes, self.settings.finetune, self._scratch_changes()]:
            self.judge.training(each, self.settings.sets[:1], runs, 0)

    def _others(self, declared: TileSetSettings) -> tuple[TileSetSettings, ...]:
        """The sets that are trained on when a set and its relatives are left out.

        Raises:
            SettingsError: There is none.
        """
        away = {each.name for each in self.judge.relatives(declared)}
        others = tuple(each for each in self.settings.sets if each.name not in away)
        if not others:
            raise SettingsError(
                f"Leave out {declared.name!r} with the sets related to it.",
                "No set is left to train on.",
                "Add a set, or correct 'related'.",
            )
        return others

    def _trained(self, variant: str, label: str, declared: TileSetSettings, seed: int) -> Path:
        """The encoder of a variant that has not seen a set."""
        changes = with_changes(self.settings.variants[variant], self.grid[label])
        # Sets that leave together share one training.
        away = "+".join(each.name for each in self.judge.relatives(declared)).replace("+", ",")
        folder = "/".join(part for part in (variant, label, f"without-{away}") if part)
        return self.judge.train(changes, self._others(declared), folder, seed)

    def choose(self, variant: str) -> dict[str, Any]:
        """Settings of a variant for each left-out set, by ranks on the tasks unrelated to it.

        Returns:
            Set name -> ``{"settings": label, "mean_ranks": {label: rank}}``.
        """
        labels = list(self.grid)
        names = [declared.name for declared in self.settings.sets]
        if len(labels) == 1:
            return {name: {"settings": labels[0], "mean_ranks": {}} for name in names}
        scores = {label: self._validation(variant, label) for label in labels}
        chosen = {}
        for declared in self.settings.sets:
            away = {each.name for each in self.judge.relatives(declared)}
            excluded = [task for task in scores[labels[0]] if task[0] in away]
            chosen[declared.name] = {
                "settings": select_by_rank(scores, excluded),
                "mean_ranks": mean_ranks(scores, excluded),
            }
        return chosen

    def _validation(self, variant: str, label: str) -> dict[tuple[str, str], float]:
        """Score of one combination of settings on the validation tiles of each (set, task), when left out."""
        found: dict[tuple[str, str], list[float]] = {}
        for declared in self.settings.sets:
            for seed in self.judge.seeds[: self.settings.selection_seeds]:
                run = self._trained(variant, label, declared, seed)
                for each in self.judge.frozen(str(run / "encoder.safetensors"), declared, seed, "val"):
                    found.setdefault((declared.name, each.task.name), []).append(_leading(each))
        return {task: float(np.mean(values)) for task, values in found.items()}

    def of_given(self, named: Mapping[str, str]) -> Iterator[Outcome]:
        """Outcomes of the encoders that are not trained here."""
        for name, given in named.items():
            for declared in self.settings.sets:
                yield from self._judged(name, given, declared, "")

    def of_variant(self, variant: str, chosen: Mapping[str, Any]) -> Iterator[Outcome]:
        """Outcomes of the encoders that are trained here, each on a set that it has not seen."""
        for declared in self.settings.sets:
            label = chosen[declared.name]["settings"]
            for seed in self.judge.seeds:
                run = self._trained(variant, label, declared, seed)
                yield from self._judged(variant, str(run / "encoder.safetensors"), declared, label, (seed,))

    def _judged(
        self,
        name: str,
        encoder: str,
        declared: TileSetSettings,
        label: str,
        seeds: Sequence[int] = (),
    ) -> Iterator[Outcome]:
        """Frozen and fine-tuned outcomes of one encoder on one set."""
        tune = "finetuned" in self.settings.modes and can_be_tuned(encoder)
        for seed in seeds or self.judge.seeds:
            if "frozen" in self.settings.modes:
                for each in self.judge.frozen(encoder, declared, seed):
                    yield Outcome(name, "frozen", seed, label, each)
            if tune:
                changes = with_changes({**self.settings.finetune}, begin_with(encoder))
                folder = "/".join(part for part in ("finetuned", name, label, declared.name) if part)
                run = self.judge.train(changes, [declared], folder, seed)
                for each in self.judge.headed(run, declared):
                    yield Outcome(name, "finetuned", seed, label, each)

    def _scratch_changes(self) -> dict[str, Any]:
        return {"objective": "multitask", "weights": None, **self.settings.scratch}

    def from_scratch(self) -> Iterator[Outcome]:
        """Outcomes of networks trained on the task alone."""
        for declared in self.settings.sets:
            for seed in self.judge.seeds:
                run = self.judge.train(self._scratch_changes(), [declared], f"scratch/{declared.name}", seed)
                for each in self.judge.headed(run, declared):
                    yield Outcome(SCRATCH, "scratch", seed, "", each)


def _leading(judged: Judged) -> float:
    """The leading measure of some predictions."""
    value = float(
        tile_measures(judged.predictions)[0].statistic(np.ones((1, len(judged.predictions.truth))))[0]
    )
    # A constant prediction has no rank correlation; it is then as good as chance.
    return value if np.isfinite(value) else 0.0
