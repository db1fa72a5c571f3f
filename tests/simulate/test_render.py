"""The signal lies in the nuclei, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from histonic.simulate import cells
from histonic.simulate.nuclei import nucleus_bank
from histonic.simulate.patients import Latents
from histonic.simulate.render import concentrations
from histonic.simulate.slides import simulate_slide, simulate_tissue
from histonic.simulate.tissue import draw_layout

SIDE_PX = 900


def drawn(latents: Latents, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    bands = list(concentrations(latents, SIDE_PX, np.random.default_rng(seed), glass=True))
    return np.concatenate([h for h, _ in bands]), np.concatenate([e for _, e in bands])


def test_nuclei_get_denser_with_proliferation() -> None:
    shares = []
    for p in (0.0, 0.5, 1.0):
        per_seed = []
        for seed in (1, 2):
            h, e = drawn(Latents(p, 0.5, 0.5), seed)
            per_seed.append((h > 0.5).sum() / (h + e > 0.15).sum())
        shares.append(np.mean(per_seed))
    assert shares[0] * 1.1 < shares[1] < shares[2] / 1.1


def test_mitosis_like_figures_get_more_frequent_with_proliferation(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = nucleus_bank()
    marked = replace(bank, mitosis=(np.full((2, 3, 3), 50, np.float32),))
    monkeypatch.setattr(cells, "nucleus_bank", lambda: marked)
    counts = []
    for p in (0.0, 0.5, 1.0):
        h, _ = drawn(Latents(p, 0.5, 0.5))
        counts.append(ndimage.label(h > 20)[1])
    assert counts[0] < counts[1] < counts[2] > counts[0] + 4


def test_nuclei_get_larger_with_less_differentiation() -> None:
    sizes = []
    for d in (1.0, 0.0):
        h, _ = drawn(Latents(0.2, d, 0.5))
        labels, count = ndimage.label(h > 0.45)
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        sizes.append(np.percentile(areas[areas > 60], 75))
    assert sizes[1] > 1.15 * sizes[0]


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


def test_same_generator_same_pixels() -> None:
    latents = Latents(0.3, 0.6, 0.9)
    first = simulate_slide(latents, "south", np.random.default_rng(7), 300)
    np.testing.assert_array_equal(first, simulate_slide(latents, "south", np.random.default_rng(7), 300))
    assert (first != simulate_slide(latents, "south", np.random.default_rng(8), 300)).any()
