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


def choose_trust(head: Head, predictions: FloatArray, targets: FloatArray) -> float:
    """Set the trust of a head by its validation predictions; the loss with it.

    Args:
        head: Its :attr:`~histonic.nn.heads.Head.trust` is set to the best of 0, 0.1 .. 1.
        predictions: ``(P, W)`` at full trust, see :meth:`histonic.nn.heads.Head.predict`.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.
    """
    baseline = head.baseline.cpu().double().numpy()
    losses = [prediction_loss(head, baseline + trust * (predictions - baseline), targets) for trust in TRUSTS]
    # Without a known target every trust is as good: the network has the word.
    best = int(np.argmin(losses)) if any(losses) else len(TRUSTS) - 1
    head.trust.fill_(TRUSTS[best])
    return losses[best]


def prediction_loss(head: Head, predictions: FloatArray, targets: FloatArray) -> float:
    """How far predictions are off: -log probability of the class, standardised squared error, or Cox loss.

    Args:
        head: Of the task; its scale standardises regression.
        predictions: ``(P, W)``, see :meth:`histonic.nn.heads.Head.predict`.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.

    Returns:
        Mean over known targets, 0 if none is.
    """
    task = head.task
    if task.kind == "survival":
        return float(cox_efron(torch.from_numpy(predictions), torch.from_numpy(targets)))
    known = np.flatnonzero(~np.isnan(targets))
    if not len(known):
        return 0.0
    if task.is_classification:
        chosen = predictions[known, targets[known].astype(int)]
        return float(-np.log(np.clip(chosen, LEAST_PROBABILITY, 1)).mean())
    return float((((predictions[known, 0] - targets[known]) / float(head.spread)) ** 2).mean())
