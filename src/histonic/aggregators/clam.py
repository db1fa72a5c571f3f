"""Attention whose extreme cells are told apart by pseudo-labels (Lu et al., Nature BME 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.abmil import EMBEDDED, AttentionPool
from histonic.aggregators.bags import cells_of, tissue_softmax
from histonic.core.task import Task

CHOSEN = 8
"""Cells from either end of the attention that get a pseudo-label, as in the paper; fewer of a small map."""
OWN_WEIGHT = 0.3 / 0.7
"""Weight of the clustering loss beside the slide's, 0.3 to 0.7 in the paper."""


class Clam(AttentionPool):
    """Gated attention, and in training a clustering of the cells at both ends of it (CLAM, single branch).

    Every class has a linear layer that tells its cells from others. The :data:`CHOSEN` most attended cells
    of a slide are taken for cells of its class, and the least attended for others; to the layers of all
    other classes, the most attended are the others. What counts as a class depends on the kind of target:

    - binary, multiclass: the classes, as in the paper.
    - ordinal: for each threshold, above it and not.
    - regression: above the mean of the training patients, and below.
    - survival: none, since a censored patient belongs to no class; there it is ``abmil``.

    Args:
        code_size: D.
        crop_cells: Not used; attention does not know where cells lie.
        tasks: The targets.

    Example:
        >>> net = Clam(5, 20, tasks=[Task("msi", "binary", ("msi",), ("no", "yes"))])
        >>> net(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20)).shape
        torch.Size([2, 128])
    """

    learning_rate: ClassVar[float] = 1e-3
    wants: ClassVar[tuple[str, ...]] = ("tasks",)

    def __init__(self, code_size: int, crop_cells: int, *, tasks: Sequence[Task] = ()) -> None:
        super().__init__(code_size, crop_cells)
        # Numbered, because a module's name cannot hold a point and a target's can.
        self.named = {f"task {at}": task for at, task in enumerate(tasks) if task.kind != "survival"}
        self.tell = nn.ModuleDict(
            {name: nn.Linear(EMBEDDED, count_classes(task)) for name, task in self.named.items()}
        )

    def learning(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Slide vectors, and per target the scores ``(B, C, 2 * CHOSEN)`` of the chosen cells.

        The most attended come first. ``chosen`` ``(B, CHOSEN)`` is 1 where a map has that many to choose.
        """
        cells, tissue = cells_of(codes, mask)
        embedded = self.embed(cells)
        weights = tissue_softmax(self.attend(embedded), tissue)
        ends, chosen = both_ends(weights[..., 0].detach(), tissue)
        picked = embedded.gather(1, ends[..., None].expand(-1, -1, EMBEDDED))
        clues = {name: tell(picked).transpose(1, 2) for name, tell in self.tell.items()}
        return torch.einsum("bnc,bne->be", weights, embedded), {**clues, "chosen": chosen}

    def own_loss(self, clues: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Mean over targets, slides, classes and chosen cells of the smooth margin loss, weighted."""
        chosen = clues["chosen"]
        losses = [
            clustering_loss(clues[name].float(), memberships(task, targets[task.name]), chosen)
            for name, task in self.named.items()
        ]
        return OWN_WEIGHT * torch.stack(losses).mean() if losses else chosen.new_zeros(())


def count_classes(task: Task) -> int:
    """Classes between which a target's cells are told apart."""
    if task.kind == "ordinal":
        return len(task.classes) - 1
    return len(task.classes) if task.is_classification else 2


def memberships(task: Task, targets: Tensor) -> Tensor:
    """Whether each patient belongs to each class, ``(B, C)`` 1 or 0; NaN where the target is missing.

    Args:
        task: Not survival.
        targets: ``(B,)``, regression standardised.

    Example:
        >>> memberships(Task("g", "ordinal", ("g",), ("1", "2", "3")), torch.tensor([1.0, 2.0])).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    if task.kind == "ordinal":
        member = targets[:, None] > torch.arange(count_classes(task), device=targets.device)
    elif task.kind == "regression":
        member = torch.stack([targets <= 0, targets > 0], dim=1)
    else:
        member = targets[:, None] == torch.arange(count_classes(task), device=targets.device)
    return member.to(targets.dtype).masked_fill(torch.isnan(targets)[:, None], torch.nan)


def both_ends(attention: Tensor, tissue: Tensor) -> tuple[Tensor, Tensor]:
    """The most and the least attended cells of each map.

    Args:
        attention: ``(B, N)``, 0 on glass.
        tissue: bool ``(B, N)``.

    Returns:
        Places ``(B, 2 * CHOSEN)``, the most attended first; and ``(B, CHOSEN)`` 1 where they are valid: no
        cell is at both ends, so a map of n cells gives n / 2 from each.

    Example:
        >>> ends, chosen = both_ends(torch.tensor([[0.2, 0.5, 0.0, 0.3]]), torch.tensor([[1, 1, 0, 1]]) > 0)
        >>> ends[0, 0].item(), ends[0, CHOSEN].item(), int(chosen.sum())
        (1, 0, 1)
    """
    order = attention.masked_fill(~tissue, -1).argsort(dim=1, descending=True, stable=True)
    cells = tissue.sum(dim=1, keepdim=True)
    rank = torch.arange(CHOSEN, device=attention.device)
    last = (cells - 1 - rank).clamp_min(0)
    first = rank.clamp_max(attention.shape[1] - 1).expand_as(last)
    return order.gather(1, torch.cat([first, last], dim=1)), (rank < cells // 2).to(attention.dtype)


def clustering_loss(scores: Tensor, member: Tensor, chosen: Tensor) -> Tensor:
    """The instance loss of the paper, on two-class scores given as their difference.

    With two classes, margin 1 and temperature 1 the smooth top-1 SVM (Berrada et al., ICLR 2018) is
    ``log(1 + exp(1 - z))`` of a cell of the class whose score is z, and ``log(1 + exp(1 + z))`` of another.

    Args:
        scores: ``(B, C, 2 * CHOSEN)``, the most attended cells first.
        member: ``(B, C)``, see :func:`memberships`.
        chosen: ``(B, CHOSEN)``, 1 where there is such a cell.

    Returns:
        Mean over what is known; a zero that hangs on the scores if nothing is.
    """
    most, least = scores.chunk(2, dim=2)
    inside = (member == 1).to(scores.dtype)[..., None]
    known = (~torch.isnan(member)).to(scores.dtype)[..., None] * chosen[:, None]
    losses = known * F.softplus(1 - (2 * inside - 1) * most) + known * inside * F.softplus(1 + least)
    return losses.sum() / (known * (1 + inside)).sum().clamp_min(1)
