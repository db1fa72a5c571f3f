"""What an objective is: a trunk to train, what it is shown, its loss, and how it is validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from histonic.nn.losses import ValidationResult

Shown = Literal["tile", "two views", "pair"]
Kept = Literal["best", "last"]
Outputs = dict[str, Tensor]
Targets = Mapping[str, Tensor]

SAME = "same"
"""Name of the target of shown pairs: 1 for two views of one place, 0 for two places."""


class Objective(nn.Module):
    """A trunk and what it is trained by; only the trunk is kept.

    A subclass is one method of one paper. Its ``forward`` takes augmented tiles ``(B, 3, H, W)`` scaled to
    -1..1, one tensor for ``shows = "tile"``, two otherwise, and gives named outputs whose first axis is the
    batch, so that they can be gathered from several devices before the loss is computed.

    Args:
        encoder: The trunk, ``(B, 3, H, W)`` to codes ``(B, D)``.
    """

    shows: Shown = "tile"
    keeps: ClassVar[Kept] = "best"
    """Which weights training hands on: those with the lowest validation loss, or the last."""
    adam_momentum: ClassVar[float] = 0.9
    """Adam's first decay rate (beta 1): the share of earlier gradients in a step."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *tiles: Tensor) -> Outputs:
        """Outputs of the batch, each ``(B, ...)``."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """What training lowers.

        Args:
            outputs: Of the whole batch, from all devices.
            targets: Per task name ``(B,)``, NaN where a tile has no such label; for ``shows = "pair"`` also
                :data:`SAME`.

        Returns:
            A scalar.
        """
        raise TypeError(f"{type(self).__name__} has no loss")

    def calibrate(self, outputs: Outputs, targets: Targets) -> None:
        """Suit the heads, where there are any, to the outputs of the whole validation part."""

    @torch.no_grad()
    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        """Result on the outputs of the whole validation part, made in evaluation mode; changes nothing."""
        return ValidationResult(float(self.loss(outputs, targets)))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by part: ``trunk``, which warm-up keeps frozen, and ``rest``."""
        trunk = list(self.encoder.parameters())
        known = {id(parameter) for parameter in trunk}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return {"trunk": trunk, "rest": rest}

    @torch.no_grad()
    def picture(self, *tiles: Tensor) -> Tensor | None:
        """What the method has learned, tiles ``(rows, columns, 3, H, W)`` of -1..1; None if it draws none."""
        return None
