"""The bank of nuclei and where they are stamped."""

from __future__ import annotations

import numpy as np

from histonic.simulate.nuclei import (
    DIRECTIONS,
    MARGIN_PX,
    TUMOUR_RADII_PX,
    blank,
    direction_of,
    inner,
    nucleus_bank,
    size_of,
    stamp,
)


def sprites() -> list[np.ndarray]:
    bank = nucleus_bank()
    many = [*bank.tumour.values(), *bank.spindle.values(), bank.lymphocyte, bank.mitosis, bank.red_cell]
    return [sprite for group in many for sprite in group]


def test_every_picture_fits_the_margin_and_fades_at_its_border() -> None:
    for sprite in sprites():
        assert sprite.shape[1] == sprite.shape[2] and sprite.shape[1] // 2 < MARGIN_PX
        assert sprite.min() >= 0 and sprite[1].max() <= 1
        border = np.concatenate([sprite[0, 0], sprite[0, -1], sprite[0, :, 0], sprite[0, :, -1]])
        assert border.max() < 0.3


def test_areas_grow_with_the_size() -> None:
    bank = nucleus_bank()
    areas = [
        np.mean([sprite[1].sum() for k in range(DIRECTIONS) for sprite in bank.tumour[0, size, k]])
        for size in range(len(TUMOUR_RADII_PX))
    ]
    discs = np.pi * np.array(TUMOUR_RADII_PX) ** 2
    np.testing.assert_allclose(areas, discs, rtol=0.15)


def test_spindles_lie_along_their_direction() -> None:
    sprite = np.mean([s[1].sum() * axis_of(s[1]) for s in nucleus_bank().spindle[DIRECTIONS // 4]], axis=0)
    # A quarter of the half turn: from x towards y (down) by 45 degrees.
    assert abs(np.degrees(np.arctan2(sprite[1], sprite[0])) - 45) < 10


def axis_of(cover: np.ndarray) -> np.ndarray:
    y, x = np.indices(cover.shape) - (len(cover) - 1) / 2
    _, vectors = np.linalg.eigh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=cover.ravel()))
    return vectors[:, -1] * np.sign(vectors[0, -1])


def test_nearest_direction_and_size() -> None:
    assert direction_of(np.array([0.0, np.pi / 2, np.pi, -np.pi / 2])).tolist() == [0, 6, 0, 6]
    assert size_of(np.array([1.0, 6.4, 99.0])).tolist() == [0, 1, len(TUMOUR_RADII_PX) - 1]


def test_a_nucleus_lies_where_it_is_stamped_and_the_darker_one_wins() -> None:
    canvas = blank(64)
    dot = np.zeros((2, 3, 3), np.float32)
    dot[:, 1, 1] = 0.5
    stamp(canvas, dot, 10, 20, 1.0)
    stamp(canvas, dot, 10, 20, 0.5)
    stamp(canvas, dot, 0, 63, 1.0)
    assert inner(canvas).shape == (3, 64, 64)
    assert np.argwhere(inner(canvas)[0]).tolist() == [[20, 10], [63, 0]]
    assert inner(canvas)[0, 20, 10] == 0.5
