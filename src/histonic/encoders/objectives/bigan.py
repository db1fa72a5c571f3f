"""The bidirectional generative adversarial network (Donahue et al. 2017), as in Tellez et al. (2019)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus

from histonic.encoders.objectives.base import Objective, Outputs, Targets
from histonic.encoders.objectives.decoder import TileDecoder, doublings
from histonic.nn.blocks import LEAK, he_uniform_
from histonic.nn.losses import ValidationResult

GENERATOR_START = 64
GENERATOR_FILTERS = 128
DENSE = 1024


def fresh_copy(network: nn.Module) -> nn.Module:
    """The same layers with their own, newly drawn weights."""
    twin = copy.deepcopy(network)
    for layer in twin.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
    return twin


class Discriminator(nn.Module):
    """Pairs of tile and code to one logit: above 0 for a real tile with its code.

    The tile goes through a network of the trunk's own layers, is joined with the code, and goes through two
    dense layers of 1024 with leaky ReLU and dropout 0.5.

    Args:
        encoder: The trunk, whose layers (not weights) are copied.
        code_size: D.
    """

    def __init__(self, encoder: nn.Module, code_size: int) -> None:
        super().__init__()
        self.image = fresh_copy(encoder)
        layers: list[nn.Module] = []
        for size in (2 * code_size, DENSE):
            layers += [nn.Linear(size, DENSE), nn.LeakyReLU(LEAK), nn.Dropout(0.5)]
        self.joint = nn.Sequential(*layers, nn.Linear(DENSE, 1))
        he_uniform_(self.joint)

    def forward(self, tiles: Tensor, codes: Tensor) -> Tensor:
        """Logits, float32 ``(B,)``, of tiles ``(B, 3, H, W)`` with codes ``(B, D)``."""
        joined = torch.cat([self.image(tiles), codes], dim=1)
        return torch.as_tensor(self.joint(joined)[:, 0].float())


class BiganObjective(Objective):
    """An encoder and a generator that a discriminator cannot tell apart.

    The encoder E turns real tiles x into codes, the generator G turns codes z drawn from a standard normal
    distribution into tiles. The discriminator D learns to tell the pairs (x, E(x)) from (G(z), z); E and G
    learn to be mistaken for each other, which makes each the inverse of the other. Both sides train in one
    backward pass: D's part of the loss sees tiles and codes cut off from E and G, their part sees D with its
    weights cut off. E and G use the labels swapped rather than the loss negated (Goodfellow et al. 2014),
    which keeps their gradient alive while D wins.

    There is no number that says which moment of training is best, so the last weights are kept. Adam's
    momentum has to be low (0.5, Radford et al. 2016): with the usual 0.9 the discriminator wins for good.

    Tiles and pairs of both kinds go through the discriminator in one batch. With a batch for each kind, batch
    normalisation would take away just what tells them apart, and E learns nothing.

    Args:
        encoder: The trunk.
        code_size: D.
        tile_px: Side of the tiles shown.

    Raises:
        EncoderError: The generator cannot draw tiles of this side.

    Example:
        >>> from histonic.encoders.networks.nic import NicNetwork
        >>> objective = BiganObjective(NicNetwork(16, tile_px=64), 16)
        >>> outputs = objective(torch.zeros(2, 3, 64, 64))
        >>> sorted(outputs)
        ['fake', 'fake_to_fool', 'real', 'real_to_fool']
    """

    keeps = "last"
    adam_momentum = 0.5

    def __init__(self, encoder: nn.Module, code_size: int, *, tile_px: int = 64) -> None:
        super().__init__(encoder)
        self.code_size = code_size
        filters = (GENERATOR_FILTERS,) * doublings(tile_px)
        self.generator = TileDecoder(code_size, GENERATOR_START, filters)
        self.discriminator = Discriminator(encoder, code_size)

    def forward(self, *tiles: Tensor) -> Outputs:
        """Logits ``real``, ``fake`` for D's part, ``real_to_fool``, ``fake_to_fool`` for that of E and G.

        In evaluation also ``error``, the squared error of G(E(x)). All float32 ``(B,)``.
        """
        codes = self.encoder(tiles[0]).float()
        latents = self._latents(codes)
        pairs = torch.cat([tiles[0], self.generator(latents)]), torch.cat([codes, latents])
        real, fake = self.discriminator(pairs[0].detach(), pairs[1].detach()).chunk(2)
        real_to_fool, fake_to_fool = self._cut_off_discriminator(*pairs).chunk(2)
        outputs = {"real": real, "fake": fake, "real_to_fool": real_to_fool, "fake_to_fool": fake_to_fool}
        if not self.training:
            outputs["error"] = (self.generator(codes) - tiles[0]).square().mean((1, 2, 3))
        return outputs

    def _latents(self, codes: Tensor) -> Tensor:
        return torch.randn_like(codes)

    def _cut_off_discriminator(self, tiles: Tensor, codes: Tensor) -> Tensor:
        """Logits that carry gradients to tiles and codes, none to the discriminator."""
        state = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        # Clones, so that this second look at the batch leaves the running statistics alone.
        state |= {name: value.clone() for name, value in self.discriminator.named_buffers()}
        return torch.as_tensor(functional_call(self.discriminator, state, (tiles, codes)))

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Binary cross-entropy of D with the true labels plus that of E and G with the swapped ones."""
        # softplus(-l) is the cross-entropy of logit l for label 1, softplus(l) for label 0.
        telling = softplus(-outputs["real"]).mean() + softplus(outputs["fake"]).mean()
        fooling = softplus(outputs["real_to_fool"]).mean() + softplus(-outputs["fake_to_fool"]).mean()
        return (telling + fooling) / 2

    @torch.no_grad()
    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        """Squared error of G(E(x)); scores ``reconstruction`` (the same) and ``told_apart``, D's accuracy.

        Neither decides anything: ``keeps`` is ``last``.
        """
        error = float(outputs["error"].mean())
        told = torch.cat([outputs["real"] > 0, outputs["fake"] <= 0]).float().mean()
        return ValidationResult(error, {"reconstruction": error, "told_apart": float(told)})

    @torch.no_grad()
    def picture(self, *tiles: Tensor) -> Tensor:
        """Rows: the tiles, G(E(x)) that the generator draws from their codes, and G(z) from chance codes."""
        codes = self.encoder(tiles[0]).float()
        return torch.stack([tiles[0].float(), self.generator(codes), self.generator(self._latents(codes))])
