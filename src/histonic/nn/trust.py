"""How far predictions are off, and how far a head's predictions are to be trusted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from histonic.nn.heads import Head
from histonic.nn.losses import cox_efron

FloatArray = npt.NDArray[np.float64]
TRUSTS = tuple(step / 10 for step in range(11))
LEAST_PROBABILITY = 1e-6


def best_trust(head: Head, predictions: FloatArray, targets: FloatArray) -> float:
    """Which of the trusts 0, 0.1 .. 1 suits a head's validation predictions best; the head stays as it is.

    Args:
        head: Of the task.
        predictions: ``(P, W)`` at full trust, see :meth:`histonic.nn.heads.Head.predict`.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.
    """
    losses = [prediction_loss(head, predictions, targets, trust) for trust in TRUSTS]
    # Without a known target every trust is as good: the network has the word.
    return TRUSTS[int(np.argmin(losses))] if any(losses) else TRUSTS[-1]


def prediction_loss(
    head: Head, predictions: FloatArray, targets: FloatArray, trust: float | None = None
) -> float:
    """How far predictions are off: -log probability of the class, standardised squared error, or Cox loss.

    Args:
        head: Of the task; its scale standardises regression.
        predictions: ``(P, W)`` at full trust, see :meth:`histonic.nn.heads.Head.predict`.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.
        trust: With which they are drawn towards the baseline; None takes the head's own.

    Returns:
        Mean over known targets, 0 if none is.
    """
    task = head.task
    # A head's trust is a number of single precision: 0.3 is meant, not 0.30000001.
    share = round(float(head.trust), 6) if trust is None else trust
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
    return float((((predictions[known, 0] - targets[known]) / float(head.spread)) ** 2).mean())
