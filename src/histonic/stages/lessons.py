"""How a slide network learns from patients: batches of crops, joint loss, validation by patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from histonic.aggregators.base import SlideModel
from histonic.core.cohort import Cohort, Patient
from histonic.core.compressed import ORIENTATIONS
from histonic.core.prefetch import prefetched
from histonic.nn.heads import prediction_width
from histonic.nn.losses import Verdict, joint_loss
from histonic.nn.trust import choose_trust
from histonic.stages.draws import BalancedDraws
from histonic.stages.loop import Chunks, Inputs, Lesson
from histonic.stages.maps import Maps
from histonic.stages.sampling import View, draw_view, seeded, spread_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from histonic.stages.devices import Here

FloatArray = npt.NDArray[np.float64]
Targets = dict[str, Tensor]
LEAST_STEPS = 8
"""Steps in an epoch of a small cohort."""
WHOLE_STEPS = 2
"""Steps in an epoch if each sees all patients."""
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
        whole: Every step sees all training patients, so that the risk sets of Cox are complete; else
            batches are drawn.
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
        whole: bool = False,
    ) -> None:
        self.tasks = cohort.tasks
        self.train = train
        self.validation = validation
        self.maps = maps
        self.model = model
        self.draws = draws
        self.crop_cells = crop_cells
        self.keys = keys
        self.whole = whole
        self.steps = max(-(-len(train) // draws.batch), LEAST_STEPS)
        if whole:
            self.steps = max(WHOLE_STEPS, round(self.steps * draws.batch / len(train)))
        # Large maps are judged by fewer looks, so that judging does not cost more than learning.
        self.crops = min(test_crops, VALIDATION_CROPS)
        self.orientations = ORIENTATIONS if crop_cells <= SMALL_CROP else 1
        self.targets = {task.name: cohort.targets(task, train) for task in cohort.tasks}
        self.judged_by = {task.name: cohort.targets(task, validation) for task in cohort.tasks}

    def batches(self, epoch: int, rank: int, world: int) -> Iterator[tuple[Inputs | Chunks, Targets]]:
        """Crops of an epoch, prepared ahead in a thread."""
        rng = seeded(*self.keys, epoch)
        if self.whole:
            for _ in range(self.steps):
                yield self._everyone(rng, rank, world)
            return
        ahead = prefetched(self._drawn(rng, rank, world), BATCHES_AHEAD)
        with closing(ahead):  # type: ignore[type-var]
            yield from ahead

    def _drawn(self, rng: np.random.Generator, rank: int, world: int) -> Iterator[tuple[Inputs, Targets]]:
        for drawn in self.draws.epoch(rng, self.steps):
            rows = _dealt(drawn, world)
            share = len(rows) // world
            mine = self._views(rows, rng)[rank * share : (rank + 1) * share]
            yield self._look(mine), self._targets(rows)

    def _everyone(self, rng: np.random.Generator, rank: int, world: int) -> tuple[Chunks, Targets]:
        """All training patients, so that every risk set is complete, in pieces of the size of a batch."""
        order = rng.permutation(len(self.train))
        # All ranks get as many: some patients come twice, and their second look counts for nothing.
        rows = _dealt(np.resize(order, -(-len(order) // world) * world), world)
        share = len(rows) // world
        views = self._views(rows, rng)[rank * share : (rank + 1) * share]
        size = max(2, self.draws.batch // world)
        starts = list(range(0, share, size))
        if share - starts[-1] == 1 and len(starts) > 1:
            del starts[-1]  # a batch of one has no statistics

        def pieces() -> Iterator[Inputs]:
            looks = (
                self._look(views[start:stop])
                for start, stop in zip(starts, [*starts[1:], share], strict=True)
            )
            ahead = prefetched(looks, BATCHES_AHEAD)
            with closing(ahead):  # type: ignore[type-var]
                yield from ahead

        targets = self._targets(rows)
        seen = np.unique(rows, return_index=True)[1]
        again = np.setdiff1d(np.arange(len(rows)), seen)
        for values in targets.values():
            values[again] = torch.nan
        return Chunks(pieces), targets

    def _views(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> list[View]:
        """A random view of a random slide of each patient."""
        views = []
        for row in rows:
            slide_id = self.train[row].slide_ids[int(rng.integers(len(self.train[row].slide_ids)))]
            density = self.maps.density(slide_id, self.crop_cells)
            box = self.maps.box(slide_id)
            views.append(draw_view(slide_id, box, density, self.crop_cells, rng))
        return views

    def _look(self, views: Sequence[View]) -> Inputs:
        codes, mask = self.maps.look(views, self.crop_cells)
        return torch.from_numpy(codes), torch.from_numpy(mask)

    def _targets(self, rows: npt.NDArray[np.int64]) -> Targets:
        return {name: torch.from_numpy(values[rows]) for name, values in self.targets.items()}

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


def _dealt(rows: npt.NDArray[np.int64], world: int) -> npt.NDArray[np.int64]:
    """Rows in the order of the ranks; groups lie side by side, so that dealing gives every rank of each."""
    return np.concatenate([rows[start::world] for start in range(world)])


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
    fabric: Fabric | Here,
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
        turns = seen_turns(model, maps, slide_id, orientations)
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
        turns = seen_turns(model, maps, slide_id, ORIENTATIONS)
        views = spread_views(slide_id, maps.mask(slide_id), crop_cells, crops, turns)
        total = torch.zeros((), dtype=torch.float64)
        for codes, mask in _inputs(maps, views, fabric, crop_cells):
            total = total + model.vectors(codes, mask).double().cpu().sum(dim=0)
        rows.append(total / len(views))
    return torch.stack(rows).numpy()


def seen_turns(model: SlideModel, maps: Maps, slide_id: str, orientations: int) -> int:
    """Orientations to look at: one will do where a turned map has the same outputs."""
    return orientations if model.sees_places or maps.has_turned(slide_id) else 1


def _inputs(
    maps: Maps, views: Sequence[View], fabric: Fabric | Here, side: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Codes and masks of views on the device, no more at a time than it holds."""
    at_once = max(1, CELLS_AT_ONCE // side**2)
    for start in range(0, len(views), at_once):
        codes, mask = maps.look(views[start : start + at_once], side)
        yield fabric.to_device(torch.from_numpy(codes)), fabric.to_device(torch.from_numpy(mask))


@torch.no_grad()
def _look_at(
    model: SlideModel, maps: Maps, views: Sequence[View], fabric: Fabric | Here, side: int
) -> Tensor:
    """Mean prediction over views, all tasks side by side, float64."""
    total = torch.zeros((), dtype=torch.float64)
    for inputs in _inputs(maps, views, fabric, side):
        with fabric.autocast():
            outputs = model(*inputs)
        parts = model.heads.predict(outputs)
        found = torch.cat([parts[task.name] for task in model.heads.tasks], dim=1)
        total = total + found.double().cpu().sum(dim=0)
    return total / len(views)
