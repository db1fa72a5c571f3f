"""Mitosis-like figures lie where nuclei do, and more of them as the tumour grows faster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from histonic.simulate import cells
from histonic.simulate.nuclei import nucleus_bank
from histonic.simulate.patients import Latents
from histonic.simulate.render import concentrations

SIDE_PX = 900


def drawn(latents: Latents, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    bands = list(concentrations(latents, SIDE_PX, np.random.default_rng(seed), glass=True))
    return np.concatenate([h for h, _ in bands]), np.concatenate([e for _, e in bands])


def test_mitosis_like_figures_get_more_frequent_with_proliferation(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = nucleus_bank()
    marked = replace(bank, mitosis=(np.full((2, 3, 3), 50, np.float32),))
    monkeypatch.setattr(cells, "nucleus_bank", lambda: marked)
    counts = []
    for p in (0.0, 0.5, 1.0):
        h, _ = drawn(Latents(p, 0.5, 0.5))
        counts.append(ndimage.label(h > 20)[1])
    assert counts[0] < counts[1] < counts[2] > counts[0] + 4
