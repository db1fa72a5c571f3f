"""All networks of a cross-validation, one after the other, each left on the disk when it is finished."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from histonic.aggregators.base import SlideModel, build_model, first_rate
from histonic.core.cohort import Cohort
from histonic.core.progress import Progress, Silent
from histonic.data.store import Store
from histonic.nn.checkpoint import load_state, save_state
from histonic.nn.heads import Heads
from histonic.stages.convex import fit_heads
from histonic.stages.devices import deterministic
from histonic.stages.draws import BalancedDraws
from histonic.stages.ensemble import FloatArray, Member
from histonic.stages.folds import Fold
from histonic.stages.lessons import SlideLesson, predict_patients
from histonic.stages.loop import EpochRecord, Schedule, Training, torch_seed
from histonic.stages.maps import Maps
from histonic.stages.settings import TrainSettings

LEAST_CROP_CELLS = 8


@dataclass(frozen=True)
class Plan:
    """Everything that decides how the networks turn out; picklable.

    Attributes:
        settings: Of the training.
        cohort: The patients.
        folds: Their rotation.
        checkpoints: Folder of the networks.
        tile_heads: What the encoder says of a tile, for an aggregator that wants to know.
    """

    settings: TrainSettings
    cohort: Cohort
    folds: tuple[Fold, ...]
    checkpoints: Path
    tile_heads: Heads | None = None

    def networks(self) -> list[tuple[Fold, int]]:
        """Fold and initialisation of every network, in the order of training."""
        return [(fold, each) for fold in self.folds for each in range(self.settings.initialisations)]

    def path(self, fold: Fold, initialisation: int) -> Path:
        """Where a network lies, unfinished or finished."""
        return self.checkpoints / f"{network_name(fold.number, initialisation)}.safetensors"

    def read_maps(self, progress: Progress) -> Maps:
        """The maps of all patients.

        Raises:
            StoreError: A map is damaged or holds bad numbers.
        """
        store = Store.open(self.settings.store)
        used = [slide_id for patient in self.cohort.patients for slide_id in patient.slide_ids]
        return Maps({slide_id: store.map(slide_id) for slide_id in used}, progress)


@dataclass(frozen=True)
class Trained:
    """A finished network.

    Attributes:
        member: What it knows of its training patients.
        crop_cells: Side of its crops.
        code_size: D.
        weights: State of its :class:`~histonic.aggregators.base.SlideModel`.
        history: Its epochs.
        predictions: Per task ``(P, W)`` of the fold's test patients.
    """

    member: Member
    crop_cells: int
    code_size: int
    weights: dict[str, Tensor]
    history: tuple[EpochRecord, ...]
    predictions: dict[str, FloatArray]


def network_name(fold: int, initialisation: int) -> str:
    """Name of a network in file names and weights."""
    return f"fold-{fold}-init-{initialisation}"


def choose_crop(settings: TrainSettings, maps: Maps) -> int:
    """Side of the crops: as set, but no more than the largest map needs."""
    return min(settings.crop_cells, max(maps.largest_side(), LEAST_CROP_CELLS))


def train_networks(fabric: Fabric, plan_and_maps: tuple[Plan, Maps | None], progress: Progress) -> None:
    """Train every network that is not finished, and leave each in its file.

    Args:
        fabric: Device, precision, number of devices.
        plan_and_maps: What to train, and the maps if they are in memory already.
        progress: Listener to the progress.

    Raises:
        TrainingError: A loss is no longer finite.
        OutputError: A checkpoint cannot be written.
    """
    plan, maps = plan_and_maps
    maps = maps or plan.read_maps(Silent())
    epochs = plan.settings.max_epochs
    progress.stage("train", epochs * len(plan.networks()))
    with deterministic():
        for fold, initialisation in plan.networks():
            path = plan.path(fold, initialisation)
            if path.is_file() and load_state(path)["finished"]:
                progress.advance(epochs, f"fold {fold.number + 1} is finished")
                continue
            state = _train_network(fabric, plan, maps, fold, initialisation, progress)
            if fabric.is_global_zero:
                save_state(path, state)
            fabric.barrier()


def read_network(path: Path) -> Trained:
    """A finished network from its file.

    Raises:
        TrainingError: The file is damaged.
    """
    state = load_state(path)
    return Trained(
        Member.from_dict(state["member"]),
        state["crop_cells"],
        state["code_size"],
        state["weights"],
        tuple(EpochRecord(**record) for record in state["history"]),
        {name: values.numpy() for name, values in state["predictions"].items()},
    )


def _train_network(
    fabric: Fabric, plan: Plan, maps: Maps, fold: Fold, initialisation: int, progress: Progress
) -> dict[str, Any]:
    """The finished state of one network."""
    settings = plan.settings
    keys = (settings.seed, fold.number, initialisation)
    crop_cells = choose_crop(settings, maps)
    torch.manual_seed(torch_seed(*keys))
    model = build_model(
        settings.aggregator,
        code_size=maps.code_size,
        crop_cells=crop_cells,
        tasks=plan.cohort.tasks,
        tile_heads=plan.tile_heads,
    )
    draws = _make_draws(plan, fold, fabric.world_size)
    _tell_facts(model, plan.cohort, fold, maps, draws)
    lesson = SlideLesson(
        plan.cohort,
        fold.train,
        fold.validation,
        maps=maps,
        model=model,
        draws=draws,
        crop_cells=crop_cells,
        keys=keys,
        test_crops=settings.test_crops,
    )
    name = f"fold {fold.number + 1} of {len(plan.folds)}"
    if settings.initialisations > 1:
        name += f", network {initialisation + 1} of {settings.initialisations}"
    if model.is_linear:
        history = fit_heads(lesson, fabric)
        progress.advance(settings.max_epochs, f"{name}: heads fitted")
    else:
        schedule = Schedule(first_rate(settings.aggregator, settings.learning_rate), settings.max_epochs)
        checkpoint = plan.path(fold, initialisation)
        training = Training(
            model, lesson, schedule, fabric=fabric, keys=keys, name=name, checkpoint=checkpoint
        )
        history = tuple(training.run(progress).history)
    found = {}
    for role, patients in (("train", fold.train), ("test", fold.test)):
        found[role] = predict_patients(
            model, maps, patients, fabric=fabric, crop_cells=crop_cells, crops=settings.test_crops
        )
    return {
        "finished": True,
        "member": Member.of(fold.number, initialisation, model.heads, found["train"]).to_dict(),
        "crop_cells": crop_cells,
        "code_size": maps.code_size,
        "weights": {each: value.detach().cpu().clone() for each, value in model.state_dict().items()},
        "history": [asdict(record) for record in history],
        "predictions": {task: torch.from_numpy(values) for task, values in found["test"].items()},
    }


def _make_draws(plan: Plan, fold: Fold, world: int) -> BalancedDraws:
    """Batches no larger than the training part, and a multiple of the devices."""
    batch = max(2, min(plan.settings.batch, len(fold.train)))
    batch = -(-batch // world) * world
    targets = {task.name: plan.cohort.targets(task, fold.train) for task in plan.cohort.tasks}
    return BalancedDraws(plan.cohort.tasks, targets, batch)


def _tell_facts(model: SlideModel, cohort: Cohort, fold: Fold, maps: Maps, draws: BalancedDraws) -> None:
    """Give the model what it needs to know of its training patients."""
    slide_ids = [slide_id for patient in fold.train for slide_id in patient.slide_ids]
    mean, spread = maps.code_scale(slide_ids)
    model.set_scale(torch.from_numpy(mean), torch.from_numpy(spread))
    for task in cohort.tasks:
        targets = cohort.targets(task, fold.train)
        if task.is_classification:
            known = targets[~np.isnan(targets)].astype(int)
            counts = np.bincount(known, minlength=len(task.classes))
            sampled = draws.class_shares(len(task.classes), targets)
            model.heads[task.name].set_shares(
                torch.from_numpy(counts / counts.sum()), torch.from_numpy(sampled)
            )
        elif task.kind == "regression":
            model.heads[task.name].set_scale(float(np.nanmean(targets)), float(np.nanstd(targets)))
