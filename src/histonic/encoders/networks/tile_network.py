"""Networks as they run on tiles of bytes: scaling inside, weights cast once, norms folded away."""

from __future__ import annotations

import copy
from typing import Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.nn.pixels import unit_pixels


@runtime_checkable
class Runs(Protocol):
    """A network that knows a faster form of itself for when nothing is learned any more."""

    def running(self, half: bool) -> nn.Module:
        """Tiles ``(B, 3, H, H)`` of -1..1 at the working side, float32, to the same codes, float32.

        Args:
            half: Convolutions and products in bfloat16.
        """


class HalfNetwork(nn.Module):
    """A network whose weights were cast to bfloat16 once; tiles and codes are float32 outside.

    Args:
        network: Any network in float32; a copy is taken.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(torch.bfloat16)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)``."""
        return cast(Tensor, self.network(tiles.to(torch.bfloat16))).float()


def running_of(network: nn.Module, half: bool) -> nn.Module:
    """A network as it runs: in its own faster form if it knows one, else as it is or in bfloat16.

    Args:
        network: Tiles ``(B, 3, H, W)`` of -1..1, to codes; left as it is.
        half: Convolutions and products in bfloat16.
    """
    if isinstance(network, Runs):
        return network.running(half)
    return HalfNetwork(network) if half else network


class TileNetwork(nn.Module):
    """Bytes in, codes out: what is run, compiled and measured of an encoder with weights.

    Args:
        network: Tiles ``(B, 3, H, W)`` of -1..1, to codes; left as it is.
        side_px: Side to which tiles are averaged first, in whole numbers.
        half: Convolutions and products in bfloat16.

    Example:
        >>> from histonic.encoders.networks.nic import NicNetwork
        >>> network = TileNetwork(NicNetwork().eval(), 64, half=False)
        >>> network(torch.zeros(2, 128, 128, 3, dtype=torch.uint8)).shape
        torch.Size([2, 128])
    """

    def __init__(self, network: nn.Module, side_px: int, half: bool) -> None:
        super().__init__()
        self.side_px = side_px
        self.network = running_of(network, half)
        self.eval()

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` float32 of tiles uint8 ``(B, H, H, 3)``."""
        return cast(Tensor, self.network(unit_pixels(tiles, self.side_px) * 2 - 1)).float()


class FoldedConvolutions(nn.Module):
    """Convolutions without padding, each followed by leaky ReLU and batch normalisation, and a linear layer.

    A normalisation multiplies and shifts each channel; so does the next layer anyway, whose weights take that
    over. Without padding this is exact on the border as well.

    Args:
        body: ``Conv2d``, ``LeakyReLU``, ``BatchNorm2d``, again and again; other layers before are left out.
        code: Takes the flattened maps, channels last.
        half: Products in bfloat16, sums as the machine makes them.
    """

    def __init__(self, body: nn.Sequential, code: nn.Linear, half: bool) -> None:
        super().__init__()
        kind = torch.bfloat16 if half else torch.float32
        convolutions = [layer for layer in body if isinstance(layer, nn.Conv2d)]
        norms = [layer for layer in body if isinstance(layer, nn.BatchNorm2d)]
        self.slope = next(layer.negative_slope for layer in body if isinstance(layer, nn.LeakyReLU))
        folded = []
        scale, shift = torch.ones(3), torch.zeros(3)
        for convolution, norm in zip(convolutions, norms, strict=True):
            folded.append(_taking_over(convolution, scale, shift))
            scale, shift = _scale_and_shift(norm)
        self.convolutions = nn.ModuleList(folded).to(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = code.weight.detach().double().view(code.out_features, -1, len(scale))
        self.code = nn.Linear(code.in_features, code.out_features)
        with torch.no_grad():
            self.code.weight.copy_((weights * scale).flatten(1))
            self.code.bias.copy_(code.bias + torch.einsum("dpc,c->d", weights, shift))
        self.code.to(kind)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` float32 of tiles ``(B, 3, H, W)``."""
        maps = tiles.to(self.code.weight.dtype)
        for convolution in self.convolutions:
            maps = F.leaky_relu(convolution(maps), self.slope)
        return cast(Tensor, self.code(maps.permute(0, 2, 3, 1).flatten(1))).float()


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch normalisation multiplies channels by and adds, in double precision."""
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("a batch normalisation without running statistics cannot be folded")
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale


@torch.no_grad()
def _taking_over(convolution: nn.Conv2d, scale: Tensor, shift: Tensor) -> nn.Conv2d:
    """A convolution of inputs that were not multiplied by ``scale`` nor shifted yet."""
    if convolution.padding not in ((0, 0), "valid") or convolution.bias is None:
        raise TypeError("only convolutions with a bias and without padding are folded")
    taken = copy.deepcopy(convolution)
    weights = convolution.weight.double()
    scale, shift = scale.to(weights), shift.to(weights)
    taken.weight.copy_(weights * scale[None, :, None, None])
    taken.bias.copy_(convolution.bias + torch.einsum("oikl,i->o", weights, shift))  # type: ignore[union-attr]
    return taken
