"""All networks of a cross-validation, one after the other, each left on the disk when it is finished."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from histonic.aggregators.base import SlideModel, build_model
from histonic.core.cohort import Cohort
from histonic.core.progress import Progress, Silent
from histonic.data.store import Store
from histonic.nn.checkpoint import load_state, save_state
from histonic.stages.devices import deterministic
from histonic.stages.draws import BalancedDraws
from histonic.stages.ensemble import FloatArray, Member, Place
from histonic.stages.folds import Fold, Made, inner_folds
from histonic.stages.fusing import fuse_cohort, maps_of
from histonic.stages.lessons import SlideLesson, predict_patients
from histonic.stages.loop import EpochRecord, Schedule, Training, torch_seed
from histonic.stages.maps import Maps
from histonic.stages.search import best_choice, search_choices
from histonic.stages.settings import TrainSettings

LEAST_CROP_CELLS = 8


@dataclass(frozen=True)
class Network:
    """One network of a run: its place in the cross-validation, and its settings.

    Attributes:
        fold: Whose patients it learns from and is judged by.
        settings: Its own; those that are searched may differ from network to network.
        initialisation: Which of the fold's networks it is.
        trial: Name of the trial of a search; empty for a network that is kept.
    """

    fold: Fold
    settings: TrainSettings
    initialisation: int = 0
    trial: str = ""

    @property
    def name(self) -> str:
        """Its name in file names and weights."""
        return network_name(self.fold.repeat, self.fold.number, self.initialisation) + self.trial


@dataclass(frozen=True)
class Plan:
    """Everything that decides how the networks turn out; picklable.

    Attributes:
        settings: Of the training.
        cohort: The patients, with their slides as the store names them.
        made: How the split was made.
        folds: Of all repeats, the patients as :mod:`histonic.stages.fusing` lets the networks see them.
        checkpoints: Folder of the networks.
    """

    settings: TrainSettings
    cohort: Cohort
    made: Made
    folds: tuple[Fold, ...]
    checkpoints: Path

    def trials(self, fold: Fold) -> list[tuple[int, Network]]:
        """The networks by which a fold's settings are chosen, each with its number; none without a search."""
        if not self.settings.search:
            return []
        seed = torch_seed(self.settings.seed, fold.repeat, fold.number) % 2**32
        cohort = fuse_cohort(self.cohort, self.settings.fusion)
        inner = inner_folds(cohort, fold, self.settings.search_folds, self.made, seed)
        return [
            # The inner fold takes the outer one's number, so that both are known by it.
            (
                number,
                Network(replace(each, number=fold.number), settings, 0, f"-trial-{number}-{each.number}"),
            )
            for number, settings in enumerate(search_choices(self.settings))
            for each in inner
        ]

    def networks(self, fold: Fold) -> list[Network]:
        """The networks of a fold that are kept, with the settings that its trials have chosen.

        Raises:
            TrainingError: A trial is not finished, or its file is damaged.
        """
        settings = self.settings
        if settings.search:
            settings = search_choices(settings)[self.chosen(fold)]
        return [Network(fold, settings, each) for each in range(settings.initialisations)]

    def losses(self, fold: Fold) -> dict[int, list[float]]:
        """Validation losses of a fold's trials, per combination one for each inner fold."""
        found: dict[int, list[float]] = {}
        for number, network in self.trials(fold):
            state = load_state(self.path(network))
            found.setdefault(number, []).append(min(each["validation_loss"] for each in state["history"]))
        return found

    def chosen(self, fold: Fold) -> int:
        """Number of the combination that a fold's trials have chosen."""
        return best_choice(self.losses(fold))

    def path(self, network: Network) -> Path:
        """Where a network lies, unfinished or finished."""
        return self.checkpoints / f"{network.name}.safetensors"

    @property
    def epochs(self) -> int:
        """Epochs of all networks and trials, at most."""
        trials = (
            len(search_choices(self.settings)) * self.settings.search_folds if self.settings.search else 0
        )
        each = trials + self.settings.initialisations
        return len(self.folds) * each * self.settings.max_epochs

    def read_maps(self, progress: Progress) -> Maps:
        """The maps of all patients.

        Raises:
            StoreError: A map is damaged or holds bad numbers.
        """
        store = Store.open(self.settings.store)
        return Maps(maps_of(self.cohort.patients, self.settings.fusion, store.map), progress)


@dataclass(frozen=True)
class Trained:
    """A finished network.

    Attributes:
        member: What it is, and what it knows of its training patients.
        code_size: D.
        weights: State of its :class:`~histonic.aggregators.base.SlideModel`.
        history: Its epochs.
        predictions: Per task ``(P, W)`` of the fold's test patients.
    """

    member: Member
    code_size: int
    weights: dict[str, Tensor]
    history: tuple[EpochRecord, ...]
    predictions: dict[str, FloatArray]

    @property
    def name(self) -> str:
        """Its name in files and weights."""
        return network_name(self.member.repeat, self.member.fold, self.member.initialisation)


def network_name(repeat: int, fold: int, initialisation: int) -> str:
    """Name of a network in file names and weights."""
    return f"repeat-{repeat}-fold-{fold}-init-{initialisation}"


def choose_crop(settings: TrainSettings, maps: Maps) -> int:
    """Side of the crops: as set, but no more than the largest map needs."""
    return min(settings.crop_cells, max(maps.largest_side(), LEAST_CROP_CELLS))


def train_networks(fabric: Fabric, plan_and_maps: tuple[Plan, Maps | None], progress: Progress) -> None:
    """Train every network that is not finished, and leave each in its file.

    Fold by fold: first the trials of the search, if there is one, then the networks with the settings
    that these have chosen. Test patients take no part in the trials.

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
    progress.stage("train", plan.epochs)
    with deterministic():
        for fold in plan.folds:
            for _, trial in plan.trials(fold):
                _train_unless_finished(fabric, plan, maps, trial, progress)
            for network in plan.networks(fold):
                _train_unless_finished(fabric, plan, maps, network, progress)


def read_network(path: Path) -> Trained:
    """A finished network from its file.

    Raises:
        TrainingError: The file is damaged.
    """
    state = load_state(path)
    return Trained(
        Member.from_dict(state["member"]),
        state["code_size"],
        state["weights"],
        tuple(EpochRecord(**record) for record in state["history"]),
        {name: values.numpy() for name, values in state["predictions"].items()},
    )


def _train_unless_finished(
    fabric: Fabric, plan: Plan, maps: Maps, network: Network, progress: Progress
) -> None:
    path = plan.path(network)
    if path.is_file() and load_state(path)["finished"]:
        progress.advance(plan.settings.max_epochs, f"{_spoken(plan, network)} is finished")
        return
    model = _build(plan, network, maps)
    winner = _winning_trial(plan, network)
    if winner is None:
        history = _learn(fabric, plan, maps, network, model, progress)
    else:
        # The trial that has won was trained on the same patients by the same seed: it is this network.
        state = load_state(winner)
        model.load_state_dict(state["weights"])
        fabric.to_device(model)
        history = state["history"]
        progress.advance(plan.settings.max_epochs)
    finished = {
        "finished": True,
        "code_size": maps.code_size,
        "weights": {name: value.detach().cpu().clone() for name, value in model.state_dict().items()},
        "history": history,
    }
    if not network.trial:
        finished.update(_judge(fabric, plan, maps, network, model))
    if fabric.is_global_zero:
        save_state(path, finished)
    fabric.barrier()


def _build(plan: Plan, network: Network, maps: Maps) -> SlideModel:
    """The untrained model of a network."""
    torch.manual_seed(torch_seed(*_keys(network)))
    return build_model(
        network.settings.aggregator,
        code_size=maps.code_size,
        crop_cells=choose_crop(network.settings, maps),
        tasks=plan.cohort.tasks,
    )


def _keys(network: Network) -> tuple[int, ...]:
    keys = (network.settings.seed, network.fold.number, network.initialisation)
    return keys if network.fold.repeat == 0 else (*keys, network.fold.repeat)


def _winning_trial(plan: Plan, network: Network) -> Path | None:
    """The trial that is this very network, if there is one."""
    if network.trial or not plan.settings.search or plan.settings.search_folds > 1 or network.initialisation:
        return None
    number = plan.chosen(network.fold)
    return next(plan.path(trial) for each, trial in plan.trials(network.fold) if each == number)


def _learn(
    fabric: Fabric, plan: Plan, maps: Maps, network: Network, model: SlideModel, progress: Progress
) -> list[dict[str, Any]]:
    """Train a model; its epochs."""
    settings, fold = network.settings, network.fold
    draws = _make_draws(plan, network, fabric.world_size)
    whole = _sees_all(settings, plan.cohort)
    _tell_facts(model, plan.cohort, fold, maps, draws, whole)
    lesson = SlideLesson(
        plan.cohort,
        fold.train,
        fold.validation,
        maps=maps,
        model=model,
        draws=draws,
        crop_cells=choose_crop(settings, maps),
        keys=_keys(network),
        test_crops=settings.test_crops,
        whole=whole,
    )
    training = Training(
        model,
        lesson,
        Schedule(settings.learning_rate, settings.max_epochs, weight_decay=settings.weight_decay),
        fabric=fabric,
        keys=_keys(network),
        name=_spoken(plan, network),
        checkpoint=plan.path(network),
    )
    history: list[dict[str, Any]] = training.run(progress).to_dict()["history"]
    return history


def _judge(fabric: Fabric, plan: Plan, maps: Maps, network: Network, model: SlideModel) -> dict[str, Any]:
    """What a finished network knows of its training patients, and says of its test patients."""
    settings, fold = network.settings, network.fold
    crop_cells = choose_crop(settings, maps)
    found = {}
    for role, patients in (("train", fold.train), ("test", fold.test)):
        found[role] = predict_patients(
            model, maps, patients, fabric=fabric, crop_cells=crop_cells, crops=settings.test_crops
        )
    place = Place(fold.repeat, fold.number, network.initialisation, settings.aggregator, crop_cells)
    return {
        "member": Member.of(place, model.heads, found["train"]).to_dict(),
        "predictions": {task: torch.from_numpy(values) for task, values in found["test"].items()},
    }


def _spoken(plan: Plan, network: Network) -> str:
    """The network in messages."""
    fold = network.fold
    name = f"fold {fold.number + 1} of {len({each.number for each in plan.folds})}"
    if plan.settings.repeats > 1:
        name = f"repeat {fold.repeat + 1} of {plan.settings.repeats}, {name}"
    if network.trial:
        number, inner = (int(part) for part in network.trial.split("-")[-2:])
        name += f", trial {number + 1} of {len(search_choices(plan.settings))}"
        if plan.settings.search_folds > 1:
            name += f" (inner fold {inner + 1} of {plan.settings.search_folds})"
    elif network.settings.initialisations > 1:
        name += f", network {network.initialisation + 1} of {network.settings.initialisations}"
    return name


def _sees_all(settings: TrainSettings, cohort: Cohort) -> bool:
    """Whether every step needs all training patients, for complete risk sets."""
    return settings.risk_sets == "cohort" and any(
        task.kind == "survival" and not task.intervals for task in cohort.tasks
    )


def _make_draws(plan: Plan, network: Network, world: int) -> BalancedDraws:
    """Batches no larger than the training part, and a multiple of the devices."""
    fold = network.fold
    batch = max(2, min(network.settings.batch, len(fold.train)))
    batch = -(-batch // world) * world
    targets = {task.name: plan.cohort.targets(task, fold.train) for task in plan.cohort.tasks}
    return BalancedDraws(plan.cohort.tasks, targets, batch)


def _tell_facts(
    model: SlideModel, cohort: Cohort, fold: Fold, maps: Maps, draws: BalancedDraws, whole: bool
) -> None:
    """Give the model what it needs to know of its training patients."""
    slide_ids = [slide_id for patient in fold.train for slide_id in patient.slide_ids]
    mean, spread = maps.code_scale(slide_ids)
    model.scale.set(torch.from_numpy(mean), torch.from_numpy(spread))
    for task in cohort.tasks:
        targets = cohort.targets(task, fold.train)
        if task.is_classification:
            known = targets[~np.isnan(targets)].astype(int)
            counts = np.bincount(known, minlength=len(task.classes))
            sampled = counts / counts.sum() if whole else draws.class_shares(len(task.classes), targets)
            model.heads[task.name].set_shares(
                torch.from_numpy(counts / counts.sum()), torch.from_numpy(sampled)
            )
        elif task.intervals:
            model.heads[task.name].set_times(torch.from_numpy(targets))
        elif task.kind == "regression":
            model.heads[task.name].set_scale(float(np.nanmean(targets)), float(np.nanstd(targets)))
