"""Several parts of a patient (stains, scales) to one vector: an aggregator for each, joined late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from histonic.aggregators.registry import OwnLoss

LEFT_OUT = 0.15
"""Share of a training batch in which a part is taken for absent, so that what stands for it is learned."""
THERE = "there"
"""Among the clues of a part: for which patients it is there."""


class JoinedParts(nn.Module):
    """The vectors of a patient's parts side by side, each made by an aggregator of its own.

    Masks hold the number of each cell's part, from 1. For a part that a patient lacks a vector stands that
    is learned, with weights that are learned, or the mean of those who have it (:meth:`fill`); in training a
    part is now and then taken for absent as long as another one is there.

    Args:
        parts: One aggregator a part, in the order of their numbers.
        code_sizes: D of each; channels beyond it are not looked at.

    Example:
        >>> from histonic.aggregators.pool import MeanPool
        >>> joined = JoinedParts([MeanPool(3, 8), MeanPool(2, 8)], [3, 2]).eval()
        >>> mask = torch.tensor([[[1.0, 2.0]], [[1.0, 0.0]]])  # the second patient lacks the second part
        >>> joined(torch.ones(2, 3, 1, 2), mask).tolist()
        [[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0, 0.0]]
    """

    absent: Tensor

    def __init__(self, parts: Sequence[nn.Module], code_sizes: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.code_sizes = tuple(code_sizes)
        self.sizes = tuple(int(part.size) for part in parts)  # type: ignore[arg-type]
        self.size = sum(self.sizes)
        learned = any(weight.requires_grad for part in parts for weight in part.parameters())
        if learned:
            self.absent = nn.Parameter(torch.zeros(self.size))
        else:
            self.register_buffer("absent", torch.zeros(self.size))

    def __getattr__(self, name: str) -> Any:
        # What an aggregator says of itself, and whether it has attention and a cheap occlusion, holds for all
        # parts, which are of one kind.
        if name in ("takes_rounded", "raw_codes", "path_cost", "path_power"):
            return getattr(self.parts[0], name)
        if name in ("attention", "occluded") and hasattr(self.parts[0], name):
            return getattr(self, f"_{name}")
        return super().__getattr__(name)

    @property
    def sees_places(self) -> bool:
        """Whether a turned map can have another vector."""
        return any(bool(getattr(part, "sees_places", True)) for part in self.parts)

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and numbers of parts ``(B, R, K)`` to ``(B, E)``, E of all parts together."""
        return self._joined(codes, mask)[0]

    def _joined(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        masks = [(mask == number).to(mask.dtype) for number in range(1, len(self.parts) + 1)]
        there = torch.stack([each.flatten(1).amax(dim=1) > 0 for each in masks])
        if self.training and self.absent.requires_grad:
            there = self._some_left_out(there)
        vectors, clues = [], {}
        for place, (part, own, absent) in enumerate(
            zip(self.parts, masks, self._of_parts(self.absent, 0), strict=True)
        ):
            found, more = self._of_part(part, codes[:, : self.code_sizes[place]], own, there[place], absent)
            vectors.append(found)
            clues.update({f"{place} {name}": clue for name, clue in more.items()})
        return torch.cat(vectors, dim=1), clues

    def _of_part(
        self, part: nn.Module, codes: Tensor, mask: Tensor, there: Tensor, absent: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Vectors ``(B, E)`` of one part; only maps that have it are looked at."""
        rows = there.nonzero()[:, 0]
        vectors = absent.expand(len(there), -1)
        learning = self.training and isinstance(part, OwnLoss)
        if not len(rows) and not learning:
            return vectors, {}
        # A batch of one has no statistics; and of none the clues are still to be there, on every device.
        looked = rows if len(rows) else rows.new_zeros(1)
        looked = looked.repeat(2) if self.training and len(rows) == 1 else looked
        own = mask[looked]
        given = codes[looked] * own[:, None].to(codes.dtype)
        clues: dict[str, Tensor] = {}
        if self.training and isinstance(part, OwnLoss):
            found, made = part.learning(given, own)
            clues = {
                name: clue.new_zeros(len(there), *clue.shape[1:]).index_copy(0, rows, clue[: len(rows)])
                for name, clue in made.items()
            }
            clues[THERE] = there.to(found.dtype)
        else:
            found = part(given, own)
        return vectors.to(found.dtype).index_copy(0, rows, found[: len(rows)]), clues

    def _of_parts(self, values: Tensor, axis: int) -> tuple[Tensor, ...]:
        """Numbers of all parts, cut into those of each."""
        starts = [sum(self.sizes[:place]) for place in range(len(self.sizes))]
        return tuple(values.narrow(axis, start, size) for start, size in zip(starts, self.sizes, strict=True))

    def _some_left_out(self, there: Tensor) -> Tensor:
        """Some parts of some patients taken for absent; each keeps one."""
        several = there.sum(dim=0) > 1
        which = torch.randint(len(there), several.shape, device=there.device)
        chance = torch.rand(several.shape, device=there.device) < LEFT_OUT
        hidden = (torch.arange(len(there), device=there.device)[:, None] == which) & several & chance
        return there & ~hidden

    def fill(self, vectors: Tensor, there: Tensor) -> None:
        """Set what stands for absent parts to the mean of those who have them.

        Args:
            vectors: Of patients ``(P, E)``.
            there: bool ``(P, parts)``.
        """
        with torch.no_grad():
            for place, (part, found) in enumerate(
                zip(self._of_parts(self.absent, 0), self._of_parts(vectors, 1), strict=True)
            ):
                own = found[there[:, place]]
                part.copy_(own.mean(dim=0) if len(own) else torch.zeros_like(part))

    def _attention(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Weights ``(B, R, K)`` that sum to 1 over all tissue, each part's share being that of its cells."""
        tissue = (mask > 0).sum(dim=(1, 2), keepdim=True).clamp_min(1)
        total = torch.zeros_like(mask)
        for number, (part, size) in enumerate(zip(self.parts, self.code_sizes, strict=True), start=1):
            own = (mask == number).to(mask.dtype)
            rows = (own.flatten(1).amax(dim=1) > 0).nonzero()[:, 0]
            if len(rows):
                weigh: Any = part.attention
                found = weigh((codes[:, :size] * own[:, None])[rows], own[rows])
                total[rows] += found * own[rows].sum(dim=(1, 2), keepdim=True)
        return total / tissue

    def _occluded(self, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
        """Vectors ``(W, E)`` of one map, each with a square of average tissue; see ``squares``."""
        vectors = []
        for number, (part, size, absent) in enumerate(
            zip(self.parts, self.code_sizes, self._of_parts(self.absent, 0), strict=True), start=1
        ):
            own = (mask == number).to(mask.dtype)
            if own.any():
                cheap: Any = part.occluded
                vectors.append(cheap(codes[:size] * own, own, squares, side))
            else:
                vectors.append(absent.expand(len(squares), -1))
        return torch.cat(vectors, dim=1)


class JoinedWithLoss(JoinedParts):
    """The same of aggregators that have a loss of their own, which counts for the parts that are there."""

    def learning(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Vectors ``(B, E)``, and the clues of all parts."""
        return self._joined(codes, mask)

    def own_loss(self, clues: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Mean of the parts' own losses."""
        losses = []
        for place, part in enumerate(self.parts):
            own = {
                name.removeprefix(f"{place} "): clue
                for name, clue in clues.items()
                if name.startswith(f"{place} ")
            }
            if not own or not isinstance(part, OwnLoss):
                continue
            there = own.pop(THERE) > 0
            known = {
                name: torch.where(
                    there.view(-1, *[1] * (values.dim() - 1)), values, torch.full_like(values, torch.nan)
                )
                for name, values in targets.items()
            }
            losses.append(part.own_loss(own, known))
        return torch.stack(losses).mean() if losses else self.absent.new_zeros(())


def joined(parts: Sequence[nn.Module], code_sizes: Sequence[int]) -> JoinedParts:
    """Aggregators of one kind, joined."""
    made = JoinedWithLoss if isinstance(parts[0], OwnLoss) else JoinedParts
    return made(parts, code_sizes)
