"""A network of tiles run on all tiles of a slide, forward and backward some at a time.

The codes of the tiles are the boundary: they are kept, the network is computed again for its gradient. Tiles
do not overlap in what the network looks at, so that nothing is computed twice within a pass.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from histonic.core.errors import NetworkError
from histonic.nn.pixels import unit_pixels


def stream_tiles(network: nn.Module, tiles: Tensor, at_once: int = 32) -> Tensor:
    """Codes of any number of tiles, in the memory of a few of them, with gradients of the weights.

    Args:
        network: Tiles ``(B, 3, H, H)`` of -1..1 to codes ``(B, D)``, each tile by itself.
        tiles: uint8 ``(N, H, H, 3)``, on any device.
        at_once: Tiles at a time.

    Returns:
        ``(N, D)`` on the device of the weights.

    Raises:
        NetworkError: A layer looks at other tiles, or draws at random; it is named.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten())
        >>> codes = stream_tiles(network, torch.zeros(70, 8, 8, 3, dtype=torch.uint8))
        >>> codes.shape, codes.requires_grad
        (torch.Size([70, 4]), True)
    """
    _require_alone(network)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    found: Tensor = _Tiles.apply(network, tiles, at_once, *weights)  # type: ignore[no-untyped-call]
    return found


def _require_alone(network: nn.Module) -> None:
    for name, layer in network.named_modules():
        if layer.training and (
            isinstance(layer, _BatchNorm) or (isinstance(layer, _DropoutNd) and layer.p > 0)
        ):
            raise NetworkError(
                f"Stream tiles through the layer {name!r}.",
                f"{type(layer).__name__} in training depends on the other tiles or on chance.",
                "Call .eval() on the network: its weights are learned all the same.",
            )


def _codes(network: nn.Module, tiles: Tensor) -> Tensor:
    weight = next(iter(network.parameters()), None)
    if weight is not None:
        tiles = tiles.to(weight.device)
    pixels = unit_pixels(tiles, tiles.shape[1]) * 2 - 1
    return cast(Tensor, network(pixels if weight is None else pixels.to(weight.dtype)))


class _Tiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, network: nn.Module, tiles: Tensor, at_once: int, *weights: Tensor) -> Tensor:
        ctx.network, ctx.at_once = network, at_once
        ctx.save_for_backward(tiles, *weights)
        return torch.cat([_codes(network, part) for part in torch.split(tiles, at_once)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        tiles, *weights = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        total: list[Tensor | None] = [None] * len(weights)
        parts = zip(torch.split(tiles, ctx.at_once), torch.split(gradient, ctx.at_once), strict=True)
        for part, given in parts:
            with torch.enable_grad():
                codes = _codes(ctx.network, part)
            found = torch.autograd.grad(codes, weights, given, allow_unused=True)
            for place, each in enumerate(found):
                own = total[place]
                if each is not None:
                    total[place] = each.clone() if own is None else own.add_(each)
        return None, None, None, *total
