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
from histonic.core.processes.prefetch import prefetched
from histonic.data.maps.memory import Maps
from histonic.data.maps.views import View, draw_view
from histonic.models.predicting import SMALL_CROP, predict_patients
from histonic.nn.losses import ValidationResult, joint_loss
from histonic.nn.shrinkage import FloatArray, best_shrinkage, prediction_loss
from histonic.stages.train.draws import BalancedDraws
from histonic.training.loop import Chunks, Inputs, TrainingData
from histonic.training.seeds import seeded

if TYPE_CHECKING:
    from lightning_fabric import Fabric


Targets = dict[str, Tensor]
LEAST_STEPS = 8
"""Steps in an epoch of a small cohort."""
WHOLE_STEPS = 2
"""Steps in an epoch if each sees all patients."""
BATCHES_AHEAD = 2
VALIDATION_CROPS = 4


class SlideTrainingData(TrainingData):
    """Training data (see :class:`histonic.training.loop.TrainingData`) from the maps of one fold's patients.

    Args:
        cohort: Tasks and targets.
        train: Patients to learn from; for every draw one of the patient's slides is taken at random.
        validation: Patients of the validation.
        maps: Of all these patients.
        model: Whose heads know how targets are standardised.
        crop_cells: Side of the crops.
        batch: Patients in a batch.
        keys: What makes this training's chance its own.
        test_crops: Crops per map at test time; validation uses 4 at most.
        whole: Every step sees all training patients, so that the risk sets of Cox are complete; else
            batches are drawn.
        pinned: Whether batches are for a device that copies them by itself, such as a GPU.
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
        pinned: bool = False,
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
        self.pinned = pinned
        self.steps = max(-(-len(train) // draws.batch), LEAST_STEPS)
        if whole:
            self.steps = max(WHOLE_STEPS, round(self.steps * draws.batch / len(train)))
        # Large maps are validated by fewer crops, so that validating does not cost more than learning.
        self.crops = min(test_crops, VALIDATION_CROPS)
        self.orientations = ORIENTATIONS if crop_cells <= SMALL_CROP else 1
        self.targets = {task.name: cohort.targets(task, train) for task in cohort.tasks}
        self.validation_targets = {task.name: cohort.targets(task, validation) for task in cohort.tasks}

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
            rows = _assigned(drawn, world)
            share = len(rows) // world
            mine = self._views(rows, rng)[rank * share : (rank + 1) * share]
            yield self._look(mine), self._targets(rows)

    def _everyone(self, rng: np.random.Generator, rank: int, world: int) -> tuple[Chunks, Targets]:
        """All training patients, so that every risk set is complete, in pieces of the size of a batch."""
        order = rng.permutation(len(self.train))
        # All ranks get as many: some patients come twice, and their second look counts for nothing.
        rows = _assigned(np.resize(order, -(-len(order) // world) * world), world)
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
        codes, mask = (torch.from_numpy(each) for each in self.maps.crops(views, self.crop_cells))
        # Only pages that stay in their place can be copied to a device while it computes.
        return (codes.pin_memory(), mask.pin_memory()) if self.pinned else (codes, mask)

    def _targets(self, rows: npt.NDArray[np.int64]) -> Targets:
        return {name: torch.from_numpy(values[rows]) for name, values in self.targets.items()}

    def loss(self, outputs: dict[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Sum of the tasks' mean losses, and the aggregator's own loss where it has one."""
        known = self.model.heads.standardise({name: values.float() for name, values in targets.items()})
        return joint_loss(self.tasks, outputs, known) + self.model.own_loss(outputs, known)

    def predict(self, network: nn.Module, fabric: Fabric) -> dict[str, FloatArray]:
        """The patients' joined predictions, not shrunken."""
        return predict_patients(
            self.model,
            self.maps,
            self.validation,
            fabric=fabric,
            crop_cells=self.crop_cells,
            crops=self.crops,
            orientations=self.orientations,
            shrinkage=1.0,
        )

    def calibrate(self, predictions: Mapping[str, FloatArray]) -> None:
        """Give each head the shrinkage with which its predictions are best.

        A network that ranks patients rightly but overstates the differences, as small cohorts make it, is
        thus not taken for a bad one, and one that has learned nothing falls back on the baseline.
        """
        for name, targets in self.validation_targets.items():
            head = self.model.heads[name]
            head.shrinkage.fill_(best_shrinkage(head, predictions[name], targets))

    def validate(self, predictions: Mapping[str, FloatArray]) -> ValidationResult:
        """Sum over tasks of the loss of the predictions, at the shrinkage that each head has."""
        losses = {
            f"{name} loss": prediction_loss(self.model.heads[name], predictions[name], targets)
            for name, targets in self.validation_targets.items()
        }
        return ValidationResult(sum(losses.values()), losses)


def _assigned(rows: npt.NDArray[np.int64], world: int) -> npt.NDArray[np.int64]:
    """Rows in the order of the ranks; groups lie side by side, so that dealing gives every rank of each."""
    return np.concatenate([rows[start::world] for start in range(world)])
