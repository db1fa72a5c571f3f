"""Stains of a slide: golden values of Macenko's steps, and what cannot be normalised is refused by name."""

from __future__ import annotations

import math

import pytest
import torch

from histonic.core.settings import HE_FACTS, HE_REFERENCE, StainFacts, StainNormalisation
from histonic.nn.normalisation.estimate import (
    WHITE_LIGHT,
    NoStains,
    estimate_stains,
    require_like,
    tissue_pixels,
)

TO_HE = StainNormalisation(method="macenko", reference=HE_REFERENCE, target=HE_FACTS)
BROWN = (0.27, 0.57, 0.78)


def stained(
    amounts: tuple[float, float], stains: tuple[tuple[float, ...], ...] = HE_FACTS.stains, noise: float = 1.5
) -> torch.Tensor:
    """Pixels of known stains: an exponential amount of each, and the noise of a camera."""
    chance = torch.Generator().manual_seed(0)
    drawn = -torch.rand(40_000, 2, generator=chance).clamp_min(1e-6).log() * torch.tensor(amounts) / 2
    vectors = torch.tensor(stains)
    light = WHITE_LIGHT * torch.exp(-drawn @ (vectors / vectors.norm(dim=1, keepdim=True)))
    light += noise * torch.randn(light.shape, generator=chance)
    return light.round().clamp(0, 255).to(torch.uint8)


def found_of(pixels: torch.Tensor) -> StainFacts:
    found = estimate_stains(tissue_pixels(pixels))
    require_like(found, TO_HE)
    return found


def degrees(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    cosine = sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)
    return math.degrees(math.acos(min(1.0, cosine)))


def test_known_stains_are_found() -> None:
    found = found_of(stained((1.0, 0.8)))
    for own, true in zip(found.stains, HE_FACTS.stains, strict=True):
        assert degrees(own, true) < 4
    # The 99th percentile of an exponential amount is 4.6 times its mean.
    assert found.amounts[0] == pytest.approx(4.6 * 0.5, rel=0.15)


def test_twice_the_stain_is_twice_the_amount_of_the_same_stains() -> None:
    weak, strong = found_of(stained((0.5, 0.4))), found_of(stained((1.0, 0.8)))
    for one, other in zip(weak.stains, strong.stains, strict=True):
        assert degrees(one, other) < 5
    assert strong.amounts[0] / weak.amounts[0] == pytest.approx(2, rel=0.15)


def test_glass_among_the_tissue_changes_nothing() -> None:
    pixels = stained((1.0, 0.8))
    glass = torch.full((100_000, 3), 243, dtype=torch.uint8)
    assert found_of(torch.cat([pixels, glass])) == found_of(pixels)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (stained((0.02, 0.05)), "too pale"),
        (stained((0.05, 1.0)), "degrees apart"),
        (stained((1.0, 0.8), (HE_FACTS.stains[0], BROWN)), "brown"),
        (torch.full((9_000, 3), 120, dtype=torch.uint8), "one colour"),
        (torch.zeros(0, 3, dtype=torch.uint8), "too pale"),
    ],
    ids=["pale", "no haematoxylin", "brown", "flat", "nothing"],
)
def test_what_cannot_be_normalised_is_refused(pixels: torch.Tensor, words: str) -> None:
    with pytest.raises(NoStains, match=words):
        found_of(pixels)


def test_brown_stain_is_brought_to_a_reference_of_brown_stain() -> None:
    pixels = stained((1.0, 0.8), (HE_FACTS.stains[0], BROWN))
    target = estimate_stains(tissue_pixels(pixels))
    require_like(target, TO_HE.model_copy(update={"target": target}))


def test_golden_values_of_two_stains_and_both_together() -> None:
    """Bytes whose densities are logarithms of whole ratios, so that all is worked out by hand."""
    # Light over glass: 1/2, 1/4, 1/2; 2/3, 1/3, 1/2; and the products of both.
    colours = [(119, 59, 119), (159, 79, 119), (79, 19, 59)]
    pixels = torch.tensor([colour for colour in colours for _ in range(4_000)], dtype=torch.uint8)
    found = estimate_stains(pixels)
    # ln 2, ln 4, ln 2 over their length of 1.69785; ln 1.5, ln 3, ln 2 over 1.36079.
    assert found.stains[0] == pytest.approx((0.40825, 0.81650, 0.40825), abs=1e-4)
    assert found.stains[1] == pytest.approx((0.29796, 0.80733, 0.50937), abs=1e-4)
    assert found.amounts == pytest.approx((1.69785, 1.36079), abs=1e-4)
