"""Tiles in other colours: torchstain's own result, golden values without it, and what must not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.core.settings import HE_FACTS, StainFacts, StainMethod, StainNormalisation
from histonic.nn.normalisation.estimate import estimate_stains
from histonic.nn.normalisation.normaliser import PIXELS_AT_ONCE, Normaliser

METHODS: tuple[StainMethod, ...] = ("macenko", "reinhard")
OTHER = StainFacts(
    stains=((0.60, 0.74, 0.30), (0.18, 0.79, 0.59)), amounts=(1.2, 1.5), mean=(170, 150, 118), std=(30, 8, 9)
)


def picture(seed: int, red: float) -> np.ndarray:
    """Two stains in random amounts."""
    rng = np.random.default_rng(seed)
    amounts = rng.exponential((0.6, 0.5), (97, 61, 2))
    light = 235 * np.exp(-amounts @ np.array([[0.6 * red, 0.7, 0.3], [0.2, 0.9, 0.35]]))
    return np.clip(light + rng.normal(0, 2, light.shape), 0, 255).round().astype(np.uint8)


def facts(image: np.ndarray) -> StainFacts:
    return estimate_stains(torch.from_numpy(image.reshape(-1, 3)))


def to(method: StainMethod, target: StainFacts) -> StainNormalisation:
    return StainNormalisation(method=method, reference="test", target=target)


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(image, 2, 0).copy())


@pytest.mark.parametrize("method", METHODS)
def test_torchstain_makes_the_same_of_a_picture(method: StainMethod) -> None:
    pytest.importorskip("torchstain", reason="torchstain is not installed")
    from torchstain.torch.normalizers.macenko import TorchMacenkoNormalizer
    from torchstain.torch.normalizers.reinhard import TorchReinhardNormalizer

    source, target = picture(0, 1.0), picture(1, 0.8)
    if method == "macenko":
        theirs = TorchMacenkoNormalizer()
        theirs.fit(planes(target))
        wanted = theirs.normalize(planes(source), stains=False)[0].numpy()
    else:
        theirs = TorchReinhardNormalizer()
        theirs.fit(planes(target))
        wanted = theirs.normalize(planes(source)).numpy()
    found = Normaliser(facts(source), to(method, facts(target)))(source[None])[0]
    # torchstain cuts off fractions, which are rounded here.
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("method", "colour", "wanted"),
    [
        # Least squares of densities by the slide's stains, times the ratio of amounts, and the target's.
        ("macenko", (120, 70, 150), (80.378, 51.585, 98.067)),
        ("macenko", (90, 60, 100), (64.255, 35.667, 78.321)),
        ("macenko", (239, 239, 239), (240, 240, 240)),
        # L, a, b by the formulas of CIE 15, standardised and brought to the target's.
        ("reinhard", (120, 70, 150), (62.326, 0, 127.060)),
        ("reinhard", (200, 150, 190), (182.690, 121.319, 188.415)),
        ("reinhard", (240, 235, 240), (242.247, 241.053, 255)),
    ],
)
def test_golden_values(
    method: StainMethod, colour: tuple[int, int, int], wanted: tuple[float, float, float]
) -> None:
    found = Normaliser(OTHER, to(method, HE_FACTS))(np.array(colour, np.uint8).reshape(1, 1, 1, 3))
    assert found.reshape(-1).tolist() == pytest.approx(wanted, abs=0.6)


@pytest.mark.parametrize("method", METHODS)
def test_a_pixel_is_changed_alike_wherever_it_lies(method: StainMethod) -> None:
    rng = np.random.default_rng(2)
    many = rng.integers(0, 256, (3, 113, 67, 3)).astype(np.uint8)
    assert many[..., 0].size > PIXELS_AT_ONCE
    change = Normaliser(OTHER, to(method, HE_FACTS))
    whole, before = change(many), many.copy()
    few = change(many[:, ::-1][:, :5, :7])
    assert np.abs(whole[:, ::-1][:, :5, :7].astype(int) - few).max() <= 1
    assert np.array_equal(many, before)
    assert change(many[:0]).shape == (0, 113, 67, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_normalised_picture_has_the_colours_of_the_target(method: StainMethod) -> None:
    source, target = picture(3, 0.8), picture(4, 1.0)
    made = facts(Normaliser(facts(source), to(method, facts(target)))(source[None])[0])
    if method == "macenko":
        assert made.amounts == pytest.approx(facts(target).amounts, rel=0.05)
        assert np.abs(np.subtract(made.stains, facts(target).stains)).max() < 0.05
    else:
        assert made.mean == pytest.approx(facts(target).mean, abs=2)
        assert made.std == pytest.approx(facts(target).std, rel=0.1)
