"""Matching of points against all assignments by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from histonic.metrics.challenges.points import Hits, f1_score, match_points, pooled


def most_pairs(truth: np.ndarray, found: np.ndarray, radius: float) -> int:
    near = np.linalg.norm(truth[:, None] - found[None], axis=2) <= radius
    small, large = (near, near.T) if len(truth) <= len(found) else (near.T, near)
    del large
    columns = itertools.permutations(range(small.shape[1]), small.shape[0])
    return max((sum(small[k, c] for k, c in enumerate(each)) for each in columns), default=0)


def test_the_largest_matching_is_found() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        truth, found = (rng.uniform(0, 20, (int(n), 2)) for n in rng.integers(0, 6, 2))
        pairs = most_pairs(truth, found, 6.0)
        wanted = Hits(pairs, len(found) - pairs, len(truth) - pairs)
        assert match_points(truth, found, 6.0) == wanted


def test_a_second_detection_of_one_point_is_false() -> None:
    truth = np.array([[0.0, 0.0]])
    assert match_points(truth, np.array([[1.0, 0.0], [0.0, 1.0]]), 7.5) == Hits(1, 1, 0)


def test_the_radius_is_inside() -> None:
    assert match_points(np.zeros((1, 2)), np.array([[7.5, 0.0]]), 7.5).true_positives == 1
    assert match_points(np.zeros((1, 2)), np.array([[7.6, 0.0]]), 7.5).true_positives == 0


def test_f1_is_of_the_sums() -> None:
    total = pooled([Hits(2, 0, 0), Hits(0, 3, 1)])
    assert total == Hits(2, 3, 1) and f1_score(total) == pytest.approx(4 / 8)
    assert pooled([]) == Hits(0, 0, 0) and f1_score(pooled([])) is None
