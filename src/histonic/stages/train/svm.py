"""Linear support vector machines as heads: their losses, and how margins become probabilities."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from histonic.aggregators.base import first_rate
from histonic.core.errors import SettingsError
from histonic.core.task import Task, TaskKind
from histonic.nn.heads import Head
from histonic.nn.losses import LOSSES, Loss
from histonic.stages.train.settings import TrainSettings

TUBE = 0.1
"""Half the width of the tube of a regression in which an error costs nothing, in standard deviations."""
WEAK = 1e-3
"""Penalty of the scale of margins, which is infinite where classes are separated."""
MAX_ITERATIONS = 100


def _squared_hinge(outputs: Tensor, above: Tensor) -> Tensor:
    """Of margins whose wanted sign is positive where ``above`` is 1, negative where it is 0."""
    return (1 - (2 * above - 1) * outputs).clamp_min(0).square()


def binary_hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared hinge loss of margins ``(B, 1)``; targets ``(B,)`` 0 or 1, NaN where missing."""
    known = ~torch.isnan(targets)
    return _squared_hinge(outputs[known, 0], targets[known].to(outputs.dtype)).mean()


def multiclass_hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum over the classes of each one's mean squared hinge loss against the rest; margins ``(B, C)``."""
    known = ~torch.isnan(targets)
    own = F.one_hot(targets[known].long(), outputs.shape[1]).to(outputs.dtype)
    return _squared_hinge(outputs[known], own).sum(dim=1).mean()


def ordinal_hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum over the thresholds of the mean squared hinge loss; margins ``(B, C - 1)`` of "above it".

    Every threshold sees all cases, as in Chu and Keerthi, Neural Computation (2007).
    """
    known = ~torch.isnan(targets)
    above = (targets[known, None] > torch.arange(outputs.shape[1])).to(outputs.dtype)
    return _squared_hinge(outputs[known], above).sum(dim=1).mean()


def tube_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance from a tube of :data:`TUBE` around standardised targets ``(B,)``."""
    known = ~torch.isnan(targets)
    off = (outputs[known, 0] - targets[known].to(outputs.dtype)).abs()
    return (off - TUBE).clamp_min(0).square().mean()


SVM_LOSSES: Mapping[TaskKind, Loss] = {
    "binary": binary_hinge,
    "multiclass": multiclass_hinge,
    "ordinal": ordinal_hinge,
    "regression": tube_error,
}
"""A survival time has none: a log risk needs a likelihood."""


def calibrated(heads: list[Head], margins: Tensor, targets: Tensor) -> list[Head]:
    """Heads whose margins are turned into logits by one scale and shifts (Platt 1999).

    Args:
        heads: Of one classification task, whose outputs are margins.
        margins: ``(P, O)`` of patients that the head which gave them had not seen.
        targets: ``(P,)`` their classes, NaN where missing.

    Returns:
        Copies, whose outputs are logits.

    Example:
        >>> from histonic.core.task import Task
        >>> head = Head(Task("msi", "binary", ("msi",), ("no", "yes")), 1).double()
        >>> _ = head.linear.weight.data.fill_(1.0)
        >>> margins = torch.tensor([-1.0, -1, -1, -1, 1, 1, 1, 1], dtype=torch.float64)[:, None]
        >>> truth = torch.tensor([0.0, 0, 0, 1, 1, 1, 1, 0], dtype=torch.float64)  # three of four
        >>> (logits,) = calibrated([head], margins, truth)
        >>> round(float(logits(margins).sigmoid()[-1, 0].detach()), 2)
        0.75
    """
    task = heads[0].task
    log_scale = torch.zeros(1, dtype=margins.dtype, requires_grad=True)
    # One shift keeps thresholds in their order.
    width = 1 if task.kind == "ordinal" else task.outputs
    shift = torch.zeros(width, dtype=margins.dtype, requires_grad=True)
    loss = LOSSES[task.kind]
    optimizer = torch.optim.LBFGS([log_scale, shift], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        scale = log_scale.exp()
        value = loss(scale * margins + shift, targets) + WEAK * (scale.square().sum() + shift.square().sum())
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return [_scaled(head, float(log_scale.detach().exp()), shift.detach()) for head in heads]


@torch.no_grad()
def _scaled(head: Head, scale: float, shift: Tensor) -> Head:
    """A copy of a head with outputs ``scale * outputs + shift``."""
    other = copy.deepcopy(head)
    other.linear.weight.mul_(scale)
    if head.task.kind != "ordinal":
        other.linear.bias.mul_(scale).add_(shift)
        return other
    other.first.mul_(scale).add_(shift)
    # Steps stand behind a softplus; its inverse is the log of e^x - 1.
    other.steps.copy_(torch.log(torch.expm1((scale * F.softplus(other.steps)).clamp_min(1e-6))))
    return other


def require_usable(choices: Sequence[TrainSettings], tasks: Sequence[Task]) -> None:
    """Refuse support vector machines where there is nothing that they could be.

    Args:
        choices: All combinations of settings that are tried.
        tasks: The targets.

    Raises:
        SettingsError: A target is a survival time, or no aggregator is fitted.
    """
    svms = [each for each in choices if each.linear_heads == "svm"]
    if not svms:
        return
    asked = "Train with linear_heads 'svm'."
    for task in tasks:
        if task.kind == "survival":
            raise SettingsError(
                asked,
                f"{task.name!r} is a survival time; a support vector machine gives no risk.",
                "Use --linear-heads ridge, or leave the target out.",
            )
    if all(first_rate(each.aggregator, None) for each in svms):
        found = ", ".join(dict.fromkeys(each.aggregator for each in svms))
        raise SettingsError(
            asked,
            f"The aggregator {found} is trained together with its heads.",
            "Use --aggregator votes, mean or max, whose heads are fitted.",
        )
