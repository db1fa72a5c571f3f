"""Transformer over the cells of a map, with positions from convolutions (Shao et al., NeurIPS 2021)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.bags import cells_of, cells_to_maps

EMBEDDED = 128
HEADS = 4
LANDMARKS = 64
EXACT_CELLS = 512
"""Cells up to which attention is computed in full; above it is approximated by way of landmarks."""
PINV_STEPS = 6
FIELDS = (7, 5, 3)
"""Sides of the convolutions that tell positions, the widest first."""


def landmark_attention(query: Tensor, key: Tensor, value: Tensor, landmarks: int) -> Tensor:
    """Softmax attention approximated by the method of Nyström (Xiong et al., AAAI 2021).

    Work and memory grow with ``N * landmarks`` instead of ``N * N``.

    Args:
        query: ``(B, H, N, E)``.
        key: ``(B, H, N, E)``.
        value: ``(B, H, N, E)``.
        landmarks: Stretches of neighbouring tokens whose means stand for all, N at most.

    Returns:
        ``(B, H, N, E)``.

    Example:
        >>> tokens = torch.randn(1, 2, 6, 4, generator=torch.Generator().manual_seed(0))
        >>> full = F.scaled_dot_product_attention(tokens, tokens, tokens)
        >>> bool(torch.allclose(landmark_attention(tokens, tokens, tokens, 6), full, atol=0.01))
        True
    """
    few_query, few_key = (stretch_means(each, landmarks) for each in (query, key))
    middle = (few_query @ few_key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)
    # The fused kernel never stores the weights of N tokens for the landmarks, which is most of the memory.
    heard = F.scaled_dot_product_attention(few_query, key, value)
    return F.scaled_dot_product_attention(query, few_key, pseudo_inverse(middle) @ heard)


def stretch_means(tokens: Tensor, stretches: int) -> Tensor:
    """Means of neighbouring tokens, ``(B, H, N, E)`` to ``(B, H, stretches, E)``.

    Example:
        >>> stretch_means(torch.arange(5.0).view(1, 1, 5, 1), 2).flatten().tolist()
        [1.0, 3.5]
    """
    each, more = divmod(tokens.shape[2], stretches)
    counts = (more, stretches - more)
    parts = torch.split(tokens, [more * (each + 1), (stretches - more) * each], dim=2)
    means = [
        torch.unflatten(part, 2, (count, -1)).mean(dim=3)
        for part, count in zip(parts, counts, strict=True)
        if count
    ]
    return torch.cat(means, dim=2)


def pseudo_inverse(matrix: Tensor) -> Tensor:
    """Moore-Penrose inverse of ``(..., M, M)`` by the iteration of Razavi et al., as in that paper."""
    eye = torch.eye(matrix.shape[-1], device=matrix.device, dtype=matrix.dtype)
    norms = matrix.abs().sum(dim=-1).amax(dim=-1) * matrix.abs().sum(dim=-2).amax(dim=-1)
    found = matrix.mT / norms[..., None, None]
    for _ in range(PINV_STEPS):
        product = matrix @ found
        found = 0.25 * found @ (13 * eye - product @ (15 * eye - product @ (7 * eye - product)))
    return found


class TokenMixer(nn.Module):
    """Multi-head self-attention with a residual, normalised before.

    Example:
        >>> TokenMixer()(torch.zeros(2, 10, 128), torch.ones(2, 10, dtype=torch.bool)).shape
        torch.Size([2, 10, 128])
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(EMBEDDED)
        self.split = nn.Linear(EMBEDDED, 3 * EMBEDDED, bias=False)
        self.join = nn.Linear(EMBEDDED, EMBEDDED)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Every token asks all others.

        Args:
            tokens: ``(B, N, E)``.
            there: bool ``(B, N)``, which tokens can be asked; all of them beyond :data:`EXACT_CELLS`.
        """
        query, key, value = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in self.split(self.norm(tokens)).chunk(3, dim=2)
        )
        if tokens.shape[1] <= EXACT_CELLS:
            mixed = F.scaled_dot_product_attention(query, key, value, there[:, None, None])
        else:
            mixed = landmark_attention(query, key, value, LANDMARKS)
        joined: Tensor = tokens + self.join(mixed.transpose(1, 2).flatten(2))
        return joined

    def first_asks(self, first: Tensor, others: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Only the first token asks, which is cheap enough to be exact for any number of them.

        Args:
            first: ``(B, 1, E)``.
            others: ``(B, N, E)``.
            there: bool ``(B, N)``, which of the others can be asked.

        Returns:
            The first token ``(B, E)``, and the weights ``(B, H, N)`` with which it listens to the others.
        """
        own, seen = self.norm(first), self.norm(others)
        # Keys and values are linear in the tokens, so that theirs need not be computed one by one.
        query, key, value = self.split.weight.view(3, HEADS, -1, EMBEDDED)
        asked = torch.einsum("be,hde,hdf->bhf", own[:, 0], query, key) * query.shape[1] ** -0.5
        scores = (asked @ seen.mT).masked_fill(~there[:, None], -torch.inf)
        weights = torch.cat([asked @ own.mT, scores], dim=2).softmax(dim=-1)
        to_itself, to_others = torch.split(weights, [1, others.shape[1]], dim=2)
        heard = torch.einsum("bhe,hde->bhd", to_itself @ own + to_others @ seen, value).flatten(1)
        return first[:, 0] + self.join(heard), to_others


class MapPositions(nn.Module):
    """Positions from the neighbourhood: depth-wise convolutions of three sizes, added to the map.

    The paper folds the cells into a square first, since its cells have no places; here they lie where the
    tissue has them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields = nn.ModuleList(
            nn.Conv2d(EMBEDDED, EMBEDDED, side, padding=side // 2, groups=EMBEDDED) for side in FIELDS
        )

    def _kernels(self) -> list[tuple[int, Tensor, Tensor]]:
        return [(side, each.weight, each.bias) for side, each in zip(FIELDS, self.fields, strict=True)]  # type: ignore[misc]

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, E, R, K)``, zero on glass, to the same shape."""
        # A sum of convolutions is one with the sum of their kernels, and the map itself the kernel 1.
        widest = max(FIELDS)
        kernel = F.pad(maps.new_ones(EMBEDDED, 1, 1, 1), (widest // 2,) * 4)
        for side, weight, _ in self._kernels():
            kernel = kernel + F.pad(weight, ((widest - side) // 2,) * 4)
        bias = torch.stack([each for *_, each in self._kernels()]).sum(dim=0)
        return F.conv2d(maps, kernel, bias, padding=widest // 2, groups=EMBEDDED)


class TransMil(nn.Module):
    """Two layers of self-attention over the tissue, with convolutional positions between them.

    Only cells with tissue take part, so that neither glass nor padding changes anything. Up to
    :data:`EXACT_CELLS` cells attention is exact, and above approximated as in the paper; in the second layer,
    of which only the slide's token is needed, it is always exact. ``torch.export`` takes only maps with fewer
    cells than that, since how the others are computed depends on how many hold tissue.

    Args:
        code_size: D.
        crop_cells: Not used; any size of map will do.

    Example:
        >>> net = TransMil(5, 20)
        >>> net(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20)).shape
        torch.Size([2, 128])
    """

    size = EMBEDDED
    learning_rate: ClassVar[float] = 3e-4
    path_cost: ClassVar[float] = 2.5
    # The normalisation of tokens makes a path steep near average tissue.
    path_power: ClassVar[int] = 2

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(code_size, EMBEDDED), nn.ReLU())
        self.token = nn.Parameter(torch.randn(1, EMBEDDED) * 0.02)
        self.first = TokenMixer()
        self.places = MapPositions()
        self.second = TokenMixer()
        self.norm = nn.LayerNorm(EMBEDDED)

    def _listen(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Slide vectors ``(B, E)``, and the weight ``(B, R, K)`` of each cell in them."""
        cells, tissue = cells_of(codes, mask)
        token = self.token.expand(len(cells), 1, -1)
        there = F.pad(tissue, (1, 0), value=True)
        tokens = self.first(torch.cat([token, self.embed(cells)], dim=1), there)
        # The gradient of a split is one concatenation; slices would each fill all tokens with zeros first.
        token, cells = torch.split(tokens, [1, cells.shape[1]], dim=1)
        if torch.compiler.is_compiling() or not tissue.all():
            cells = cells * tissue[..., None]
        cells, _ = cells_of(self.places(cells_to_maps(cells, mask)), mask)
        vectors, weights = self.second.first_asks(token, cells, tissue)
        heard = weights.mean(dim=1)
        heard = heard / heard.sum(dim=1, keepdim=True).clamp_min(torch.finfo(heard.dtype).tiny)
        return self.norm(vectors), cells_to_maps(heard[..., None], mask)[:, 0]

    def _all(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same of any maps: those with few cells together, each of the others by itself."""
        if torch.compiler.is_compiling() and mask[0].numel() < EXACT_CELLS:
            return self._listen(codes, mask)
        few = (mask > 0).flatten(1).sum(dim=1) < EXACT_CELLS
        together, alone = few.nonzero()[:, 0], (~few).nonzero()[:, 0]
        groups = [group for group in (together, *torch.split(alone, 1)) if len(group)]
        parts = [self._listen(codes[group], mask[group]) for group in groups]
        order = torch.cat(groups).argsort()
        vectors, weights = (torch.cat(each)[order] for each in zip(*parts, strict=True))
        return vectors, weights

    def attention(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Weight of each cell for the slide's token, ``(B, R, K)``; they sum to 1 over the tissue."""
        return self._all(codes, mask)[1]

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 128)``."""
        return self._all(codes, mask)[0]
