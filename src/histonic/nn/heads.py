"""One head a task: from a vector to outputs, and from outputs to what a user reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.task import Task
from histonic.nn.blocks import DenseBlock

LEAST_SHARE = 1e-4
"""Share given to a class that nobody has, so that logarithms stay finite."""


def prediction_width(task: Task) -> int:
    """Numbers in a prediction: one probability a class, else one value or log risk."""
    return len(task.classes) if task.is_classification else 1


class Head(nn.Module):
    """A linear layer for one task, and the facts about the training data that its outputs need.

    The layer begins at zero: an untrained head predicts the training prevalence, the training mean, or
    the same risk for all. With ``hidden`` units a dense layer (batch normalisation, leaky ReLU) lies before
    it, as in the supervised networks of Tellez et al. (TPAMI 2019), which have 256.

    Args:
        task: The target.
        size: E, length of the vectors.
        hidden: Units of the dense layer; 0: there is none.

    Example:
        >>> head = Head(Task("msi", "binary", ("msi",), ("no", "yes")), 4)
        >>> head.set_shares(torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5]))
        >>> head.predict(head(torch.ones(1, 4))).detach().numpy().astype(float).round(4).tolist()
        [[0.9, 0.1]]
    """

    prevalence: Tensor
    sampled: Tensor
    centre: Tensor
    std: Tensor
    edges: Tensor
    """``(intervals - 1,)`` times at which an interval ends and the next begins."""
    middles: Tensor
    """``(intervals,)`` times from which a censored patient counts as having survived the interval."""
    baseline_hazard: Tensor
    """Log cumulative hazard of the training patients at the end of all intervals."""
    shrinkage: Tensor
    """Share of the network in a prediction, the rest is the baseline; 1 unless validation says less."""

    def __init__(self, task: Task, size: int, hidden: int = 0) -> None:
        super().__init__()
        self.task = task
        self.size, self.hidden = size, hidden
        self.dense: nn.Module = DenseBlock(size, hidden) if hidden else nn.Identity()
        size = hidden or size
        if task.kind == "ordinal":
            self.linear = nn.Linear(size, 1, bias=False)
            self.first = nn.Parameter(torch.zeros(1))
            self.steps = nn.Parameter(torch.zeros(task.outputs - 1))
        else:
            self.linear = nn.Linear(size, task.outputs)
            nn.init.zeros_(self.linear.bias)
        nn.init.zeros_(self.linear.weight)
        self.register_buffer("shrinkage", torch.ones(()))
        if task.is_classification:
            equal = torch.full((len(task.classes),), 1 / len(task.classes))
            self.register_buffer("prevalence", equal)
            self.register_buffer("sampled", equal.clone())
        if task.kind == "regression":
            self.register_buffer("centre", torch.zeros(()))
            self.register_buffer("std", torch.ones(()))
        if task.intervals:
            self.register_buffer("edges", torch.arange(1.0, task.intervals))
            self.register_buffer("middles", torch.arange(task.intervals) + 0.5)
            self.register_buffer("baseline_hazard", torch.tensor(task.intervals * math.log(2)).log())

    def forward(self, vectors: Tensor) -> Tensor:
        """``(..., E)`` to outputs ``(..., task.outputs)``, see :attr:`histonic.core.task.Task.outputs`."""
        if self.hidden:
            # Batch normalisation takes vectors one by one, whatever they are arranged in.
            deep: Tensor = self.dense(vectors.reshape(-1, self.size))
            vectors = deep.reshape(*vectors.shape[:-1], self.hidden)
        outputs: Tensor = self.linear(vectors)
        if self.task.kind != "ordinal":
            return outputs
        # Steps are positive, so that P(class > k) falls with k.
        falls = torch.cat([self.first.new_zeros(1), F.softplus(self.steps).cumsum(0)])
        return outputs + self.first - falls

    @torch.no_grad()
    def set_shares(self, prevalence: Tensor, sampled: Tensor) -> None:
        """Tell a classification head how common the classes are, and begin at that.

        Args:
            prevalence: ``(C,)`` class shares among the training patients; predictions are corrected to them.
            sampled: ``(C,)`` class shares in the training batches, which may be balanced.
        """
        self.prevalence.copy_(_shares(prevalence))
        self.sampled.copy_(_shares(sampled))
        if self.task.kind == "binary":
            self.linear.bias.copy_(torch.logit(self.sampled[1:]))
        elif self.task.kind == "multiclass":
            self.linear.bias.copy_(self.sampled.log())
        else:
            logits = torch.logit(1 - self.sampled.double().cumsum(0)[:-1])
            self.first.copy_(logits[:1])
            self.steps.copy_(torch.log(torch.expm1((logits[:-1] - logits[1:]).clamp_min(1e-4))))

    @torch.no_grad()
    def set_scale(self, centre: float, std: float) -> None:
        """Tell a regression head mean and standard deviation (0 counts as 1) of the training targets."""
        self.centre.fill_(centre)
        self.std.fill_(std if std > 0 else 1.0)

    @torch.no_grad()
    def set_times(self, targets: Tensor) -> None:
        """Tell a head of hazards the training patients' times and events, and begin at their hazards.

        The intervals hold equally many events; the last one has no end.

        Args:
            targets: ``(P, 2)`` time and event, NaN where missing.
        """
        known = targets[~torch.isnan(targets).any(dim=1)].double()
        times = known[known[:, 1] == 1, 0]
        shares = torch.arange(1, self.task.intervals, dtype=torch.float64) / self.task.intervals
        edges = torch.quantile(times, shares)
        ends = torch.cat([times.new_zeros(1), edges, known[:, :1].max(dim=0).values])
        self.edges.copy_(edges)
        self.middles.copy_((ends[:-1] + ends[1:]) / 2)
        survived, event = self.standardise(known).unbind(dim=1)
        number = torch.arange(self.task.intervals)
        died = ((survived[:, None] == number) & (event[:, None] == 1)).sum(dim=0)
        at_risk = (survived[:, None] > number).sum(dim=0) + died
        # Half a patient more on either side, so that no hazard is 0 or 1.
        hazards = (died + 0.5) / (at_risk + 1)
        self.linear.bias.copy_(torch.logit(hazards))
        self.baseline_hazard.copy_((-torch.log1p(-hazards)).sum().log())

    def standardise(self, targets: Tensor) -> Tensor:
        """Targets as the loss wants them.

        Regression: less the training mean, by its standard deviation. Survival by hazards: intervals
        survived, and event. A patient who is censored in the second half of an interval has survived it
        (Gensheimer and Narasimhan 2019). All else as it is.
        """
        if self.task.intervals:
            time, event = targets.unbind(dim=1)
            time = time.to(self.edges.dtype).contiguous()
            # An event at an edge belongs to the interval that ends there.
            died = torch.bucketize(time, self.edges)
            survived = torch.where(event == 1, died, torch.bucketize(time, self.middles, right=True))
            found = torch.stack([survived.to(targets.dtype), event], dim=1)
            return found.masked_fill(torch.isnan(targets).any(dim=1, keepdim=True), torch.nan)
        if self.task.kind != "regression":
            return targets
        return (targets - self.centre) / self.std

    def predict(self, outputs: Tensor, shrinkage: float | None = None) -> Tensor:
        """What a user reads.

        Args:
            outputs: ``(B, task.outputs)``.
            shrinkage: In place of :attr:`shrinkage`.

        Returns:
            Classification ``(B, C)`` probabilities, corrected from the class shares of the batches to the
            training prevalence (Saerens et al. 2002); regression ``(B, 1)`` in the target's unit; survival
            ``(B, 1)`` log risk; higher = earlier event; of hazards the log of the cumulative hazard, against
            that of the training patients. All keep the share :attr:`shrinkage` of their distance from the
            baseline.
        """
        outputs = outputs.float()
        share = self.shrinkage if shrinkage is None else shrinkage
        if self.task.kind == "regression":
            return self.centre + share * self.std * outputs
        if self.task.intervals:
            # -log(1 - hazard) = softplus(logit)
            cumulative = F.softplus(outputs).sum(dim=1, keepdim=True).log()
            return share * (cumulative - self.baseline_hazard)
        if self.task.kind == "survival":
            return share * outputs
        weighted = self.probabilities(outputs) * (self.prevalence / self.sampled)
        corrected = weighted / weighted.sum(dim=1, keepdim=True)
        return self.prevalence + share * (corrected - self.prevalence)

    @property
    def baseline(self) -> Tensor:
        """``(W,)`` what is predicted at shrinkage 0: prevalence, training mean, risk 0."""
        if self.task.is_classification:
            return self.prevalence
        return self.centre[None] if self.task.kind == "regression" else torch.zeros(1)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """``(B, C)`` under the class shares of the training batches."""
        if self.task.kind == "multiclass":
            return outputs.softmax(dim=1)
        # P(class > k) with 1 before and 0 after; a binary task is an ordinal one with a single threshold.
        above = F.pad(F.pad(outputs.sigmoid(), (1, 0), value=1.0), (0, 1), value=0.0)
        return (above[:, :-1] - above[:, 1:]).clamp_min(0)


class Heads(nn.Module):
    """One :class:`Head` per task on the same vector.

    Args:
        tasks: The targets.
        size: E, length of the vectors.
        hidden: Units of a dense layer in each head; 0: heads are linear.
    """

    def __init__(self, tasks: Sequence[Task], size: int, hidden: int = 0) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.size, self.hidden = size, hidden
        self.heads = nn.ModuleList(Head(task, size, hidden) for task in tasks)

    def __getitem__(self, name: str) -> Head:
        for head in self.heads:
            if isinstance(head, Head) and head.task.name == name:
                return head
        raise KeyError(name)

    def forward(self, vectors: Tensor) -> dict[str, Tensor]:
        """``(B, E)`` to outputs ``(B, O)`` per task name."""
        return {task.name: self[task.name](vectors) for task in self.tasks}

    def standardise(self, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Targets of all tasks as the losses want them."""
        return {task.name: self[task.name].standardise(targets[task.name]) for task in self.tasks}

    def predict(self, outputs: Mapping[str, Tensor], shrinkage: float | None = None) -> dict[str, Tensor]:
        """Predictions of all tasks, see :meth:`Head.predict`."""
        return {task.name: self[task.name].predict(outputs[task.name], shrinkage) for task in self.tasks}


def _shares(shares: Tensor) -> Tensor:
    kept = shares.float().clamp_min(LEAST_SHARE)
    return kept / kept.sum()
