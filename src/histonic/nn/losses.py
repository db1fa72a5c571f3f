"""What a network is trained to lower: one loss per kind of target, blind to missing targets.

Every loss takes the outputs of a head ``(B, O)`` and targets as :class:`histonic.core.task.Task` describes
them, NaN where missing, and gives the mean over what is known: a scalar that is zero, with zero
gradients, if nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from histonic.core.task import Task, TaskKind

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ValidationResult:
    """How good a network is on its validation part.

    Attributes:
        loss: What training lowers; decides about the learning rate and the best weights.
        scores: Named curves to show, such as the loss of each task.
    """

    loss: float
    scores: dict[str, float] = field(default_factory=dict)


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log P(class).

    Args:
        outputs: ``(B, 1)`` logit of the second class.
        targets: ``(B,)`` 0 or 1.
    """
    known = ~torch.isnan(targets)
    wanted = targets[known].to(outputs.dtype)
    losses = F.binary_cross_entropy_with_logits(outputs[known, 0], wanted, reduction="none")
    return _mean(losses, outputs)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log P(class).

    Args:
        outputs: ``(B, C)`` one logit a class.
        targets: ``(B,)`` class index.
    """
    known = ~torch.isnan(targets)
    return _mean(F.cross_entropy(outputs[known], targets[known].long(), reduction="none"), outputs)


def cumulative_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over thresholds of the binary cross-entropy of "above the threshold" (Cao et al. 2020, CORAL).

    Args:
        outputs: ``(B, C - 1)`` logits of P(class > k), k = 0 .. C - 2.
        targets: ``(B,)`` class index.
    """
    known = ~torch.isnan(targets)
    thresholds = torch.arange(outputs.shape[1], device=outputs.device)
    above = (targets[known, None] > thresholds).to(outputs.dtype)
    losses = F.binary_cross_entropy_with_logits(outputs[known], above, reduction="none")
    return _mean(losses.mean(dim=1), outputs)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error.

    Args:
        outputs: ``(B, 1)``.
        targets: ``(B,)``, standardised (:meth:`histonic.nn.heads.Head.standardise`).
    """
    known = ~torch.isnan(targets)
    return _mean((outputs[known, 0] - targets[known].to(outputs.dtype)) ** 2, outputs)


def cox_efron(outputs: Tensor, targets: Tensor) -> Tensor:
    """Negative log partial likelihood of Cox (1972), ties after Efron (1977), per event.

    The risk set of an event is everyone in the batch whose time is not earlier. Events at the same time
    take turns: the l-th of d tied events (l = 0 ..) sees the risk set less l/d of the tied ones.

    Args:
        outputs: ``(B, 1)`` log risk; higher = earlier event.
        targets: ``(B, 2)`` time and event (1 = happened).

    Example:
        >>> targets = torch.tensor([[1.0, 1], [2.0, 1]])
        >>> round(float(cox_efron(torch.zeros(2, 1), targets)), 4)  # (log 2 + log 1) / 2
        0.3466
    """
    known = ~torch.isnan(targets).any(dim=1)
    risk, time = outputs[known, 0], targets[known, 0]
    event = targets[known, 1] == 1
    if not event.any():
        return _mean(risk[:0], outputs)
    at_risk = time[None, :] >= time[event, None]
    tied = (time[None, :] == time[event, None]) & event[None, :]
    log_at_risk = risk.expand_as(at_risk).masked_fill(~at_risk, -torch.inf).logsumexp(dim=1)
    log_tied = risk.expand_as(tied).masked_fill(~tied, -torch.inf).logsumexp(dim=1)
    among = tied[:, event]
    gone = torch.tril(among, diagonal=-1).sum(dim=1, dtype=risk.dtype) / among.sum(dim=1)
    # log(risk set - gone * tied) without leaving the logarithm: the ratio is at most 1 and gone below 1.
    log_left = log_at_risk + torch.log1p(-gone * torch.exp((log_tied - log_at_risk).clamp(max=0)))
    return _mean(log_left - risk[event], outputs)


def discrete_hazards(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log P(what is known of the time), by one hazard an interval (Gensheimer, Narasimhan 2019).

    Args:
        outputs: ``(B, T)`` logits of the hazards: P(event in the interval | none before).
        targets: ``(B, 2)`` intervals survived, and event (1 = in the next one), see
            :meth:`histonic.nn.heads.Head.standardise`.

    Example:
        >>> targets = torch.tensor([[1.0, 1], [2.0, 0]])
        >>> round(float(discrete_hazards(torch.zeros(2, 3), targets)), 4)  # two factors of 1/2 each
        1.3863
    """
    known = ~torch.isnan(targets).any(dim=1)
    logits, survived = outputs[known], targets[known, 0]
    number = torch.arange(outputs.shape[1], device=outputs.device)
    lived = (number < survived[:, None]).to(logits.dtype)
    died = ((number == survived[:, None]) & (targets[known, 1:] == 1)).to(logits.dtype)
    losses = (lived * F.softplus(logits) + died * F.softplus(-logits)).sum(dim=1)
    return _mean(losses, outputs)


def survival_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """:func:`cox_efron` of one log risk, :func:`discrete_hazards` of several outputs."""
    return (cox_efron if outputs.shape[1] == 1 else discrete_hazards)(outputs, targets)


LOSSES: Mapping[TaskKind, Loss] = {
    "binary": binary_cross_entropy,
    "multiclass": cross_entropy,
    "ordinal": cumulative_cross_entropy,
    "regression": squared_error,
    "survival": survival_loss,
}


def joint_loss(tasks: Sequence[Task], outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Sum over tasks of the mean loss of each.

    Args:
        tasks: The targets.
        outputs: Per task name ``(B, O)``.
        targets: Per task name, regression standardised.
    """
    losses = [LOSSES[task.kind](outputs[task.name].float(), targets[task.name]) for task in tasks]
    return torch.stack(losses).sum()


def _mean(losses: Tensor, outputs: Tensor) -> Tensor:
    """Mean, or a zero that hangs on the outputs, so that every parameter still gets a gradient."""
    return losses.mean() if len(losses) else outputs.sum() * 0.0
