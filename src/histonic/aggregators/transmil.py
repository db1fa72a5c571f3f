"""Transformer over the cells of a map, with positions from convolutions (Shao et al., NeurIPS 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDED = 128
HEADS = 4
LANDMARKS = 64
EXACT_CELLS = 512
"""Cells up to which attention is computed in full; above it is approximated by way of landmarks."""
PINV_STEPS = 6


def landmark_attention(query: Tensor, key: Tensor, value: Tensor, landmarks: int) -> Tensor:
    """Softmax attention approximated by the method of Nyström (Xiong et al., AAAI 2021).

    Work and memory grow with ``N * landmarks`` instead of ``N * N``.

    Args:
        query: ``(H, N, E)``.
        key: ``(H, N, E)``.
        value: ``(H, N, E)``.
        landmarks: Stretches of neighbouring tokens whose means stand for all, N at most.

    Returns:
        ``(H, N, E)``.

    Example:
        >>> tokens = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
        >>> full = F.scaled_dot_product_attention(tokens, tokens, tokens)
        >>> bool(torch.allclose(landmark_attention(tokens, tokens, tokens, 6), full, atol=0.01))
        True
    """
    scale = query.shape[-1] ** -0.5
    tokens = query.shape[1]
    stretch = torch.arange(tokens, device=query.device) * landmarks // tokens
    share = F.one_hot(stretch, landmarks).to(query.dtype)
    share = share / share.sum(dim=0)
    few_query, few_key = (torch.einsum("hne,nm->hme", each, share) for each in (query, key))
    left = (query @ few_key.mT * scale).softmax(dim=-1)
    middle = (few_query @ few_key.mT * scale).softmax(dim=-1)
    right = (few_query @ key.mT * scale).softmax(dim=-1)
    mixed: Tensor = left @ (pseudo_inverse(middle) @ (right @ value))
    return mixed


def pseudo_inverse(matrix: Tensor) -> Tensor:
    """Moore-Penrose inverse of ``(H, M, M)`` by the iteration of Razavi et al., as in the Nyström paper."""
    eye = torch.eye(matrix.shape[-1], device=matrix.device, dtype=matrix.dtype)
    norms = matrix.abs().sum(dim=-1).amax(dim=-1) * matrix.abs().sum(dim=-2).amax(dim=-1)
    found = matrix.mT / norms[:, None, None]
    for _ in range(PINV_STEPS):
        product = matrix @ found
        found = 0.25 * found @ (13 * eye - product @ (15 * eye - product @ (7 * eye - product)))
    return found


class TokenMixer(nn.Module):
    """Multi-head self-attention with a residual, normalised before.

    Example:
        >>> TokenMixer()(torch.zeros(10, 128)).shape
        torch.Size([10, 128])
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(EMBEDDED)
        self.split = nn.Linear(EMBEDDED, 3 * EMBEDDED, bias=False)
        self.join = nn.Linear(EMBEDDED, EMBEDDED)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, E)`` to ``(N, E)``."""
        parts = self.split(self.norm(tokens)).view(len(tokens), 3, HEADS, -1).permute(1, 2, 0, 3)
        query, key, value = parts.unbind(0)
        if len(tokens) <= EXACT_CELLS:
            mixed = F.scaled_dot_product_attention(query[None], key[None], value[None])[0]
        else:
            mixed = landmark_attention(query, key, value, LANDMARKS)
        joined: Tensor = tokens + self.join(mixed.transpose(0, 1).flatten(1))
        return joined


class MapPositions(nn.Module):
    """Positions from the neighbourhood: depth-wise convolutions of three sizes, added to the map.

    The paper folds the cells into a square first, since its cells have no places; here they lie where the
    tissue has them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields = nn.ModuleList(
            nn.Conv2d(EMBEDDED, EMBEDDED, side, padding=side // 2, groups=EMBEDDED) for side in (7, 5, 3)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """``(1, E, R, K)``, zero on glass, to the same shape."""
        added: Tensor = sum((field(maps) for field in self.fields), maps)
        return added


class TransMil(nn.Module):
    """Two layers of self-attention over the tissue, with convolutional positions between them.

    Only cells with tissue take part, so that neither glass nor padding changes anything. Up to
    :data:`EXACT_CELLS` cells attention is exact, and above approximated as in the paper.

    Args:
        code_size: D.
        crop_cells: Not used; any size of map will do.

    Example:
        >>> net = TransMil(5, 20)
        >>> net(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20)).shape
        torch.Size([2, 128])
    """

    size = EMBEDDED

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(code_size, EMBEDDED), nn.ReLU())
        self.token = nn.Parameter(torch.randn(1, EMBEDDED) * 0.02)
        self.first = TokenMixer()
        self.places = MapPositions()
        self.second = TokenMixer()
        self.norm = nn.LayerNorm(EMBEDDED)

    def _one(self, codes: Tensor, tissue: Tensor) -> Tensor:
        """The vector ``(E,)`` of one map ``(D, R, K)`` with ``tissue`` ``(R, K)``."""
        cells = self.embed(codes.permute(1, 2, 0)[tissue])
        tokens = self.first(torch.cat([self.token, cells]))
        token, cells = tokens[:1], tokens[1:]
        maps = cells.new_zeros(*tissue.shape, EMBEDDED)
        maps[tissue] = cells
        cells = self.places(maps.permute(2, 0, 1)[None])[0].permute(1, 2, 0)[tissue]
        vector: Tensor = self.norm(self.second(torch.cat([token, cells]))[0])
        return vector

    def forward(self, codes: Tensor, mask: Tensor) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to slide vectors ``(B, 128)``."""
        # One map at a time: each has a number of cells of its own, and attention between maps is none.
        return torch.stack([self._one(*each) for each in zip(codes, mask > 0, strict=True)])
