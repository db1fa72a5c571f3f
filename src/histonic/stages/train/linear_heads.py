"""Linear heads on vectors that are not learned: a convex problem, solved for a path of penalties."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from histonic.aggregators.joined import JoinedParts
from histonic.models.predicting import slide_vectors
from histonic.nn.heads import Head, prediction_width
from histonic.nn.losses import LOSSES
from histonic.nn.shrinkage import best_shrinkage, prediction_loss
from histonic.stages.train.svm import SVM_LOSSES, calibrated
from histonic.stages.train.training_data import SlideTrainingData
from histonic.training.schedule import EpochRecord

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
PENALTIES = tuple(float(10**power) for power in np.arange(1.5, -3.1, -0.5))
"""Weights of half the squared coefficients of standardised features, the strongest first."""
PARTS = 5
"""Parts of the inner cross-validation that chooses the penalty."""
MAX_ITERATIONS = 200
Losses = list[tuple[float | None, float]]


@dataclass(frozen=True)
class Sample:
    """Patients, their slides' features and one target.

    Attributes:
        features: ``(S, E)`` of slides, float64.
        patient_of: ``(S,)`` whose slide it is, sorted from 0 to P - 1.
        targets: ``(P,)`` or ``(P, 2)``.
    """

    features: Tensor
    patient_of: IntArray
    targets: FloatArray

    def take(self, patients: IntArray) -> Sample:
        """Some of the patients."""
        slides = [np.flatnonzero(self.patient_of == patient) for patient in patients]
        patient_of = np.repeat(np.arange(len(patients)), [len(rows) for rows in slides])
        return Sample(self.features[np.concatenate(slides)], patient_of, self.targets[patients])

    def mean(self, values: FloatArray) -> FloatArray:
        """Values of slides ``(S, W)`` averaged over each patient's."""
        counts = np.bincount(self.patient_of)
        return np.asarray(np.add.reduceat(values, np.cumsum(counts) - counts) / counts[:, None])


class FittedHead(NamedTuple):
    """What fitting a head has shown.

    Attributes:
        losses: For the baseline and then each penalty, the mean loss in fitting, and that of the validated
            patients in the inner cross-validation.
        unseen: ``(P, W)`` of all patients with the chosen penalty, predicted by heads fitted to the others.
    """

    losses: Losses
    unseen: FloatArray


def fit_heads(
    data: SlideTrainingData, fabric: Fabric, *, svm: bool = False
) -> tuple[tuple[EpochRecord, ...], dict[str, FloatArray]]:
    """Fit the heads of a model whose aggregator has no weights.

    The mean loss of the patients plus ``penalty / 2`` times the squared coefficients of standardised
    features is minimised: ridge regression, ridge logistic regression, proportional odds, or ridge Cox, by
    the target. Each target takes the penalty that is best in a cross-validation among the training and
    validation patients, to all of whom the head is then fitted: nothing else here needs validation
    patients, and a handful of them chooses badly.

    Args:
        data: Patients, maps and model; the model's heads are set.
        fabric: Device for the features.
        svm: Fit support vector machines instead, see :func:`fit_head`.

    Returns:
        In place of epochs the penalties, the strongest first; number 0 is the baseline. And per task
        :attr:`FittedHead.unseen` of the training and validation patients.
    """
    model = data.model
    fabric.to_device(model)
    patients = [*data.train, *data.validation]
    slides = [slide_id for patient in patients for slide_id in patient.slide_ids]
    view = {"fabric": fabric, "crop_cells": data.crop_cells, "crops": data.crops}
    features = torch.from_numpy(slide_vectors(model, data.maps, slides, **view))  # type: ignore[arg-type]
    if isinstance(model.aggregator, JoinedParts):
        numbers = range(1, len(model.aggregator.parts) + 1)
        there = [[data.maps.has_part(name, number) for number in numbers] for name in slides]
        model.aggregator.fill(features.to(model.aggregator.absent), torch.tensor(there))
        features = torch.from_numpy(slide_vectors(model, data.maps, slides, **view))  # type: ignore[arg-type]
    patient_of = np.repeat(np.arange(len(patients)), [len(patient.slide_ids) for patient in patients])
    fitted: dict[str, FittedHead] = {}
    for task in data.tasks:
        targets = np.concatenate([data.targets[task.name], data.validation_targets[task.name]])
        head = model.heads[task.name]
        if task.is_classification:
            # Every patient counts once, so the classes are as common as they are.
            head.set_shares(head.prevalence, head.prevalence)
        validated = np.arange(len(data.train), len(patients))
        fitted[task.name] = fit_head(head, Sample(features, patient_of, targets), validated, svm=svm)
    paths = [each.losses for each in fitted.values()]
    records = tuple(
        _record(data, number, [path[number] for path in paths]) for number in range(len(paths[0]))
    )
    return records, {name: each.unseen for name, each in fitted.items()}


def fit_head(head: Head, sample: Sample, validated: IntArray, *, svm: bool = False) -> FittedHead:
    """Fit one head to patients.

    A support vector machine has the same penalties, and squared hinge losses (of values, the squared
    distance from a tube) in place of likelihoods. Its margins become probabilities by a scale and shifts
    fitted to the margins of the patients left out in turn (Platt 1999).

    Args:
        head: Knows the class shares or the scale of its target; its weights and its shrinkage are set.
        sample: The patients.
        validated: Those of them whose loss is returned, so that it can be compared with that of a network.
        svm: Fit a support vector machine; not of survival times.
    """
    base = copy.deepcopy(head).cpu().double()
    baseline = base.baseline.numpy()
    parts = _assign(sample.targets)
    everyone = np.arange(len(parts))
    found = []
    for part in range(PARTS):
        fitted = _path(base, sample.take(everyone[parts != part]), svm) if (parts == part).any() else []
        found.append((np.flatnonzero(parts == part), fitted))
    losses: Losses = []
    shrinkages, inner, unseen = [], [], []
    path = _path(base, sample, svm)
    for number in range(len(PENALTIES) + 1):
        heads = [fitted[number][0] for _, fitted in found if fitted]
        left_out = [rows for rows, fitted in found if fitted]
        if svm and number and head.task.is_classification:
            margins = np.zeros((len(parts), head.task.outputs))
            for rows, each in zip(left_out, heads, strict=True):
                margins[rows] = _margins(each, sample.take(rows))
            heads.append(path[number][0])
            heads = calibrated(heads, torch.from_numpy(margins), torch.from_numpy(sample.targets))
            path[number] = (heads.pop(), path[number][1])
        predictions = np.full((len(parts), prediction_width(head.task)), np.nan)
        for rows, each in zip(left_out, heads, strict=True):
            predictions[rows] = _predict(each, sample.take(rows))
        shrinkages.append(best_shrinkage(base, predictions, sample.targets))
        inner.append(prediction_loss(base, predictions, sample.targets, shrinkages[-1]))
        unseen.append(baseline + shrinkages[-1] * (predictions - baseline))
        train = [fitted[number][1] for _, fitted in found if fitted]
        loss = prediction_loss(base, predictions[validated], sample.targets[validated], shrinkages[-1])
        # Hinges and likelihoods do not compare.
        losses.append((float(np.mean(train)) if number and not svm else None, loss))
    best = int(np.argmin(inner))
    chosen = path[best][0]
    chosen.shrinkage.fill_(shrinkages[best])
    head.load_state_dict(chosen.state_dict())
    return FittedHead(losses, unseen[best])


def _assign(targets: FloatArray) -> IntArray:
    """The part of each patient; classes, values and times are spread evenly over the parts."""
    keys = targets.T if targets.ndim > 1 else targets[None]
    order = np.lexsort(keys)
    parts = np.empty(len(order), np.int64)
    parts[order] = np.arange(len(order)) % PARTS
    return parts


def _path(base: Head, sample: Sample, svm: bool = False) -> list[tuple[Head, float]]:
    """The head as it is, and fitted with each penalty in turn, for features as they are; its mean loss."""
    features = torch.from_numpy(sample.mean(sample.features.numpy()))
    shift, spread = features.mean(dim=0), features.std(dim=0, unbiased=False)
    # What does not vary, but for rounding, counts for nothing.
    scale = torch.where(spread > 1e-6 * shift.abs().clamp_min(1e-6), spread, torch.inf)
    trial = copy.deepcopy(base)
    targets = trial.standardise(torch.from_numpy(sample.targets))
    path = [(base, 0.0)]
    for penalty in PENALTIES:
        loss = _minimise(trial, (features - shift) / scale, targets, penalty, svm)
        path.append((_unscaled(trial, shift, scale), loss))
    return path


@torch.no_grad()
def _predict(head: Head, sample: Sample) -> FloatArray:
    """Predictions ``(P, W)`` of patients not shrunken."""
    return sample.mean(head.predict(head(sample.features), shrinkage=1.0).double().numpy())


@torch.no_grad()
def _margins(head: Head, sample: Sample) -> FloatArray:
    """Outputs ``(P, O)`` of patients, the mean over their slides."""
    return sample.mean(head(sample.features).double().numpy())


@torch.no_grad()
def _unscaled(head: Head, shift: Tensor, scale: Tensor) -> Head:
    """A copy of a head for standardised features that takes them as they are."""
    other = copy.deepcopy(head)
    other.linear.weight.div_(scale)
    moved = other.linear.weight @ shift
    (other.first if other.task.kind == "ordinal" else other.linear.bias).sub_(moved)
    return other


def _minimise(head: Head, features: Tensor, targets: Tensor, penalty: float, svm: bool) -> float:
    """Move a head to the minimum; the mean loss there, without the penalty."""
    weights = [each for each in head.parameters() if each.requires_grad]
    optimizer = torch.optim.LBFGS(
        weights, max_iter=MAX_ITERATIONS, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )
    loss = (SVM_LOSSES if svm else LOSSES)[head.task.kind]

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(head(features), targets) + penalty / 2 * head.linear.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return float(loss(head(features), targets))


def _record(
    data: SlideTrainingData, number: int, losses: Sequence[tuple[float | None, float]]
) -> EpochRecord:
    """One penalty in the form of an epoch; there is no learning rate."""
    train = [each for each, _ in losses if each is not None]
    scores = {f"{task.name} loss": loss for task, (_, loss) in zip(data.tasks, losses, strict=True)}
    return EpochRecord(number, 0.0, sum(train) if train else None, sum(scores.values()), scores)
