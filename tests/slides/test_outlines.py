"""Outlines enclose their cells and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path

from histonic.slides.outlines import rings


@given(arrays(bool, (6, 7)))
def test_rings_enclose_their_cells_and_nothing_else(cells: np.ndarray) -> None:
    y, x = np.mgrid[0:6, 0:7] + 0.5
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    covered = np.zeros(cells.size, int)
    for shape in rings(cells):
        for ring in shape:
            assert ring[0] == ring[-1] and len(set(ring)) == len(ring) - 1
        inside = [Path(np.array(ring, float)).contains_points(points) for ring in shape]
        covered += inside[0].astype(int) - np.sum(inside[1:], axis=0, dtype=int)
    assert np.array_equal(covered.reshape(cells.shape), cells.astype(int))
