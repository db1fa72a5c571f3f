"""The stains and colours of a slide, from pixels of its tissue.

Stains are found as Macenko et al. do ("A method for normalizing histology slides for quantitative analysis",
ISBI 2009): all colours of two stains lie in a plane of optical densities, between the stains themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from histonic.core.settings import StainFacts, StainNormalisation
from histonic.nn.normalisation.lab import to_lab

WHITE_LIGHT = 240.0
"""Byte of glass, as Macenko's authors take it."""
LEAST_DENSITY = 0.15
"""Pixels below in any channel are glass or hardly stained, and say nothing of the stains."""
EDGE_PERCENT = 1.0
"""So many of a hundred pixels lie beyond each of the two stains."""
LEAST_PIXELS = 1_000
"""Of stained tissue, from which stains can be told."""
LEAST_STAINED = 0.01
"""Of a hundred pixels of tissue, as a share."""
LEAST_ANGLE = 8.0
"""Degrees between two stains; with one stain alone, noise spreads its colours over less."""
MOST_OFF = 35.0
"""Degrees by which a stain may differ from the target's."""


LESS_RED, MORE_RED = 0.18, 0.30
"""By which redness over darkness may differ from the target's. Of 75 pictures in haematoxylin and eosin it
is 0.13 to 0.42, of pictures of brown or black stains below 0.07, and 0.28 of the built-in reference."""

MOST_BROWN = 0.45
"""By which blue over green of the second stain's density may exceed the target's. Of the same pictures it is
at most 1.03; of diaminobenzidine 1.37, and 0.70 of the built-in reference."""


class NoStains(Exception):
    """The stains cannot be told, or are others than the target's; the message says why."""


def density_of(pixels: Tensor) -> Tensor:
    """Natural optical density, uint8 ``(N, 3)`` to float64 ``(N, 3)``; below 0 where brighter than glass."""
    return -torch.log((pixels.double() + 1) / WHITE_LIGHT)


def tissue_pixels(pixels: Tensor) -> Tensor:
    """Those of pixels ``(N, 3)`` that take light of any colour: no glass among the tissue."""
    return pixels[density_of(pixels).amax(dim=1) >= LEAST_DENSITY]


def estimate_stains(pixels: Tensor) -> StainFacts:
    """Stains, amounts, and mean and deviation of the colours of pixels.

    Args:
        pixels: uint8 ``(N, 3)``, of tissue.

    Raises:
        NoStains: There are too few stained pixels, or all are of one colour.

    Example:
        >>> chance = torch.Generator().manual_seed(0)
        >>> amounts = torch.rand(9_000, 2, generator=chance) * torch.tensor([1.5, 1.0])
        >>> stains = torch.tensor([[0.65, 0.70, 0.29], [0.12, 0.95, 0.28]])
        >>> pixels = (WHITE_LIGHT * torch.exp(-amounts @ stains)).round().to(torch.uint8)
        >>> [[round(value, 1) for value in stain] for stain in estimate_stains(pixels).stains]
        [[0.6, 0.7, 0.3], [0.2, 0.9, 0.3]]
    """
    density = density_of(pixels)
    stained = density[(density >= LEAST_DENSITY).all(dim=1)]
    if len(stained) < LEAST_PIXELS or len(stained) < LEAST_STAINED * len(pixels):
        raise NoStains(
            f"only {len(stained):,} of {len(pixels):,} pixels of its tissue are stained in all colours: too "
            "pale"
        )
    # The plane of the two widest directions.
    _, axes = torch.linalg.eigh(torch.cov(stained.mT))
    plane = axes[:, 1:]
    # Which way an axis points is chance, but angles must not wrap round.
    plane = plane * torch.where(plane.sum(dim=0) < 0, -1.0, 1.0)
    first, second = (stained @ plane).unbind(dim=1)
    angles = torch.atan2(second, first)
    low, high = (_percentile(angles, percent) for percent in (EDGE_PERCENT, 100 - EDGE_PERCENT))
    ends = [plane @ torch.stack([angle.cos(), angle.sin()]) for angle in (low, high)]
    ends = [end if end.sum() >= 0 else -end for end in ends]
    stains = torch.stack(sorted(ends, key=lambda end: -float(end[0])))
    if float((stains[0] @ stains[1]).clamp(-1, 1).arccos().rad2deg()) < 1e-3:
        raise NoStains("all pixels of its tissue have one colour")
    amounts = density @ torch.linalg.pinv(stains)
    highest = [_percentile(each, 99.0) for each in amounts.unbind(dim=1)]
    lab = to_lab(pixels)
    return StainFacts(
        stains=tuple(_rounded(stain) for stain in stains),
        amounts=_rounded(torch.stack(highest)),
        mean=_rounded(lab.mean(dim=0)),
        std=_rounded(lab.std(dim=0)),
    )


def require_like(found: StainFacts, wanted: StainNormalisation) -> None:
    """Refuse stains that cannot be brought to a target's.

    Raises:
        NoStains: They are one stain, or others than the target's, or hardly there.
    """
    names = ("first", "second")
    angle = _angle(*found.stains)
    if angle < LEAST_ANGLE:
        raise NoStains(
            f"its two stains lie {angle:.0f} degrees apart in colour, as those of one stain do (at least "
            f"{LEAST_ANGLE:.0f})"
        )
    off = [_angle(*pair) for pair in zip(found.stains, wanted.target.stains, strict=True)]
    if max(off) > MOST_OFF:
        name = names[off.index(max(off))]
        raise NoStains(
            f"its {name} stain lies {max(off):.0f} degrees in colour from that of {wanted.reference} (at "
            f"most {MOST_OFF:.0f}): another stain, or hardly any of it"
        )
    hue, aim = (_redness(each) for each in (found, wanted.target))
    if not -LESS_RED <= hue - aim <= MORE_RED:
        word, most = ("more", MORE_RED) if hue > aim else ("less", LESS_RED)
        raise NoStains(
            f"its tissue is {word} red than {wanted.reference} by {abs(hue - aim):.2f} of its darkness (at "
            f"most {most}): another stain"
        )
    brown, aim = (each.stains[1][2] / max(1e-6, each.stains[1][1]) for each in (found, wanted.target))
    if brown - aim > MOST_BROWN:
        raise NoStains(
            f"its second stain takes {brown:.2f} times as much blue as green, that of {wanted.reference} "
            f"{aim:.2f} times: another stain, such as brown"
        )
    for name, amount in zip(names, found.amounts, strict=True):
        if amount < LEAST_DENSITY:
            raise NoStains(f"there is hardly any of its {name} stain (density {amount:.2f})")
    if min(found.std) < 1e-3:
        raise NoStains("its tissue has one colour")


def _redness(facts: StainFacts) -> float:
    """How far the mean colour lies towards red (or green, below 0), over how dark it is."""
    return (facts.mean[1] - 128) / max(1.0, 255 - facts.mean[0])


def _angle(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Degrees between two directions."""
    length = math.hypot(*one) * math.hypot(*other)
    cosine = sum(a * b for a, b in zip(one, other, strict=True)) / length
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _percentile(values: Tensor, percent: float) -> Tensor:
    """The value nearest to a percentile; none is interpolated."""
    return values.kthvalue(1 + round(percent / 100 * (len(values) - 1))).values


def _rounded(values: Tensor) -> tuple[float, ...]:
    # Digits that differ between machines would make another map of the same slide.
    return tuple(round(float(value), 6) for value in values)
