"""What the heads of a multitask encoder say of the tiles, summed up per slide (after Paeng et al. 2017)."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.bags import cells_of, cells_to_maps, tissue_max
from histonic.core.errors import EncoderError
from histonic.nn.heads import Head, Heads

THRESHOLDS = (0.5, 0.9)
QUANTILES = (0.5, 0.9, 0.99)
FIELD_CELLS = 7
"""Side of a hot spot: of cells of 64 µm, 0.2 mm², the area of a field at the highest power."""
SUMMARIES = (
    "mean",
    "standard deviation",
    *(f"{quantile:g} quantile" for quantile in QUANTILES),
    "maximum",
    *(f"share above {threshold:g}" for threshold in THRESHOLDS),
    *(f"log of 1 + cells above {threshold:g}" for threshold in THRESHOLDS),
    "densest field",
)


class Votes(nn.Module):
    """Counts and statistics of tile-level predictions, such as of the probability of a mitosis.

    The winner of TUPAC16 predicted tumour proliferation from such a summary of detected mitoses, by a support
    vector machine (Paeng, Hwang, Park and Kim, DLMIA 2017). Here every output of every head of the encoder is
    a vote: the probability of a class (where classes are as common as each other), of a grade above each
    threshold, or a standardised value. Each is summed up by :data:`SUMMARIES`. Nothing here is learned; the
    linear heads behind it are fitted, as ridge or as support vector machines.

    Args:
        code_size: D.
        crop_cells: Not used.
        tile_heads: Of the encoder that made the codes.

    Raises:
        EncoderError: There are no heads, or for another size of code.

    Example:
        >>> from histonic.core.task import Task
        >>> heads = Heads([Task("mitosis", "binary", ("label",), ("no", "yes"))], 5)
        >>> votes = Votes(5, 20, tile_heads=heads)
        >>> votes.names
        ['mitosis: yes']
        >>> votes(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20))[0, 0]  # a head without weights says 1/2
        tensor(0.5000)
    """

    sees_places: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 0.0  # nothing is learned by steps
    raw_codes: ClassVar[bool] = True
    wants: ClassVar[tuple[str, ...]] = ("tile_heads",)

    def __init__(self, code_size: int, crop_cells: int, *, tile_heads: Heads | None = None) -> None:
        super().__init__()
        self.tile_heads = _own_heads(code_size, tile_heads)
        self.names = [name for head in self._heads() for name in vote_names(head)]
        """What each vote is of."""
        self.size = len(self.names) * len(SUMMARIES)

    def train(self, mode: bool = True) -> Self:
        """As for any module, but for the heads, whose batch normalisation is that of their own training."""
        super().train(mode)
        self.tile_heads.eval()
        return self

    def _heads(self) -> list[Head]:
        return [head for head in self.tile_heads.heads if isinstance(head, Head)]

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` raw codes and ``(B, R, K)`` to summaries ``(B, V * S)``, vote by vote."""
        cells, tissue = cells_of(codes.float(), mask)
        votes = torch.cat([head_votes(head, cells) for head in self._heads()], dim=2)
        here = tissue[..., None].to(votes.dtype)
        total = here.sum(dim=1).clamp_min(1)
        mean = (votes * here).sum(dim=1) / total
        variance = ((votes - mean[:, None]).square() * here).sum(dim=1) / total
        # The slope of a root at 0 is infinite, and votes that are all alike would have no gradient.
        std = variance.masked_fill(variance == 0, 1).sqrt().masked_fill(variance == 0, 0)
        counts = [((votes > threshold) * here).sum(dim=1) for threshold in THRESHOLDS]
        summaries = [
            mean,
            std,
            *tissue_quantiles(votes, tissue, QUANTILES),
            tissue_max(votes, tissue),
            *(count / total for count in counts),
            *(count.log1p() for count in counts),
            densest_field(cells_to_maps(votes * here, mask), mask),
        ]
        return torch.stack(summaries, dim=2).flatten(1)


def vote_names(head: Head) -> list[str]:
    """What the votes of a head are of; of two classes only the second is told."""
    task = head.task
    if task.kind == "regression":
        return [task.name]
    classes = task.classes if task.kind == "multiclass" else task.classes[1:]
    least = " or more" if task.kind == "ordinal" else ""
    return [f"{task.name}: {name}{least}" for name in classes]


def head_votes(head: Head, cells: Tensor) -> Tensor:
    """Votes ``(B, N, V)`` of a tile head on codes ``(B, N, D)``.

    How common the classes were among the tiles of its training, and so how much it is worth there,
    says nothing about a slide: probabilities are those of the balanced batches.
    """
    outputs: Tensor = head(cells)
    if head.task.kind == "regression":
        return outputs
    return outputs.softmax(dim=-1) if head.task.kind == "multiclass" else outputs.sigmoid()


def tissue_quantiles(values: Tensor, tissue: Tensor, quantiles: tuple[float, ...]) -> list[Tensor]:
    """Quantiles over the tissue, each ``(B, C)``, interpolated as NumPy does; 0 where there is no tissue.

    Args:
        values: ``(B, N, C)``.
        tissue: bool ``(B, N)``.
        quantiles: 0 to 1.

    Example:
        >>> values = torch.tensor([[[1.0], [4.0], [2.0], [9.0]]])
        >>> tissue_quantiles(values, torch.tensor([[True, True, True, False]]), (0.5, 0.75))
        [tensor([[2.]]), tensor([[3.]])]
    """
    ordered = values.masked_fill(~tissue[..., None], torch.inf).sort(dim=1).values
    last = (tissue.sum(dim=1) - 1).clamp_min(0)
    found = []
    for quantile in quantiles:
        place = last * quantile
        ends = [_at(ordered, whole.long()) for whole in (place.floor(), place.ceil())]
        between = ends[0] + (ends[1] - ends[0]) * (place - place.floor())[:, None]
        found.append(torch.where(tissue.any(dim=1)[:, None], between, torch.zeros_like(between)))
    return found


def _at(ordered: Tensor, places: Tensor) -> Tensor:
    values = ordered.gather(1, places[:, None, None].expand(-1, 1, ordered.shape[2]))[:, 0]
    return values.nan_to_num(posinf=0.0)


def densest_field(votes: Tensor, mask: Tensor) -> Tensor:
    """The largest mean of a square of :data:`FIELD_CELLS` cells, ``(B, V)``; 0 without tissue.

    Glass in a field counts as tissue without a vote while more than half of the field is glass, so that a
    single cell at the rim is no hot spot.

    Args:
        votes: ``(B, V, R, K)``, 0 on glass.
        mask: ``(B, R, K)``.
    """

    def mean(maps: Tensor) -> Tensor:
        # Sums by divisor_override would be means in ONNX, which knows no divisor.
        return F.avg_pool2d(maps, FIELD_CELLS, 1, FIELD_CELLS // 2)

    tissue = mask[:, None].to(votes.dtype)
    density = mean(votes) / mean(tissue).clamp_min(0.5)
    lowest = torch.finfo(density.dtype).min
    densest = density.masked_fill(tissue == 0, lowest).amax(dim=(2, 3))
    return torch.where(tissue.flatten(1).any(dim=1)[:, None], densest, torch.zeros_like(densest))


def _own_heads(code_size: int, given: Heads | None) -> Heads:
    """A copy of the encoder's heads that does not learn."""
    asked = "Use the aggregator 'votes'."
    todo = (
        "Compress with an encoder that has heads: histonic-lite, or one of 'histonic encoder train'. "
        "Heads in a file belong into the store as heads.safetensors. Without heads, use mean, abmil or "
        "convnet."
    )
    if given is None:
        raise EncoderError(asked, "The encoder of the maps has no heads that say something of a tile.", todo)
    if given.size != code_size:
        raise EncoderError(
            asked, f"Its heads take codes of {given.size} numbers, the maps have {code_size}.", todo
        )
    own = Heads(given.tasks, code_size, given.hidden)
    own.load_state_dict(given.state_dict())
    return own.requires_grad_(False)
