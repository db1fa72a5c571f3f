"""Detection of points, such as mitoses: found and true ones matched within a radius, F1 over all images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import KDTree

FloatArray = npt.NDArray[np.float64]
MIDOG_RADIUS_UM = 7.5
"""Within so many microns a detection hits, by the organisers' evaluation of MIDOG."""


class Hits(NamedTuple):
    """Of one image or of all together: true and false detections, and what was missed."""

    true_positives: int
    false_positives: int
    false_negatives: int


def match_points(truth_um: FloatArray, found_um: FloatArray, radius_um: float) -> Hits:
    """Match detections to true points one to one, as many pairs as possible within the radius.

    Organisers say the radius, not what a second detection of one point is; here it is a false one. The
    largest matching depends on no order of the points.

    Args:
        truth_um: ``(n, 2)`` in microns.
        found_um: ``(m, 2)`` in microns.
        radius_um: Pairs are at most so far apart.

    Example:
        >>> truth = np.array([[0.0, 0.0], [100.0, 0.0]])
        >>> match_points(truth, np.array([[3.0, 4.0], [1.0, 0.0], [50.0, 0.0]]), radius_um=7.5)
        Hits(true_positives=1, false_positives=2, false_negatives=1)
    """
    truth, found = (np.asarray(each, np.float64).reshape(-1, 2) for each in (truth_um, found_um))
    pairs = 0
    if len(truth) and len(found):
        near = KDTree(truth).query_ball_tree(KDTree(found), radius_um)
        # Older versions of SciPy match graphs with indices of 32 bits only.
        rows = np.repeat(np.arange(len(truth), dtype=np.int32), [len(each) for each in near])
        cols = np.concatenate([np.asarray(each, np.int32) for each in near])
        graph = csr_array((np.ones(len(rows), np.int8), (rows, cols)), shape=(len(truth), len(found)))
        pairs = int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
    return Hits(pairs, len(found) - pairs, len(truth) - pairs)


def pooled(hits: Iterable[Hits]) -> Hits:
    """The sums over all images."""
    each = list(hits)
    return Hits(*(sum(numbers) for numbers in zip(*each, strict=True))) if each else Hits(0, 0, 0)


def f1_score(hits: Hits) -> float | None:
    """F1 = 2 TP / (2 TP + FP + FN); None where nothing is true and nothing was found.

    Example:
        >>> f1_score(Hits(3, 1, 2)), f1_score(Hits(0, 0, 0))
        (0.6666666666666666, None)
    """
    total = 2 * hits.true_positives + hits.false_positives + hits.false_negatives
    return 2 * hits.true_positives / total if total else None
