"""What a slide-level network is: an aggregator of a map of codes into one vector, then one head a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from histonic.core.registry import Entry, Registry
from histonic.core.task import Task
from histonic.nn.heads import Heads


class Aggregator(Protocol):
    """A ``torch.nn.Module`` that turns maps of codes into slide vectors."""

    size: int
    """E, length of the slide vector."""

    def __call__(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Slide vectors of a batch of maps.

        Args:
            codes: ``(B, D, R, K)`` normalised codes, zero outside the mask.
            mask: ``(B, R, K)`` 1 where a cell holds tissue, else 0.

        Returns:
            ``(B, E)``.
        """


class AggregatorClass(Protocol):
    """What the registry holds: a way to make an untrained aggregator."""

    def __call__(self, code_size: int, crop_cells: int) -> nn.Module:
        """Make an aggregator.

        Args:
            code_size: D.
            crop_cells: Side in cells of the square crops that it will see.
        """


AGGREGATORS: Registry[AggregatorClass] = Registry(
    "aggregator",
    "histonic.aggregators",
    (
        Entry(
            "convnet",
            "histonic.aggregators.convnet:ConvNet",
            "separable convolutions over the map (Tellez et al. 2019)",
        ),
        Entry("mean", "histonic.aggregators.pool:MeanPool", "mean code of the tissue, linear heads"),
        Entry("max", "histonic.aggregators.pool:MaxPool", "largest code of the tissue, linear heads"),
        Entry(
            "abmil",
            "histonic.aggregators.abmil:AttentionPool",
            "gated attention over cells (Ilse et al. 2018)",
        ),
        Entry(
            "dsmil",
            "histonic.aggregators.dsmil:DualStream",
            "the most telling cell, and all cells by likeness to it (Li et al. 2021)",
        ),
        Entry(
            "transmil",
            "histonic.aggregators.transmil:TransMil",
            "self-attention over cells with positions (Shao et al. 2021)",
        ),
    ),
)


class CodeScale(nn.Module):
    """Brings codes to mean 0 and standard deviation 1 per channel, and to 0 outside the mask.

    Args:
        code_size: D.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(code_size))
        self.register_buffer("spread", torch.ones(code_size))

    @torch.no_grad()
    def set(self, mean: Tensor, spread: Tensor) -> None:
        """Set mean and standard deviation ``(D,)`` over the tissue of the training maps; 0 counts as 1."""
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to ``(B, D, R, K)``."""
        scaled = (codes - self.mean[:, None, None]) / self.spread[:, None, None]
        return scaled * mask[:, None]


class SlideModel(nn.Module):
    """Code normalisation, an aggregator, and heads.

    Args:
        aggregator: An :class:`Aggregator`.
        code_size: D.
        tasks: The targets.

    Example:
        >>> tasks = (Task("score", "regression", ("score",)),)
        >>> model = build_model("convnet", code_size=5, crop_cells=20, tasks=tasks)
        >>> model(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20))["score"].shape
        torch.Size([2, 1])
    """

    def __init__(self, aggregator: nn.Module, code_size: int, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.scale = CodeScale(code_size)
        self.aggregator = aggregator
        self.heads = Heads(tasks, int(aggregator.size))  # type: ignore[arg-type]

    def forward(self, codes: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Outputs per task name.

        Args:
            codes: ``(B, D, R, K)`` as stored.
            mask: ``(B, R, K)`` 1 where a cell holds tissue, else 0.

        Returns:
            ``(B, O)`` per task name; make them readable with ``model.heads.predict``.
        """
        outputs: dict[str, Tensor] = self.heads(self.aggregator(self.scale(codes, mask), mask))
        return outputs


def build_model(aggregator: str, *, code_size: int, crop_cells: int, tasks: Sequence[Task]) -> SlideModel:
    """An untrained slide model; its random weights come from torch's global generator.

    Args:
        aggregator: Name in ``AGGREGATORS``.
        code_size: D.
        crop_cells: Side of the crops in cells.
        tasks: The targets.

    Raises:
        SettingsError: There is no such aggregator.
    """
    return SlideModel(AGGREGATORS.get(aggregator)(code_size, crop_cells), code_size, tasks)
