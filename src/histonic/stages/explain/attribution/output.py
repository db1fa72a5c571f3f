"""Which number of a prediction is explained, and in which direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.models.members import Member
from histonic.nn.heads import Head

SMALLEST = 1e-12


@dataclass(frozen=True)
class ExplainedOutput:
    """One output of one target; a higher number speaks for it.

    Attributes:
        task: The target.
        output: Index of a class; None for the value, the risk, or a higher class of an ordinal target.

    Example:
        >>> ExplainedOutput(Task("msi", "binary", ("msi",), ("no", "yes")), 1).name
        'yes'
    """

    task: Task
    output: int | None = None

    @property
    def name(self) -> str:
        """What cells speak for, in a word or two."""
        if self.output is not None:
            return self.task.classes[self.output]
        return {"regression": "a higher value", "survival": "a higher risk"}.get(
            self.task.kind, "a higher class"
        )

    @property
    def unit(self) -> str:
        """Of the evidence."""
        if self.task.kind == "survival":
            return "standard deviations of log risk"
        return "the target's unit" if self.task.kind == "regression" else "log-odds"

    @property
    def prediction_name(self) -> str:
        """Of what :meth:`prediction` gives."""
        if self.output is not None:
            return f"probability of {self.name}"
        return {"regression": "predicted value", "survival": "risk"}.get(
            self.task.kind, "expected class (0 is the first)"
        )

    def evidence(self, head: Head, outputs: Tensor) -> Tensor:
        """Outputs ``(B, O)`` of a head to the number ``(B,)`` that is traced back to the cells.

        Classes: log-odds of the class against all others, corrected for class shares as predictions are;
        ordinal without a class: mean log-odds over the thresholds; regression: the value; survival: the log
        risk.
        """
        kind = self.task.kind
        if kind in ("regression", "survival"):
            return head.predict(outputs)[:, 0]
        if self.output is None:
            return outputs.mean(dim=1)
        if kind == "binary":
            return outputs[:, 0] if self.output == 1 else -outputs[:, 0]
        if kind == "multiclass":
            logits = outputs + (head.prevalence / head.sampled).log()
        else:
            logits = head.probabilities(outputs).clamp_min(SMALLEST).log()
        others = torch.cat([logits[:, : self.output], logits[:, self.output + 1 :]], dim=1)
        return logits[:, self.output] - others.logsumexp(dim=1)

    def weight(self, head: Head, member: Member) -> float:
        """How much a network's evidence counts in the joined prediction.

        For classes the share of the network in its own prediction (see
        :attr:`histonic.nn.heads.Head.shrinkage`; values and risks have it in them already); for risks the
        scale on which networks are joined.
        """
        if self.task.kind == "survival":
            return 1 / member.risks[self.task.name].std
        return float(head.shrinkage) if self.task.is_classification else 1.0

    def prediction(self, head: Head, member: Member, outputs: Tensor) -> Tensor:
        """Outputs ``(B, O)`` to what a user reads ``(B,)``: probability, expected class, value, risk."""
        found = head.predict(outputs)
        if self.task.kind == "survival":
            standardised: Tensor = member.risks[self.task.name].standardise(found[:, 0])
            return standardised
        if self.output is not None:
            return found[:, self.output]
        if self.task.kind == "ordinal":
            return found @ torch.arange(found.shape[1], dtype=found.dtype, device=found.device)
        return found[:, 0]


def choose_output(task: Task, wanted: str | None, predicted: str | None = None) -> ExplainedOutput:
    """The output to explain.

    Args:
        task: The target.
        wanted: Name of a class, or None: the positive class of a binary target, the predicted class of a
            multiclass one, and otherwise what is higher.
        predicted: The class that was predicted; needed for a multiclass target if none is wanted.

    Raises:
        SettingsError: The target has no such class.

    Example:
        >>> choose_output(Task("type", "multiclass", ("type",), ("a", "b", "c")), None, "c").output
        2
    """
    if wanted is None:
        wanted = (
            predicted if task.kind == "multiclass" else task.classes[1] if task.kind == "binary" else None
        )
    if wanted is None:
        return ExplainedOutput(task)
    if wanted not in task.classes:
        known = f"Its classes are {', '.join(task.classes)}." if task.classes else "It has no classes."
        raise SettingsError(
            f"Explain the output {wanted!r} of the target {task.name!r}.",
            known,
            "Name one of its classes with --output." if task.classes else "Leave --output out.",
        )
    return ExplainedOutput(task, task.classes.index(wanted))
