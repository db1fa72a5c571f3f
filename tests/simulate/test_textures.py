"""Enlarging, endless textures, noise and the mosaic."""

from __future__ import annotations

import numpy as np

from histonic.simulate.textures import (
    grain_texture,
    heighten,
    jittered_points,
    mosaic_edges,
    smooth_noise,
    widen,
    window,
)


def test_enlarging_a_plane_gives_the_plane() -> None:
    y, x = np.mgrid[0:6, 0:6].astype(np.float32)
    large = heighten(widen(2 * x + 3 * y, 4, 20), 4)
    y, x = np.mgrid[0:20, 0:20] / 4
    np.testing.assert_allclose(large, 2 * x + 3 * y, atol=1e-5)


def test_window_of_an_endless_texture_goes_on_at_the_border() -> None:
    texture = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(window(texture, (2, 3), 2, 2), [[11, 8], [3, 0]])


def test_grain_has_no_seam() -> None:
    grain = grain_texture()
    inside = np.abs(np.diff(grain, axis=0)).mean()
    assert abs(np.abs(grain[0] - grain[-1]).mean() - inside) < 0.15 * inside


def test_noise_is_standard_and_smooth_over_its_scale() -> None:
    noise = smooth_noise(np.random.default_rng(0), 1000, 10.0)
    assert abs(noise.std() - 1) < 0.05
    near = np.corrcoef(noise[:, :-2].ravel(), noise[:, 2:].ravel())[0, 1]
    far = np.corrcoef(noise[:, :-60].ravel(), noise[:, 60:].ravel())[0, 1]
    assert near > 0.9 and abs(far) < 0.1


def test_distance_to_the_border_between_two_cells() -> None:
    where = np.array([[True, True, True, False]])
    edges = mosaic_edges(np.array([[0.0, 0.0], [2.0, 0.0]]), where, 9.0)
    np.testing.assert_allclose(edges, [[1.0, 0.0, 1.0, 9.0]])


def test_points_have_the_density_of_their_grid() -> None:
    points = jittered_points(np.random.default_rng(0), 1000, 20.0, 0.1)
    assert abs(len(points) / (1e6 / (400 * np.sqrt(3) / 2)) - 1) < 0.03
    assert points.min() >= 0 and points.max() < 1000
