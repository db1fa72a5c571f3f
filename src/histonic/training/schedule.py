"""How long and at which learning rate a network is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from histonic.core.progress import Measures

L2 = 1e-5
MOMENTUM = 0.9


@dataclass(frozen=True)
class Schedule:
    """How the weights move, when the learning rate falls, and when training ends.

    ``plateau``: after ``patience`` epochs without a better validation loss the rate is divided by ten, and
    training goes on from the best weights so far; it ends when the rate would fall below ``floor``, or
    after ``max_epochs``. ``cosine``: the rate falls from epoch to epoch along half a cosine that ends after
    ``max_epochs``; ``constant``: it stays. Both end early after ``patience`` epochs without a better loss.

    A loss counts as better for patience if it is lower by more than ``least_gain`` of itself than when
    patience last began; the best weights are kept however small the gain.

    ``weight_decay`` of ``adam`` and ``sgd`` adds to the gradient; that of ``adamw`` is apart from it.
    """

    learning_rate: float = 1e-2
    max_epochs: int = 200
    patience: int = 8
    floor: float = 1e-5
    decay: Literal["plateau", "cosine", "constant"] = "plateau"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    # Keras adds l2 * w^2, whose gradient is twice what torch's weight decay of l2 gives.
    weight_decay: float = 2 * L2
    keep: Literal["best", "last"] = "best"
    adam_momentum: float = 0.9
    least_gain: float = 0.0

    @property
    def rates(self) -> int:
        """How many learning rates there are until the floor."""
        return 1 + max(0, math.floor(math.log10(self.learning_rate / self.floor) + 1e-9))

    def build(self, parts: Mapping[str, list[nn.Parameter]]) -> torch.optim.Optimizer:
        """The optimizer, one parameter group a part."""
        groups = [{"params": parameters, "part": part} for part, parameters in parts.items() if parameters]
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                groups, self.learning_rate, momentum=MOMENTUM, weight_decay=self.weight_decay
            )
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        betas = (self.adam_momentum, 0.999)
        return kind(groups, self.learning_rate, betas=betas, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did; epoch 0 is the untrained network."""

    epoch: int
    learning_rate: float
    train_loss: float | None
    validation_loss: float
    scores: dict[str, float] = field(default_factory=dict)

    def measures(self, network: str, step: int) -> Measures:
        """The same for listeners.

        Args:
            network: What learns.
            step: Steps until the end of the epoch.
        """
        known = {} if self.train_loss is None else {"training loss": self.train_loss}
        losses = {"validation loss": self.validation_loss}
        if self.learning_rate:  # heads that are fitted have none
            losses["learning rate"] = self.learning_rate
        return Measures(network, self.epoch, step, {**known, **losses, **self.scores})


@dataclass
class TrainingState:
    """Where a training stands in its schedule."""

    epoch: int = 0
    drops: int = 0
    stale: int = 0
    restart: bool = False
    best_loss: float = math.inf
    mark: float = math.inf
    best_epoch: int = 0
    steps: int = 0
    history: list[EpochRecord] = field(default_factory=list)

    def rate(self, schedule: Schedule) -> float:
        """The learning rate now."""
        if schedule.decay == "cosine":
            return schedule.learning_rate * (1 + math.cos(math.pi * self.epoch / schedule.max_epochs)) / 2
        return float(schedule.learning_rate / 10**self.drops)

    def is_over(self, schedule: Schedule) -> bool:
        """Whether the schedule has come to its end."""
        worn_out = (
            self.drops >= schedule.rates if schedule.decay == "plateau" else self.stale >= schedule.patience
        )
        return self.epoch >= schedule.max_epochs or worn_out

    def note(self, record: EpochRecord, schedule: Schedule) -> bool:
        """Take in an epoch; True if it is the best so far."""
        self.epoch = record.epoch
        self.history.append(record)
        improved = record.validation_loss < self.best_loss
        if improved:
            self.best_loss, self.best_epoch = record.validation_loss, record.epoch
        gained = math.isinf(self.mark) or self.best_loss < self.mark - schedule.least_gain * abs(self.mark)
        if improved and gained:
            self.mark, self.stale = self.best_loss, 0
        else:
            self.stale += 1
        if schedule.decay == "plateau" and self.stale >= schedule.patience:
            self.drops, self.stale, self.restart = self.drops + 1, 0, True
        return improved

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingState:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**values, "history": [EpochRecord(**record) for record in values["history"]]})
