"""All networks of a cross-validation, one after the other, each left on the disk when it is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from histonic.aggregators.base import SlideModel, build_model, first_rate
from histonic.core.cohort import Cohort, Fold
from histonic.core.progress import Progress, Silent, end_part, tell_measures
from histonic.data.maps.memory import Maps
from histonic.models.members import FloatArray, Member, Place
from histonic.models.predicting import predict_patients
from histonic.nn.checkpoint import load_state, save_state
from histonic.stages.train.draws import BalancedDraws
from histonic.stages.train.linear_heads import fit_heads
from histonic.stages.train.plan import Network, Plan
from histonic.stages.train.search import TrialLosses
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.training_data import SlideTrainingData
from histonic.training.devices import deterministic
from histonic.training.loop import Training
from histonic.training.schedule import Schedule
from histonic.training.seeds import torch_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LEAST_CROP_CELLS = 8
MARGIN_CELLS = 4
"""Room around the largest tissue, so that convolutions without padding see its border and crops can lie
differently."""
LEAST_GAIN = 1e-3
"""Of the validation loss: eight epochs that gain less wear a learning rate out."""


def choose_crop(settings: TrainSettings, maps: Maps) -> int:
    """Side of the crops: as set, but no more than the largest tissue needs."""
    return min(settings.crop_cells, max(maps.largest_side() + MARGIN_CELLS, LEAST_CROP_CELLS))


def train_networks(
    fabric: Fabric, work: tuple[Plan, Sequence[Network], Maps | None], progress: Progress
) -> None:
    """Train every network that is not finished, and leave each in its file.

    Trials of a search have to be finished before the networks to be kept are trained; the test patients of
    a fold take no part in its trials.

    Args:
        fabric: Device, precision, number of devices.
        work: The plan, what of it to train, and the maps if they are in memory already.
        progress: Listener to the progress.

    Raises:
        TrainingError: A loss is no longer finite.
        OutputError: A checkpoint cannot be written.
    """
    plan, networks, maps = work
    maps = maps or plan.read_maps(Silent())
    with deterministic():
        for network in networks:
            _train_unless_finished(fabric, plan, maps, network, progress)


def read_losses(plan: Plan) -> TrialLosses:
    """Read what the trials of a plan have found, each file once.

    Raises:
        TrainingError: A trial is not finished, or its file is damaged.
    """
    return {
        (fold.repeat, fold.number): {
            number: [_read_loss(plan.path(trial)) for trial in trials]
            for number, trials in plan.trials(fold).items()
        }
        for fold in plan.folds
    }


def _read_loss(path: Path) -> float:
    history = load_state(path, tensors=False, holds=("history",))["history"]
    return float(min(record["validation_loss"] for record in history))


def _train_unless_finished(
    fabric: Fabric, plan: Plan, maps: Maps, network: Network, progress: Progress
) -> None:
    path = plan.path(network)
    if path.is_file() and load_state(path, tensors=False, holds=("finished",))["finished"]:
        end_part(progress, None, plan.settings.max_epochs, f"{plan.spoken(network)} is finished")
        return
    model = _build(plan, network, maps)
    if network.twin is None:
        learned = _learn(fabric, plan, maps, network, model, progress)
    else:
        state = load_state(plan.path(network.twin), holds=("weights", "history", "inner"))
        model.load_state_dict(state["weights"])
        fabric.to_device(model)
        learned = {"history": state["history"], "inner": state["inner"]}
        end_part(progress, None, plan.settings.max_epochs)
    finished = {
        "finished": True,
        "code_size": maps.code_size,
        "weights": {name: value.detach().cpu().clone() for name, value in model.state_dict().items()},
        **learned,
    }
    if network.trial is None:
        finished.update(_judge(fabric, plan, maps, network, model, learned["inner"]))
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
        tile_heads=plan.tile_heads,
        stream_cells=network.settings.stream_cells,
        code_sizes=[part.code_size for part in plan.parts],
    )


def _keys(network: Network) -> tuple[int, ...]:
    keys = (network.settings.seed, network.fold.number, network.initialisation)
    return keys if network.fold.repeat == 0 else (*keys, network.fold.repeat)


def _learn(
    fabric: Fabric, plan: Plan, maps: Maps, network: Network, model: SlideModel, progress: Progress
) -> dict[str, Any]:
    """Train a model; its epochs, and of fitted heads the predictions of the inner cross-validation."""
    settings, fold = network.settings, network.fold
    draws = _make_draws(plan, network, fabric.world_size)
    whole = plan.sees_all
    _tell_facts(model, plan.cohort, fold, maps, draws, whole)
    data = SlideTrainingData(
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
        pinned=fabric.device.type == "cuda",
    )
    name = plan.spoken(network)
    if model.is_linear:
        records, inner = fit_heads(data, fabric, svm=settings.linear_heads == "svm")
        for record in records:
            tell_measures(progress, record.measures(name, record.epoch))
        end_part(progress, None, settings.max_epochs, f"{name}: heads fitted")
        return {"history": [asdict(record) for record in records], "inner": _tensors(inner)}
    rate = first_rate(settings.aggregator, settings.learning_rate)
    training = Training(
        model,
        data,
        Schedule(rate, settings.max_epochs, weight_decay=settings.weight_decay, least_gain=LEAST_GAIN),
        fabric=fabric,
        keys=_keys(network),
        name=name,
        checkpoint=plan.path(network),
    )
    return {"history": training.run(progress).to_dict()["history"], "inner": {}}


def _judge(
    fabric: Fabric, plan: Plan, maps: Maps, network: Network, model: SlideModel, inner: Mapping[str, Tensor]
) -> dict[str, Any]:
    """What a finished network knows of its training patients, and says of patients that it has not learned.

    Args:
        fabric: Device.
        plan: Of the training.
        maps: Of all patients.
        network: Its place and settings.
        model: The network.
        inner: Of fitted heads, which learn from their validation patients too, the predictions of the inner
            cross-validation.
    """
    settings, fold = network.settings, network.fold
    crop_cells = choose_crop(settings, maps)
    found = {
        role: predict_patients(
            model, maps, patients, fabric=fabric, crop_cells=crop_cells, crops=settings.test_crops
        )
        for role, patients in (("train", fold.train), ("validation", fold.validation), ("test", fold.test))
    }
    learned = found["train"]
    if inner:
        both = (found["train"], found["validation"])
        learned = {name: np.concatenate([each[name] for each in both]) for name in learned}
    place = Place(fold.repeat, fold.number, network.initialisation, settings.aggregator, crop_cells)
    return {
        "member": Member.of(place, model.heads, found["train"]).to_dict(),
        "predictions": _tensors(found["test"]),
        "unseen": dict(inner) or _tensors(found["validation"]),
        "learned": _tensors(learned),
    }


def _tensors(arrays: Mapping[str, FloatArray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


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
    numbers = range(1, len(model.scale.mean) + 1) if model.scale.mean.dim() == 2 else [0]
    scales = [maps.code_scale(slide_ids, number) for number in numbers]
    mean, std = (
        torch.from_numpy(np.stack(each)).view_as(model.scale.mean) for each in zip(*scales, strict=True)
    )
    model.scale.set(mean, std)
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
