"""Tiles turned, mirrored, scaled and bent by one resampling, and blurred."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from histonic.nn.augmentation.draws import Draws

Range = tuple[float, float]
REFERENCE_PX = 128
"""Side of the tiles for which lengths in pixels are stated; they grow and shrink with the tile."""
LEAST_SIGMA_PX = 1e-3
LEAST_EXPONENT = -30.0
"""Weights are no smaller than 1e-13: arithmetic with numbers close to underflow is slow."""


def move(tiles: Tensor, orient: bool, scale: float, alpha: Range, sigma_px: Range, draw: Draws) -> Tensor:
    """Orientation, scale and elastic displacement in one resampling, so that tiles are averaged only once.

    Beyond the border the tile goes on as its mirror image: no corner is empty.

    Args:
        tiles: ``(B, 3, H, H)``.
        orient: Draw one of the 8 orientations.
        scale: Enlarge by 1 - scale .. 1 + scale about the centre.
        alpha: Least and most strength of the elastic displacement, see :func:`elastic_factors`; 0 for none.
        sigma_px: Least and most smoothing of it, in pixels of a 128 px tile.
        draw: Chance.

    Returns:
        ``(B, 3, H, H)``, new.
    """
    turned = _orientations(orient, draw).div_(draw.around(1, scale)[:, :, 0])
    centres = _centres(tiles.shape[-1], draw)
    weights, nodes = _straight(turned, centres)
    if alpha[1]:
        smooth, values = elastic_factors(centres * (REFERENCE_PX / 2), alpha, sigma_px, draw)
        weights = torch.cat([weights, smooth], dim=2)
        bent = F.pad(values.mul_(2 / REFERENCE_PX), (0, 0, 2, 0, 2, 0))
        bent[:, :2, :2] = nodes
        nodes = bent
    # Whole pixels meet whole pixels where only the orientation changes: nothing to average.
    mode = "bilinear" if scale or alpha[1] else "nearest"
    where = displacement(weights, nodes)
    return F.grid_sample(tiles, where, mode=mode, padding_mode="reflection", align_corners=False)


def _centres(side_px: int, draw: Draws) -> Tensor:
    """Pixel centres ``(H,)`` in the frame of ``grid_sample``, where a tile reaches from -1 to 1."""
    return torch.arange(side_px, dtype=draw.dtype, device=draw.device).mul_(2).add_(1 - side_px).div_(side_px)


def _orientations(orient: bool, draw: Draws) -> Tensor:
    """``(B, 2, 2)`` matrices from the place in the new tile to that in the old one, both x, y."""
    quarters = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
    mirrored = tuple((-a, b, -c, d) for a, b, c, d in quarters)
    table = torch.tensor(quarters + mirrored, dtype=draw.dtype, device=draw.device).reshape(8, 2, 2)
    return table[draw.choice(8 if orient else 1)[:, 0, 0, 0]]


def _straight(turned: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Where pixels come from without bending, as factors like :func:`elastic_factors`.

    A place is linear along x and y: its two "nodes" are weighted with 1 and with the pixel's own place.
    """
    weights = torch.stack([torch.ones_like(centres), centres], dim=1)
    nodes = torch.zeros(len(turned), 2, 2, 2, dtype=turned.dtype, device=turned.device)
    nodes[:, 0, 1] = turned[:, :, 0]
    nodes[:, 1, 0] = turned[:, :, 1]
    return weights.expand(len(turned), -1, -1), nodes


def elastic_factors(centres_px: Tensor, alpha: Range, sigma_px: Range, draw: Draws) -> tuple[Tensor, Tensor]:
    r"""What the elastic displacement of Simard et al. (ICDAR 2003) is made of, for :func:`displacement`.

    They smooth independent values of U(-1, 1), one a pixel, with a Gaussian of :math:`\sigma` pixels and
    multiply by :math:`\alpha`. White noise of variance 1/3 smoothed so has the standard deviation
    :math:`1 / (\sqrt 3 \cdot 2 \sqrt\pi \sigma)` and, over a distance d, the correlation
    :math:`\exp(-d^2 / 4\sigma^2)`; the displacement has :math:`\alpha` times that: 1.63 px for alpha 100 and
    sigma 10. A field this smooth needs no value a pixel. The same Gaussians upon normal values at nodes one
    sigma apart have the same correlation and, since
    :math:`\sum_j e^{-(x - jg)^2 / \sigma^2} = \sqrt\pi \sigma / g \, (1 + 2 e^{-\pi^2 \sigma^2 / g^2} \cos
    \dots)` (Poisson's sum formula), a variance even to 1 part in 5000. As the Gaussian is a product of one
    along x and one along y, that is two small matrix products a tile.

    Args:
        centres_px: Pixel centres ``(H,)`` from the tile's middle, in pixels of a 128 px tile.
        alpha: Least and most strength; every tile draws its own.
        sigma_px: Least and most smoothing.
        draw: Chance.

    Returns:
        Weights of the nodes for every row or column ``(B, H, nodes)``, and the nodes' values
        ``(B, nodes, nodes, 2)``.
    """
    step, reach = sigma_px[0], REFERENCE_PX / 2 + 3 * sigma_px[1]
    count = math.ceil(2 * reach / step) + 1
    nodes = (torch.arange(count, dtype=draw.dtype, device=draw.device) - (count - 1) / 2) * step
    sigma = draw.between(*sigma_px)[:, 0]
    exponent = ((centres_px[:, None] - nodes) / sigma).square_().mul_(-0.5)
    weights = exponent.clamp_(min=LEAST_EXPONENT).exp_()
    weights /= (sigma * (math.sqrt(math.pi) / step)).sqrt_()
    deviation = draw.between(*alpha)[:, 0] / sigma / (2 * math.sqrt(3 * math.pi))
    return weights, draw.normal(count, count, 2).mul_(deviation[..., None])


def displacement(weights: Tensor, nodes: Tensor) -> Tensor:
    """The factors of :func:`elastic_factors` multiplied: ``(B, H, H, 2)`` pixels, x before y."""
    return torch.einsum("bhn,bnmc,bwm->bhwc", weights, nodes, weights)


def blur(tiles: Tensor, most_px: float, draw: Draws) -> Tensor:
    """Gaussian blur, the same along rows and columns, with the tile's mirror image beyond the border.

    Args:
        tiles: ``(B, 3, H, H)``.
        most_px: Highest standard deviation, in pixels of these tiles; every tile draws its own of 0..most.
        draw: Chance.

    Returns:
        ``(B, 3, H, H)``, new.
    """
    side_px = tiles.shape[-1]
    reach = min(max(1, math.ceil(3 * most_px)), side_px - 1)
    steps = torch.arange(reach + 1, dtype=draw.dtype, device=draw.device)[:, None, None, None, None]
    weights = (steps / draw.between(0, most_px).clamp_min(LEAST_SIGMA_PX)).square_().mul_(-0.5).exp_()
    weights /= 2 * weights.sum(dim=0) - weights[0]
    both = torch.empty_like(tiles)  # used again and again: new memory takes longer than the sum
    for axis, edges in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = F.pad(tiles, edges, mode="reflect")
        tiles = padded.narrow(axis, reach, side_px) * weights[0]
        for step in range(1, reach + 1):
            before, after = (padded.narrow(axis, reach + way * step, side_px) for way in (-1, 1))
            tiles.addcmul_(torch.add(before, after, out=both), weights[step])
    return tiles
