"""Resampling of whole groups of patients, such as sites: each with all of its patients, or not at all.

Patients of one site share its stain, scanner and way of choosing patients. An interval by patients says how
a metric would vary with other patients of the same sites; one by sites how it would with other sites, too
(Field and Welsh, JRSS B 69:369, 2007). It rests on the number of sites, not of patients;
``benchmarks/interval_coverage.py --sites`` measures how often it holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.metrics.inference.intervals import COUNTS_AT_ONCE, Statistic, draw_counts
from histonic.metrics.ranks import FloatArray


def cluster_bootstrap(
    statistics: Sequence[Statistic],
    cluster: npt.NDArray[Any],
    resamples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Values of all statistics on the same resamples of whole clusters.

    Args:
        statistics: Functions of counts ``(B, n)``.
        cluster: ``(n,)``, the cluster of each patient.
        resamples: How often as many clusters as there are are drawn with replacement.
        rng: The only source of randomness.

    Returns:
        ``(statistics, resamples)``, NaN where a statistic is undefined on a resample.

    Example:
        >>> site, value = np.array([0, 0, 1]), np.array([1.0, 1.0, 4.0])
        >>> mean = lambda counts: counts @ value / counts.sum(axis=1)
        >>> found = cluster_bootstrap([mean], site, 50, np.random.default_rng(0))
        >>> np.unique(found).tolist()  # site 0 twice, both sites, site 1 twice
        [1.0, 2.0, 4.0]
    """
    if not statistics:
        return np.empty((0, resamples))
    names, of = np.unique(cluster, return_inverse=True)
    step = max(1, COUNTS_AT_ONCE // len(of))
    parts = []
    for start in range(0, resamples, step):
        drawn = np.take(draw_counts(len(names), min(step, resamples - start), rng), of, axis=1)
        parts.append(np.stack([statistic(drawn) for statistic in statistics]))
    return np.concatenate(parts, axis=1)


def leave_cluster_out(statistics: Sequence[Statistic], cluster: npt.NDArray[Any]) -> FloatArray:
    """Values of all statistics with each cluster left out.

    Args:
        statistics: Functions of counts ``(B, n)``.
        cluster: ``(n,)``, the cluster of each patient.

    Returns:
        ``(statistics, clusters)``, in the order of their names.

    Example:
        >>> site, value = np.array([0, 0, 1]), np.array([1.0, 1.0, 4.0])
        >>> leave_cluster_out([lambda counts: counts @ value / counts.sum(axis=1)], site).tolist()
        [[4.0, 1.0]]
    """
    names, of = np.unique(cluster, return_inverse=True)
    if not statistics:
        return np.empty((0, len(names)))
    step = max(1, COUNTS_AT_ONCE // len(of))
    parts = []
    for start in range(0, len(names), step):
        counts = (of != np.arange(start, min(start + step, len(names)))[:, None]).astype(np.float64)
        parts.append(np.stack([statistic(counts) for statistic in statistics]))
    return np.concatenate(parts, axis=1)
