"""The signal lies in the nuclei, and only there."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from histonic.simulate.patients import Latents
from histonic.simulate.render import concentrations
from histonic.simulate.slides import simulate_slide


def test_same_generator_same_pixels() -> None:
    latents = Latents(0.3, 0.6, 0.9)
    first = simulate_slide(latents, "south", np.random.default_rng(7), 300)
    np.testing.assert_array_equal(first, simulate_slide(latents, "south", np.random.default_rng(7), 300))
    assert (first != simulate_slide(latents, "south", np.random.default_rng(8), 300)).any()


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


def test_nuclei_get_larger_with_less_differentiation() -> None:
    sizes = []
    for d in (1.0, 0.0):
        h, _ = drawn(Latents(0.2, d, 0.5))
        labels, count = ndimage.label(h > 0.45)
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        sizes.append(np.percentile(areas[areas > 60], 75))
    assert sizes[1] > 1.15 * sizes[0]
