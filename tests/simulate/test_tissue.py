"""The plan of a slide: nests hold the tumour's nuclei, and glass lies around the tissue."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from histonic.simulate import cells
from histonic.simulate.patients import Latents
from histonic.simulate.slides import simulate_slide, simulate_tissue
from histonic.simulate.tissue import draw_layout

SIDE_PX = 900


def test_layout_moves_tumour_nuclei_into_nests_and_leaves_their_number() -> None:
    shares, numbers = [], []
    for layout in (0.0, 1.0):
        found = [counted(Latents(0.5, 0.5, layout), seed) for seed in range(4)]
        nested, lone = np.sum(found, axis=0)
        numbers.append(nested + lone)
        shares.append(nested / numbers[-1])
    assert shares[1] > shares[0] + 0.3
    assert abs(numbers[1] / numbers[0] - 1) < 0.12


def counted(latents: Latents, seed: int) -> tuple[int, int]:
    rng = np.random.default_rng(seed)
    plan = draw_layout(latents, SIDE_PX, rng, glass=False)
    _, nested, lone = cells.place_nuclei(latents, plan, rng)
    return len(nested), len(lone)


@pytest.mark.parametrize("side_px", [257, 600])
def test_slide_has_glass_around_tissue_of_a_third_to_six_tenths(side_px: int) -> None:
    image = simulate_slide(Latents(0.5, 0.5, 0.5), "north", np.random.default_rng(0), side_px)
    assert image.shape == (side_px, side_px, 3) and image.dtype == np.uint8
    assert image[0].min() > 225
    dark = ndimage.binary_closing(image.min(axis=2) < 225, iterations=4)
    assert 0.25 < dark.mean() < 0.65


def test_tissue_fills_the_square() -> None:
    image = simulate_tissue(512, np.random.default_rng(0))
    assert (image.min(axis=2) < 225).mean() > 0.7
    borders = [image[:32], image[-32:], image[:, :32], image[:, -32:]]
    assert all((border.min(axis=2) < 225).mean() > 0.3 for border in borders)
