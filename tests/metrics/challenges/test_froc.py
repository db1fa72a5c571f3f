"""The FROC score by hand, and against the organisers' definition written out."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.metrics.challenges.froc import (
    EVALUATION_MPP,
    TARGETS,
    Lesions,
    SlideHits,
    froc,
    hits_of_slide,
    lesions_of_mask,
    major_axis,
)

BOX = Lesions(np.kron(np.array([[1, 0], [0, 2]], np.int32), np.ones((10, 10), np.int32)), (1,))


def test_a_region_scores_its_best_and_cells_are_ignored() -> None:
    xy = np.array([[1, 1], [5, 5], [15, 15], [15, 1], [99, 1], [-1, 0]], float)
    found = hits_of_slide(BOX, np.array([0.2, 0.7, 0.9, 0.4, 0.3, 0.1]), xy, 1.0, 1.0)
    assert found == SlideHits((0.7,), (0.4, 0.3, 0.1), 1)


def test_all_in_a_normal_slide_is_false() -> None:
    found = hits_of_slide(None, np.array([0.2, 0.7]), np.zeros((2, 2)), 0.25, 7.776)
    assert found == SlideHits((), (0.2, 0.7), 0)


def test_places_are_brought_to_the_mask() -> None:
    # 15 px of 0.5 µm are 7.5 µm: the eighth pixel of a mask of 1 µm.
    found = hits_of_slide(BOX, np.array([1.0]), np.array([[15.0, 15.0]]), 0.5, 1.0)
    assert found.best == (1.0,)


def test_the_score_by_hand() -> None:
    slides = [
        SlideHits((0.9, 0.3), (0.8,), 3),
        SlideHits((), (0.7, 0.6, 0.5), 0),
        SlideHits((0.4,), (), 1),
        SlideHits((), (), 0),
    ]
    # Of 4 slides: at 0.9: (0, 1/4); 0.8: (1/4, 1/4); 0.7: (2/4, 1/4); 0.6: (3/4, ..); 0.5: (1, 1/4);
    # 0.4: (1, 2/4); 0.3: (1, 3/4). First points with >= 1/4, 1/2, 1; the last one for 2, 4, 8.
    curve = froc(slides)
    assert curve.at_targets == (0.25, 0.25, 0.25, 0.75, 0.75, 0.75)
    assert curve.score == pytest.approx(0.5)


def test_against_the_definition_in_loops() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        slides = []
        for _ in range(6):
            regions = int(rng.integers(0, 4))
            hit = tuple(rng.uniform(0.01, 1, int(rng.integers(0, regions + 1))).round(2))
            slides.append(
                SlideHits(hit, tuple(rng.uniform(0.01, 1, int(rng.integers(0, 12))).round(2)), regions)
            )
        total = sum(each.regions for each in slides)
        values = sorted({v for each in slides for v in (*each.best, *each.false)}, reverse=True)
        points = [
            (
                sum(v >= t for each in slides for v in each.false) / 6,
                sum(v >= t for each in slides for v in each.best) / max(total, 1),
            )
            for t in values
        ]
        if not total or not points:
            continue
        read = [next((s for f, s in points if f >= target), points[-1][1]) for target in TARGETS]
        assert froc(slides).score == pytest.approx(np.mean(read))


def test_without_regions_there_is_no_score() -> None:
    assert froc([SlideHits((), (0.5,), 0)]).score is None and froc([]).score is None
    assert froc([SlideHits((), (), 2)]).score == 0.0


def test_near_metastases_are_one_and_holes_are_filled() -> None:
    mask = np.zeros((100, 100), bool)
    mask[20:60, 20:30] = mask[20:60, 34:44] = True  # 4 px of 7.776 µm: 31 µm apart
    assert lesions_of_mask(mask).labels.max() == 1
    apart = np.zeros((100, 100), bool)
    apart[20:60, 10:20] = apart[20:60, 34:44] = True  # 109 µm apart
    assert lesions_of_mask(apart).labels.max() == 2
    ring = np.zeros((100, 100), bool)
    ring[20:80, 20:80] = True
    ring[40:60, 40:60] = False
    assert lesions_of_mask(ring).labels[50, 50] == 1


def test_small_regions_do_not_count() -> None:
    mask = np.zeros((200, 200), bool)
    mask[20:22, 20:22] = True
    mask[100:160, 100:104] = True
    found = lesions_of_mask(mask)
    assert found.labels.max() == 2 and found.counted == (2,)
    assert lesions_of_mask(np.zeros((5, 5), bool)).counted == ()


def test_the_axis_of_a_bar() -> None:
    # Uniform places 0 .. n-1 have the variance (n² - 1) / 12.
    assert major_axis(np.ones((1, 60), bool)) == pytest.approx(4 * np.sqrt((60**2 - 1) / 12))
    assert pytest.approx(7.776) == EVALUATION_MPP
