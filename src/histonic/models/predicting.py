"""Slide networks at work: maps of patients to predictions and slide vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from histonic.aggregators.base import SlideModel
from histonic.core.cohort import Patient
from histonic.core.compressed import ORIENTATIONS
from histonic.data.maps.memory import Maps
from histonic.data.maps.views import View, spread_views
from histonic.nn.heads import prediction_width

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from histonic.training.devices import SingleDevice


FloatArray = npt.NDArray[np.float64]
SMALL_CROP = 64
CELLS_AT_ONCE = 1 << 18
"""Cells that a prediction holds on the device at a time."""


def predict_patients(
    model: SlideModel,
    maps: Maps,
    patients: Sequence[Patient],
    *,
    fabric: Fabric,
    crop_cells: int,
    crops: int,
    orientations: int = ORIENTATIONS,
    shrinkage: float | None = None,
) -> dict[str, FloatArray]:
    """Predictions ``(P, W)`` per task: the mean over a patient's slides of the mean over their crops."""
    slides = [slide_id for patient in patients for slide_id in patient.slide_ids]
    view = {"crop_cells": crop_cells, "crops": crops, "orientations": orientations}
    found = predict_slides(model, maps, slides, fabric=fabric, shrinkage=shrinkage, **view)
    starts = np.cumsum([0] + [len(patient.slide_ids) for patient in patients])[:-1]
    counts = np.array([len(patient.slide_ids) for patient in patients])[:, None]
    return {name: np.add.reduceat(values, starts) / counts for name, values in found.items()}


def predict_slides(
    model: SlideModel,
    maps: Maps,
    slide_ids: Sequence[str],
    *,
    fabric: Fabric | SingleDevice,
    crop_cells: int,
    crops: int,
    orientations: int = ORIENTATIONS,
    shrinkage: float | None = None,
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
        rows[place] = _predict_crops(model, maps, views, fabric, crop_cells, shrinkage)
    if fabric.world_size > 1:
        gathered = torch.as_tensor(fabric.all_gather(fabric.to_device(rows)))
        rows = gathered.flatten(0, 1).cpu()
    columns = np.split(rows[: len(slide_ids)].numpy(), np.cumsum(widths)[:-1], axis=1)
    return {task.name: part for task, part in zip(model.heads.tasks, columns, strict=True)}


@torch.no_grad()
def slide_vectors(
    model: SlideModel, maps: Maps, slide_ids: Sequence[str], *, fabric: Fabric, crop_cells: int, crops: int
) -> FloatArray:
    """Slide vectors ``(S, E)``, each the mean over a slide's crops."""
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
    maps: Maps, views: Sequence[View], fabric: Fabric | SingleDevice, side: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Codes and masks of views on the device, no more at a time than it holds."""
    at_once = max(1, CELLS_AT_ONCE // side**2)
    for start in range(0, len(views), at_once):
        codes, mask = maps.crops(views[start : start + at_once], side)
        yield fabric.to_device(torch.from_numpy(codes)), fabric.to_device(torch.from_numpy(mask))


@torch.no_grad()
def _predict_crops(
    model: SlideModel,
    maps: Maps,
    views: Sequence[View],
    fabric: Fabric | SingleDevice,
    side: int,
    shrinkage: float | None,
) -> Tensor:
    """Mean prediction over views, all tasks side by side, float64."""
    total = torch.zeros((), dtype=torch.float64)
    for inputs in _inputs(maps, views, fabric, side):
        with fabric.autocast():
            outputs = model(*inputs)
        parts = model.heads.predict(outputs, shrinkage)
        found = torch.cat([parts[task.name] for task in model.heads.tasks], dim=1)
        total = total + found.double().cpu().sum(dim=0)
    return total / len(views)
