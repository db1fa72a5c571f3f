"""What an aggregator of a map of codes is, and the names of those there are; listed without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from histonic.core.registry import Entry, Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


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


@runtime_checkable
class OwnLoss(Protocol):
    """An aggregator that, beside the loss of the targets, has one of its own in training."""

    def learning(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Slide vectors ``(B, E)``, and what the own loss needs: ``(B, ...)`` by a name."""

    def own_loss(self, clues: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """A scalar that is added to the loss of the targets.

        Args:
            clues: What :meth:`learning` gave, of the whole batch, also where several devices share it.
            targets: Per task name, regression standardised, NaN where missing.
        """


class AggregatorClass(Protocol):
    """What the registry holds: a way to make an untrained aggregator.

    Class attributes, which may be absent, say more:

    - ``learning_rate``: the first, where the user names none (default 1e-3); 0: nothing is trained, heads
      are fitted.
    - ``sees_places``: whether a turned map can have another vector (default True).
    - ``takes_rounded``: whether in mixed precision all it does with codes begins with rounding them, so that
      they may come rounded (default False).
    - ``raw_codes``: whether it wants codes as the encoder gave them, not standardised (default False).
    - ``path_cost``: how many times more work a cell of tissue is than in most aggregators, so that integrated
      gradients of a large map take fewer steps (default 1).
    - ``path_power``: 2 where the evidence changes most near average tissue: the path from there to the map is
      walked as the square of an even time (default 1).
    - ``wants``: names of further keywords that it is made with, out of ``tasks`` (the targets) and
      ``tile_heads`` (what the encoder says of a tile, or None); none by default.
    """

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
        Entry(
            "clam",
            "histonic.aggregators.clam:Clam",
            "gated attention whose cells are told apart by pseudo-labels (Lu et al. 2021)",
        ),
        Entry(
            "streaming",
            "histonic.aggregators.streaming:StreamingNet",
            "a convolutional network over maps of any size, also of pixels (Pinckaers et al. 2020)",
        ),
        Entry(
            "votes",
            "histonic.aggregators.votes:Votes",
            "what a multitask encoder's heads say of the tiles, counted, linear heads (Paeng et al. 2017)",
        ),
    ),
)
