"""Learning by comparing: the pair rule of Tellez et al. (2019), and NT-Xent of SimCLR (Chen et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from histonic.core.errors import EncoderError
from histonic.encoders.objectives.base import SAME, Objective, Outputs, Targets
from histonic.nn.blocks import DenseBlock
from histonic.nn.losses import ValidationResult

HIDDEN, PROJECTED = 256, 64
"""Units of the dense layer above the code, and size of the projection that NT-Xent compares."""
VALIDATED_AT_ONCE = 256


def encode_both(encoder: nn.Module, tiles: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Codes of the first and the second tiles, in one pass, so that batch normalisation sees both alike."""
    first, second = encoder(torch.cat(tiles)).chunk(2)
    return first, second


class ContrastiveObjective(Objective):
    """Tell two views of one place from views of two places, with codes of one shared trunk.

    The two codes are joined and go through a dense layer of 256 (BN, leaky ReLU) to one logit, scored by
    binary cross-entropy. As in the paper, validation looks at the accuracy: the loss is the share
    of pairs told wrong.

    Args:
        encoder: The trunk.
        code_size: D.

    Example:
        >>> from histonic.encoders.networks.nic import NicNetwork
        >>> objective = ContrastiveObjective(NicNetwork(16, tile_px=64), 16)
        >>> tiles = torch.zeros(4, 3, 64, 64)
        >>> objective(tiles, tiles)["logit"].shape
        torch.Size([4])
    """

    shows = "pair"

    def __init__(self, encoder: nn.Module, code_size: int) -> None:
        super().__init__(encoder)
        self.compare = nn.Sequential(DenseBlock(2 * code_size, HIDDEN), nn.Linear(HIDDEN, 1))

    def forward(self, *tiles: Tensor) -> Outputs:
        """``logit`` of every pair, float32 ``(B,)``; above 0 means one place."""
        codes = torch.cat(encode_both(self.encoder, tiles), dim=1)
        return {"logit": self.compare(codes)[:, 0].float()}

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Binary cross-entropy against the target :data:`~histonic.encoders.objectives.base.SAME`."""
        return binary_cross_entropy_with_logits(outputs["logit"], targets[SAME].float())

    @torch.no_grad()
    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        """Share of wrong pairs; scores ``pair_accuracy`` and ``cross_entropy``."""
        right = (outputs["logit"] > 0) == (targets[SAME] > 0.5)
        accuracy = float(right.float().mean())
        entropy = float(self.loss(outputs, targets))
        return ValidationResult(1 - accuracy, {"pair_accuracy": accuracy, "cross_entropy": entropy})

    @torch.no_grad()
    def picture(self, *tiles: Tensor) -> Tensor:
        """Pairs, one a column, from surely one place (left) to surely two places (right)."""
        order = self(*tiles)["logit"].argsort(descending=True)
        return torch.stack([shown[order] for shown in tiles]).float()


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.2) -> Tensor:
    """Normalised temperature-scaled cross-entropy of two views (Chen et al. 2020, equation 1).

    Every one of the 2B vectors has to find its partner among the other 2B - 1 by cosine similarity.

    Args:
        first: Vectors of the first views ``(B, D)``, of any length.
        second: Vectors of the second views ``(B, D)``, in the same order.
        temperature: Divides the similarities; lower puts more weight on the most similar strangers.

    Returns:
        A scalar: the mean over the 2B vectors.

    Raises:
        EncoderError: Fewer than two tiles, two different shapes, or a temperature that is not positive.

    Example:
        >>> views = torch.eye(4)
        >>> round(float(nt_xent(views, views, temperature=1.0)), 4)
        1.1654
    """
    _check_temperature(temperature)
    similarity, partner = _similarities(first, second)
    return cross_entropy(similarity / temperature, partner)


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise EncoderError(
            "Compute NT-Xent.", f"The temperature is {temperature}.", "Give a positive number."
        )


def _similarities(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines ``(2B, 2B)``, minus infinity on the diagonal, and the row of every vector's partner."""
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        raise EncoderError(
            "Compute NT-Xent.",
            f"The two views are {tuple(first.shape)} and {tuple(second.shape)}.",
            "Give two tensors (B, D) of the same shape, with at least two tiles.",
        )
    count = len(first)
    # Cosines divided by the temperature are exponentiated: bfloat16 has too few digits.
    with torch.autocast(first.device.type, enabled=False):
        vectors = normalize(torch.cat([first, second]).float(), dim=1)
        similarity = vectors @ vectors.T
    itself = torch.eye(2 * count, dtype=torch.bool, device=first.device)
    partner = torch.arange(2 * count, device=first.device).roll(count)
    return similarity.masked_fill(itself, -torch.inf), partner


def projection(code_size: int) -> nn.Sequential:
    """The layers between code and :func:`nt_xent`, not kept: dense (BN, leaky ReLU), then linear.

    The contrast is taken above them, so that the code may keep what it makes views forget (Chen et al. 2020).

    Example:
        >>> projection(16)(torch.zeros(4, 16)).shape
        torch.Size([4, 64])
    """
    return nn.Sequential(DenseBlock(code_size, HIDDEN), nn.Linear(HIDDEN, PROJECTED))


class NtXentObjective(Objective):
    """Two augmented views of one tile get similar codes, views of different tiles different ones (SimCLR).

    As in the paper, the loss is taken on a :func:`projection` of the code, which is not kept.

    Args:
        encoder: The trunk.
        code_size: D.
        temperature: Of :func:`nt_xent`.

    Raises:
        EncoderError: The temperature is not positive.

    Example:
        >>> from histonic.encoders.networks.nic import NicNetwork
        >>> objective = NtXentObjective(NicNetwork(16, tile_px=64), 16)
        >>> tiles = torch.zeros(4, 3, 64, 64)
        >>> objective(tiles, tiles)["first"].shape
        torch.Size([4, 64])
    """

    shows = "two views"

    def __init__(self, encoder: nn.Module, code_size: int, *, temperature: float = 0.2) -> None:
        super().__init__(encoder)
        _check_temperature(temperature)
        self.temperature = temperature
        self.project = projection(code_size)

    def forward(self, *tiles: Tensor) -> Outputs:
        """Projections ``first`` and ``second`` of the two views, float32 ``(B, PROJECTED)``."""
        first, second = self.project(self.encoder(torch.cat(tiles))).float().chunk(2)
        return {"first": first, "second": second}

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """:func:`nt_xent` of the whole batch."""
        return nt_xent(outputs["first"], outputs["second"], self.temperature)

    @torch.no_grad()
    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        """Mean loss over parts of 256 tiles; score ``partner_found``: the share nearest to their partner.

        The loss grows with the number of strangers and its memory with their square, hence the parts.
        """
        parts = max(1, len(outputs["first"]) // VALIDATED_AT_ONCE)
        losses, found = [], []
        pairs = zip(outputs["first"].chunk(parts), outputs["second"].chunk(parts), strict=True)
        for first, second in pairs:
            similarity, partner = _similarities(first, second)
            losses.append(float(nt_xent(first, second, self.temperature)))
            found.append(float((similarity.argmax(1) == partner).float().mean()))
        return ValidationResult(sum(losses) / parts, {"partner_found": sum(found) / parts})

    @torch.no_grad()
    def picture(self, *tiles: Tensor) -> Tensor:
        """First row the first views, second row the most similar of the second views."""
        outputs = self(*tiles)
        similarity, _ = _similarities(outputs["first"], outputs["second"])
        count = len(tiles[0])
        nearest = similarity[:count, count:].argmax(1)
        return torch.stack([tiles[0], tiles[1][nearest]]).float()
