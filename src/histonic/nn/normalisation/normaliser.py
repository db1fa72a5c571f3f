"""Tiles of one slide brought to the colours of a reference, by parameters of the whole slide."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from histonic.core.settings import StainFacts, StainNormalisation
from histonic.nn.normalisation.estimate import WHITE_LIGHT
from histonic.nn.normalisation.lab import (
    CUBE_FROM,
    OFFSET,
    SLOPE,
    light_of_bytes,
    rgb_to_white,
    roots_to_lab,
)
from histonic.nn.pixels import tensor_of

PIXELS_AT_ONCE = 1 << 14
"""Worked on in one go: numbers of so many lie in a core's cache."""
SIDE_BY_SIDE = 16
"""Pixels that one matrix changes at once: a product of 48 numbers is many times as fast as 16 of 3."""
LIGHT_STEPS = 1 << 14
"""Steps of linear light in the table of bytes, finer than a byte everywhere."""
Tiles = npt.NDArray[np.uint8]


class Normaliser:
    """Brings tiles of one slide to a target; several threads may call it at once.

    Args:
        slide: Of the whole slide.
        wanted: Method and target.

    Example:
        >>> from histonic.core.settings import HE_FACTS
        >>> wanted = StainNormalisation(method="reinhard", reference="same", target=HE_FACTS)
        >>> tiles = np.random.default_rng(0).integers(60, 220, (2, 8, 8, 3)).astype(np.uint8)
        >>> bool((abs(Normaliser(HE_FACTS, wanted)(tiles).astype(int) - tiles) <= 1).all())
        True
    """

    def __init__(self, slide: StainFacts, wanted: StainNormalisation) -> None:
        made = _Macenko if wanted.method == "macenko" else _Reinhard
        self._change = made(slide, wanted.target)

    def __call__(self, tiles: Tiles) -> Tiles:
        """Tiles uint8 ``(N, H, W, 3)`` in the target's colours, alike; those given are left as they are."""
        pixels = tensor_of(tiles).view(-1)
        made = torch.empty_like(pixels)
        step = 3 * PIXELS_AT_ONCE
        with torch.inference_mode():
            for start in range(0, len(pixels), step):
                part, place = pixels[start : start + step], made[start : start + step]
                rows = F.pad(part, (0, -len(part) % (3 * SIDE_BY_SIDE))).view(-1, 3 * SIDE_BY_SIDE)
                place.copy_(self._change(rows).view(-1)[: len(part)])
        found: Tiles = made.numpy().reshape(tiles.shape)
        return found


class _Affine:
    """A matrix and a shift for pixels that lie side by side, ``(P, 48)`` to ``(P, 48)``."""

    def __init__(self, matrix: Tensor, shift: Tensor | None = None) -> None:
        self._matrix = torch.kron(torch.eye(SIDE_BY_SIDE, dtype=matrix.dtype), matrix.mT.contiguous()).float()
        self._shift = torch.zeros(3 * SIDE_BY_SIDE) if shift is None else shift.repeat(SIDE_BY_SIDE).float()

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.addmm(self._shift, pixels, self._matrix)


class _Macenko:
    """Densities times one matrix: into amounts of the slide's stains, to those of the target, and back."""

    def __init__(self, slide: StainFacts, target: StainFacts) -> None:
        own, aim = (torch.tensor(each.stains, dtype=torch.float64) for each in (slide, target))
        had, have = (torch.tensor(each.amounts, dtype=torch.float64) for each in (slide, target))
        matrix = (torch.linalg.pinv(own) @ torch.diag(have / had) @ aim).mT
        # In logarithms of base 2, the quickest: log(light') = M log(light / white) + log(white).
        white = torch.full((3,), WHITE_LIGHT, dtype=torch.float64).log2()
        self._change = _Affine(matrix, white - matrix @ white)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Bytes of a target's stains; the half makes rounding of what cuts off."""
        light = self._change(pixels.float().add_(1).log2_())
        return light.exp2_().add_(0.5).clamp_(max=255).to(torch.uint8)


class _Reinhard:
    """L, a, b with another mean and deviation, which is one matrix between CIE's roots of X, Y, Z."""

    def __init__(self, slide: StainFacts, target: StainFacts) -> None:
        mean, std, aim, width = (
            torch.tensor(each, dtype=torch.float64)
            for each in (slide.mean, slide.std, target.mean, target.std)
        )
        to_lab, added = roots_to_lab()
        back, scale = torch.linalg.inv(to_lab), width / std
        self._change = _Affine(
            back @ torch.diag(scale) @ to_lab, back @ (scale * (added - mean) + aim - added)
        )
        self._to_white = _Affine(rgb_to_white())
        self._from_white = _Affine(torch.linalg.inv(rgb_to_white()))
        self._light = light_of_bytes().float()
        steps = torch.arange(LIGHT_STEPS + 1, dtype=torch.float64) / LIGHT_STEPS
        share = torch.where(steps > 0.0031308, 1.055 * steps ** (1 / 2.4) - 0.055, steps * 12.92)
        self._bytes = (share * 255).round().to(torch.uint8)

    def __call__(self, pixels: Tensor) -> Tensor:
        light = self._light.index_select(0, pixels.view(-1).int()).view_as(pixels)
        xyz = self._to_white(light)
        line = xyz * SLOPE + OFFSET
        cubic = xyz > CUBE_FROM
        roots = torch.where(cubic, xyz.clamp_min_(CUBE_FROM).log2_().div_(3).exp2_(), line)
        roots = self._change(roots)
        xyz = torch.where(roots > CUBE_FROM ** (1 / 3), roots**3, (roots - OFFSET) / SLOPE)
        places = self._from_white(xyz).clamp_(0, 1).mul_(LIGHT_STEPS).round_()
        return self._bytes.index_select(0, places.view(-1).int()).view_as(pixels)
