"""Supervised multitask learning of one trunk (Tellez et al. 2020, Mormont et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.task import Task
from histonic.encoders.objectives.base import Objective, Outputs, Targets
from histonic.encoders.objectives.contrastive import nt_xent, projection
from histonic.nn import appearance as looks
from histonic.nn.heads import Head, Heads
from histonic.nn.losses import LOSSES, ValidationResult
from histonic.nn.shrinkage import FloatArray, best_shrinkage, prediction_loss

VIEW = "view"
APPEARANCE = "appearance"
MOST_DEVIATIONS = 5.0


class MultitaskObjective(Objective):
    """One trunk, one head a task; a tile counts for the heads of its own tasks only.

    The loss is the sum over all tiles of the loss of their own tasks, by the size of the batch. A head thus
    gets B_i of B tiles, and its gradient is about 1/T of what it would be alone; ``rescale`` multiplies it
    by B/B_i. That changes nothing under Adam, whose steps do not depend on the size of a gradient, and much
    under SGD.

    Args:
        encoder: The trunk.
        code_size: D.
        tasks: The targets.
        rescale: Multiply the gradients of the parameters of head i by B/B_i.
        dropout: Share of the code that is hidden from the heads in training.
        contrast: Weight of NT-Xent (Chen et al. 2020) between two views of each tile.
        head_hidden: Units of a dense layer in each head; 0: heads are linear.
        appearance: Weight of the squared error with which a linear layer tells, from the code, the
            standardised statistics of the shown tile (:func:`histonic.nn.appearance.appearance`): a
            self-supervised task beside the others. The tasks teach the code what they need and to forget
            the rest, which a task that comes later may need; this keeps it there.

    Example:
        >>> from histonic.encoders.networks.nic import NicNetwork
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> objective = MultitaskObjective(NicNetwork(16, 64), 16, [task])
        >>> outputs = objective(torch.zeros(4, 3, 64, 64))
        >>> float(objective.loss(outputs, {"tumour": torch.tensor([0.0, 1, 1, torch.nan])})) > 0
        True
    """

    def __init__(
        self,
        encoder: nn.Module,
        code_size: int,
        tasks: Sequence[Task],
        *,
        rescale: bool = True,
        dropout: float = 0.0,
        contrast: float = 0.0,
        appearance: float = 0.0,
        head_hidden: int = 0,
    ) -> None:
        super().__init__(encoder)
        self.tasks = tuple(tasks)
        self.heads = Heads(tasks, code_size, head_hidden)
        self.dropout = dropout
        self.contrast = contrast
        self.shows = "two views" if contrast else "tile"
        self.appearance = appearance
        self.projection = projection(code_size) if contrast else nn.Identity()
        self.tell = nn.Linear(code_size, looks.STATISTICS) if appearance else nn.Identity()
        self.standard = nn.BatchNorm1d(looks.STATISTICS, affine=False) if appearance else nn.Identity()
        self.factors = {task.name: 1.0 for task in tasks}
        if rescale:
            for task in tasks:
                for parameter in self.heads[task.name].parameters():
                    parameter.register_hook(partial(self._rescaled, task.name))  # type: ignore[no-untyped-call]

    def _rescaled(self, name: str, gradient: Tensor) -> Tensor:
        return gradient * self.factors[name]

    def forward(self, *tiles: Tensor) -> Outputs:
        """Per task name the outputs of its head on the first view; with options, what their losses need."""
        codes = self.encoder(tiles[0]).float()
        outputs: Outputs = self.heads(F.dropout(codes, self.dropout, self.training))
        if self.appearance:
            wanted = self.standard(looks.appearance((tiles[0] + 1) / 2)).clamp(
                -MOST_DEVIATIONS, MOST_DEVIATIONS
            )
            outputs[APPEARANCE] = self.tell(codes) - wanted
        if self.contrast:
            other = self.encoder(tiles[1]).float()
            outputs[VIEW + " 1"], outputs[VIEW + " 2"] = self.projection(codes), self.projection(other)
        return outputs

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Sum over tiles of their own tasks' losses by the size of the batch, and the options' terms."""
        total = torch.zeros((), device=next(iter(outputs.values())).device)
        standardised = self.heads.standardise({task.name: targets[task.name].float() for task in self.tasks})
        for task in self.tasks:
            wanted = standardised[task.name]
            share = float((~torch.isnan(wanted)).float().mean())
            # A hook on the head's parameters reads this in the backward pass.
            self.factors[task.name] = 1 / share if share else 1.0
            total = total + share * LOSSES[task.kind](outputs[task.name].float(), wanted)
        if self.appearance:
            total = total + self.appearance * outputs[APPEARANCE].square().mean()
        if self.contrast:
            total = total + self.contrast * nt_xent(outputs[VIEW + " 1"], outputs[VIEW + " 2"])
        return total

    def calibrate(self, outputs: Outputs, targets: Targets) -> None:
        """Give each head the shrinkage that is best.

        A head that ranks tiles rightly but is too sure of itself is thus not taken for a bad one.
        """
        for head, predictions, wanted in self._predictions(outputs, targets):
            head.shrinkage.fill_(best_shrinkage(head, predictions, wanted))

    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        """Mean over tasks of the validation loss, at the shrinkage that each head has."""
        losses = {
            f"{head.task.name} loss": prediction_loss(head, predictions, wanted)
            for head, predictions, wanted in self._predictions(outputs, targets)
        }
        return ValidationResult(sum(losses.values()) / len(losses), losses)

    @torch.no_grad()
    def _predictions(
        self, outputs: Outputs, targets: Targets
    ) -> Iterator[tuple[Head, FloatArray, FloatArray]]:
        """Each head, its predictions not shrunken, and its targets."""
        for name in (task.name for task in self.tasks):
            predictions = self.heads[name].predict(outputs[name], shrinkage=1.0).double().cpu().numpy()
            yield self.heads[name], predictions, targets[name].double().cpu().numpy()
