"""The variational autoencoder of Tellez et al. (2019), after Kingma and Welling (2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from histonic.encoders.networks.convolutional import Featured
from histonic.encoders.objectives.base import Objective, Outputs, Targets
from histonic.encoders.objectives.decoder import TileDecoder, doublings
from histonic.nn.losses import ValidationResult

DECODER_START = 512
DECODER_FILTERS = (256, 128, 64, 32, 16, 8)
LOG_VARIANCE_BOUND = 10.0


class VaeObjective(Objective):
    """Codes from which a decoder can draw the tile again, kept close to a standard normal distribution.

    The code is the mean of a normal distribution over codes; in training the decoder is given a draw from it,
    ``code + exp(log variance / 2) * noise``, in evaluation the code itself. The log variance comes from a
    linear layer beside the code layer, where the trunk has one (``features`` and ``code``), otherwise from a
    linear layer on the code; it belongs to the objective and is not kept.

    The loss is ``error + gamma * kl``: the squared error of a tile is the *mean* over its pixels and channels
    (scale -1..1), its KL divergence the *sum* over the D numbers of the code, which is the scale at which the
    paper's gamma makes both parts count; both are then averaged over the batch.

    Args:
        encoder: The trunk.
        code_size: D.
        tile_px: Side of the tiles shown: 8, 16, 32, 64, 128 or 256.
        gamma: Weight of the KL divergence.

    Raises:
        EncoderError: The decoder cannot draw tiles of this side.

    Example:
        >>> from histonic.encoders.networks.nic import NicNetwork
        >>> objective = VaeObjective(NicNetwork(16, tile_px=64), 16, tile_px=64)
        >>> sorted(objective(torch.zeros(2, 3, 64, 64)))
        ['error', 'kl']
    """

    def __init__(
        self, encoder: nn.Module, code_size: int, *, tile_px: int = 128, gamma: float = 5e-5
    ) -> None:
        super().__init__(encoder)
        self.gamma = gamma
        below = encoder.feature_size if isinstance(encoder, Featured) else code_size
        self.log_variance = nn.Linear(below, code_size)
        self.decoder = TileDecoder(code_size, DECODER_START, DECODER_FILTERS[: doublings(tile_px)])

    def distribution(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes, both float32 ``(B, D)``."""
        if isinstance(self.encoder, Featured):
            features = self.encoder.features(tiles)
            mean = self.encoder.code(features)
        else:
            features = mean = self.encoder(tiles)
        # A smooth bound: exp cannot overflow, and a value at the bound still has a gradient.
        bounded = LOG_VARIANCE_BOUND * torch.tanh(self.log_variance(features).float() / LOG_VARIANCE_BOUND)
        return mean.float(), bounded

    def forward(self, *tiles: Tensor) -> Outputs:
        """``error`` and ``kl`` of every tile, float32 ``(B,)``."""
        mean, log_variance = self.distribution(tiles[0])
        codes = mean
        if self.training:
            codes = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        error = (self.decoder(codes) - tiles[0]).square().mean((1, 2, 3))
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return {"error": error, "kl": kl}

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Mean squared error plus gamma times the KL divergence."""
        return outputs["error"].mean() + self.gamma * outputs["kl"].mean()

    @torch.no_grad()
    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        """The loss; scores ``reconstruction`` (mean squared error) and ``kl`` (nats)."""
        scores = {"reconstruction": float(outputs["error"].mean()), "kl": float(outputs["kl"].mean())}
        return ValidationResult(float(self.loss(outputs, targets)), scores)

    @torch.no_grad()
    def picture(self, *tiles: Tensor) -> Tensor:
        """First row the tiles, second row what the decoder draws from their codes."""
        mean, _ = self.distribution(tiles[0])
        return torch.stack([tiles[0].float(), self.decoder(mean)])
