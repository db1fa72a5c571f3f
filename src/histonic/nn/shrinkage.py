"""How far predictions are off, and how far a head's predictions are drawn towards the baseline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from histonic.nn.heads import Head
from histonic.nn.losses import cox_efron

FloatArray = npt.NDArray[np.float64]
SHRINKAGES = tuple(step / 10 for step in range(11))
LEAST_PROBABILITY = 1e-6


def best_shrinkage(head: Head, predictions: FloatArray, targets: FloatArray) -> float:
    """Which shrinkage, of 0, 0.1 .. 1, suits a head's validation predictions best; changes nothing.

    Args:
        head: Of the task.
        predictions: ``(P, W)`` not shrunken, see :meth:`histonic.nn.heads.Head.predict`.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.
    """
    losses = [prediction_loss(head, predictions, targets, shrinkage) for shrinkage in SHRINKAGES]
    # Without a known target every shrinkage is as good: 1, the network alone, is taken.
    return SHRINKAGES[int(np.argmin(losses))] if any(losses) else SHRINKAGES[-1]


def prediction_loss(
    head: Head, predictions: FloatArray, targets: FloatArray, shrinkage: float | None = None
) -> float:
    """How far predictions are off: -log probability of the class, standardised squared error, or Cox loss.

    Args:
        head: Of the task; its scale standardises regression.
        predictions: ``(P, W)`` not shrunken, see :meth:`histonic.nn.heads.Head.predict`.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.
        shrinkage: Share of their distance from the baseline that is kept; None takes the head's own.

    Returns:
        Mean over known targets, 0 if none is.
    """
    task = head.task
    # A head's shrinkage is a number of single precision: 0.3 is meant, not 0.30000001.
    share = round(float(head.shrinkage), 6) if shrinkage is None else shrinkage
    baseline = head.baseline.cpu().double().numpy()
    predictions = baseline + share * (predictions - baseline)
    if task.kind == "survival":
        return float(cox_efron(torch.from_numpy(predictions), torch.from_numpy(targets)))
    known = np.flatnonzero(~np.isnan(targets))
    if not len(known):
        return 0.0
    if task.is_classification:
        chosen = predictions[known, targets[known].astype(int)]
        return float(-np.log(np.clip(chosen, LEAST_PROBABILITY, 1)).mean())
    return float((((predictions[known, 0] - targets[known]) / float(head.std)) ** 2).mean())
