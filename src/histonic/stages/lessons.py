"""How a slide network learns from patients: batches of crops, joint loss, validation by patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from histonic.aggregators.base import SlideModel
from histonic.core.cohort import Cohort, Patient
from histonic.core.compressed import ORIENTATIONS
from histonic.data.tiles import prefetched
from histonic.nn.heads import prediction_width
from histonic.nn.losses import Verdict, joint_loss
from histonic.nn.trust import choose_trust
from histonic.stages.draws import BalancedDraws
from histonic.stages.loop import Lesson
from histonic.stages.maps import Maps
from histonic.stages.sampling import View, draw_view, seeded, spread_views

FloatArray = npt.NDArray[np.float64]
LEAST_STEPS = 8
"""Steps in an epoch of a small cohort."""
BATCHES_AHEAD = 2
SMALL_CROP = 64
VALIDATION_CROPS = 4
CELLS_AT_ONCE = 1 << 18
"""Cells that a prediction holds on the device at a time."""


class SlideLesson(Lesson):
    """A lesson (see :class:`histonic.stages.loop.Lesson`) from the maps of one fold's patients.

    Args:
        cohort: Tasks and targets.
        train: Patients to learn from; for every draw one of the patient's slides is taken at random.
        validation: Patients to be judged by.
        maps: Of all these patients.
        model: Whose heads know how targets are standardised.
        crop_cells: Side of the crops.
        batch: Patients in a batch.
        keys: What makes this training's chance its own.
        test_crops: Crops per map at test time; validation uses 4 at most.
    """

    def __init__(
        self,
        cohort: Cohort,
        train: Sequence[Patient],
        validation: Sequence[Patient],
        *,
        maps: Maps,
        model: SlideModel,
        draws: BalancedDraws,
        crop_cells: int,
        keys: tuple[int, ...],
        test_crops: int,
    ) -> None:
        self.tasks = cohort.tasks
        self.train = train
        self.validation = validation
        self.maps = maps
        self.model = model
        self.draws = draws
        self.crop_cells = crop_cells
        self.keys = keys
        self.steps = max(-(-len(train) // draws.batch), LEAST_STEPS)
        # Large maps are judged by fewer looks, so that judging does not cost more than learning.
        self.crops = min(test_crops, VALIDATION_CROPS)
        self.orientations = ORIENTATIONS if crop_cells <= SMALL_CROP else 1
        self.targets = {task.name: cohort.targets(task, train) for task in cohort.tasks}
        self.judged_by = {task.name: cohort.targets(task, validation) for task in cohort.tasks}

    def batches(
        self, epoch: int, rank: int, world: int
    ) -> Iterator[tuple[tuple[Tensor, ...], dict[str, Tensor]]]:
        """Crops of an epoch, prepared ahead in a thread."""
        ahead = prefetched(self._batches(epoch, rank, world), BATCHES_AHEAD)
        with closing(ahead):  # type: ignore[type-var]
            yield from ahead

    def _batches(
        self, epoch: int, rank: int, world: int
    ) -> Iterator[tuple[tuple[Tensor, ...], dict[str, Tensor]]]:
        rng = seeded(*self.keys, epoch)
        for drawn in self.draws.epoch(rng, self.steps):
            # Groups lie side by side in a batch: dealing it out gives every rank of each.
            rows = np.concatenate([drawn[start::world] for start in range(world)])
            views = []
            for row in rows:
                slide_id = self.train[row].slide_ids[int(rng.integers(len(self.train[row].slide_ids)))]
                density = self.maps.density(slide_id, self.crop_cells)
                views.append(
                    draw_view(slide_id, self.maps.mask(slide_id).shape, density, self.crop_cells, rng)
                )
            share = len(rows) // world
            codes, mask = self.maps.look(views[rank * share : (rank + 1) * share], self.crop_cells)
            targets = {name: torch.from_numpy(values[rows]) for name, values in self.targets.items()}
            yield (torch.from_numpy(codes), torch.from_numpy(mask)), targets

    def loss(self, outputs: dict[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Sum of the tasks' mean losses, and the aggregator's own loss where it has one."""
        known = self.model.heads.standardise({name: values.float() for name, values in targets.items()})
        return joint_loss(self.tasks, outputs, known) + self.model.own_loss(outputs, known)

    def validate(self, network: nn.Module, fabric: Fabric) -> Verdict:
        """Sum over tasks of the loss of the patients' joined predictions.

        Each head is first given the trust with which its predictions are best. A network that ranks patients
        rightly but overstates the differences, as small cohorts make it, is thus not taken for a bad one,
        and one that has learned nothing falls back on the baseline.
        """
        for task in self.tasks:
            self.model.heads[task.name].trust.fill_(1)
        predictions = predict_patients(
            self.model,
            self.maps,
            self.validation,
            fabric=fabric,
            crop_cells=self.crop_cells,
            crops=self.crops,
            orientations=self.orientations,
        )
        losses = {
            f"{task.name} loss": choose_trust(
                self.model.heads[task.name], predictions[task.name], self.judged_by[task.name]
            )
            for task in self.tasks
        }
        return Verdict(sum(losses.values()), losses)


def predict_patients(
    model: SlideModel,
    maps: Maps,
    patients: Sequence[Patient],
    *,
    fabric: Fabric,
    crop_cells: int,
    crops: int,
    orientations: int = ORIENTATIONS,
) -> dict[str, FloatArray]:
    """Predictions ``(P, W)`` per task: the mean over a patient's slides of the mean over their looks."""
    slides = [slide_id for patient in patients for slide_id in patient.slide_ids]
    found = predict_slides(
        model, maps, slides, fabric=fabric, crop_cells=crop_cells, crops=crops, orientations=orientations
    )
    starts = np.cumsum([0] + [len(patient.slide_ids) for patient in patients])[:-1]
    counts = np.array([len(patient.slide_ids) for patient in patients])[:, None]
    return {name: np.add.reduceat(values, starts) / counts for name, values in found.items()}


def predict_slides(
    model: SlideModel,
    maps: Maps,
    slide_ids: Sequence[str],
    *,
    fabric: Fabric,
    crop_cells: int,
    crops: int,
    orientations: int = ORIENTATIONS,
) -> dict[str, FloatArray]:
    """Predictions of slides, shared out among the devices.

    A slide is looked at by itself, never in one batch with others, so that its numbers do not depend
    on them.

    Returns:
        Per task ``(S, W)``, see :meth:`histonic.nn.heads.Head.predict`.
    """
    widths = [prediction_width(task) for task in model.heads.tasks]
    each = -(-len(slide_ids) // fabric.world_size)
    first = fabric.global_rank * each
    rows = torch.zeros((each, sum(widths)), dtype=torch.float64)
    model.eval()
    for place, slide_id in enumerate(slide_ids[first : first + each]):
        turns = _turns(model, maps, slide_id, orientations)
        views = spread_views(slide_id, maps.mask(slide_id), crop_cells, crops, turns)
        rows[place] = _look_at(model, maps, views, fabric, crop_cells)
    if fabric.world_size > 1:
        gathered = torch.as_tensor(fabric.all_gather(fabric.to_device(rows)))
        rows = gathered.flatten(0, 1).cpu()
    columns = np.split(rows[: len(slide_ids)].numpy(), np.cumsum(widths)[:-1], axis=1)
    return {task.name: part for task, part in zip(model.heads.tasks, columns, strict=True)}


@torch.no_grad()
def slide_vectors(
    model: SlideModel, maps: Maps, slide_ids: Sequence[str], *, fabric: Fabric, crop_cells: int, crops: int
) -> FloatArray:
    """Slide vectors ``(S, E)``, each the mean over a slide's looks."""
    model.eval()
    rows = []
    for slide_id in slide_ids:
        turns = _turns(model, maps, slide_id, ORIENTATIONS)
        views = spread_views(slide_id, maps.mask(slide_id), crop_cells, crops, turns)
        total = torch.zeros((), dtype=torch.float64)
        for codes, mask in _inputs(maps, views, fabric, crop_cells):
            total = total + model.vectors(codes, mask).double().cpu().sum(dim=0)
        rows.append(total / len(views))
    return torch.stack(rows).numpy()


def _turns(model: SlideModel, maps: Maps, slide_id: str, orientations: int) -> int:
    """Orientations to look at: one will do where a turned map has the same outputs."""
    return orientations if model.sees_places or maps.has_turned(slide_id) else 1


def _inputs(maps: Maps, views: Sequence[View], fabric: Fabric, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Codes and masks of views on the device, no more at a time than it holds."""
    at_once = max(1, CELLS_AT_ONCE // side**2)
    for start in range(0, len(views), at_once):
        codes, mask = maps.look(views[start : start + at_once], side)
        yield fabric.to_device(torch.from_numpy(codes)), fabric.to_device(torch.from_numpy(mask))


@torch.no_grad()
def _look_at(model: SlideModel, maps: Maps, views: Sequence[View], fabric: Fabric, side: int) -> Tensor:
    """Mean prediction over views, all tasks side by side, float64."""
    total = torch.zeros((), dtype=torch.float64)
    for inputs in _inputs(maps, views, fabric, side):
        with fabric.autocast():
            outputs = model(*inputs)
        parts = model.heads.predict(outputs)
        found = torch.cat([parts[task.name] for task in model.heads.tasks], dim=1)
        total = total + found.double().cpu().sum(dim=0)
    return total / len(views)
