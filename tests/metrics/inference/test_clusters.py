"""Whole clusters are resampled, held against the definition and against scipy's BCa of the clusters."""

from __future__ import annotations

import inspect
from collections import Counter
from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from histonic.metrics.discrimination import labels
from histonic.metrics.inference.clusters import cluster_bootstrap, leave_cluster_out
from histonic.metrics.inference.intervals import bca_interval, bootstrap, leave_out
from histonic.metrics.inference.scores import Measure, score_measures
from histonic.metrics.ranks import FloatArray

SEED = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"
"""What SciPy calls its source of chance; before 1.15 by another name."""


def drawn_counts(cluster: np.ndarray, resamples: int) -> FloatArray:
    """The counts that statistics are handed."""
    seen: list[FloatArray] = []

    def watch(counts: FloatArray) -> FloatArray:
        seen.append(counts)
        return counts[:, 0]

    cluster_bootstrap([watch], cluster, resamples, np.random.default_rng(0))
    return np.concatenate(seen)


def test_a_cluster_is_drawn_whole_and_as_often_as_chance_says() -> None:
    cluster = np.array(["b", "a", "b", "c", "c", "c"])
    counts = drawn_counts(cluster, 20_000)
    for name in "abc":
        mine = counts[:, cluster == name]
        assert (mine == mine[:, :1]).all()
    each = counts[:, [1, 0, 3]]
    assert (each.sum(axis=1) == 3).all()
    # By definition: all 27 draws of three clusters out of three are as likely.
    expected = Counter(tuple(np.bincount(draw, minlength=3)) for draw in product(range(3), repeat=3))
    found = Counter(map(tuple, each.astype(int).tolist()))
    assert set(found) == set(expected)
    for key, ways in expected.items():
        assert found[key] / len(counts) == pytest.approx(ways / 27, abs=0.01)


def test_values_are_those_of_the_patients_written_one_after_the_other() -> None:
    rng = np.random.default_rng(1)
    cluster = rng.integers(0, 6, 50)
    positive, score = rng.random(50) < 0.4, rng.normal(size=50).round(1)
    auroc = partial(labels.auroc, positive, score)
    values = cluster_bootstrap([auroc], cluster, 60, np.random.default_rng(0))[0]
    counts = drawn_counts(cluster, 60)
    for row, value in zip(counts, values, strict=True):
        patients = np.repeat(np.arange(50), row.astype(int))
        assert value == pytest.approx(roc_auc_score(positive[patients], score[patients]), abs=1e-12)
    without = leave_cluster_out([auroc], cluster)[0]
    for name, value in zip(np.unique(cluster), without, strict=True):
        kept = cluster != name
        assert value == pytest.approx(roc_auc_score(positive[kept], score[kept]), abs=1e-12)


def test_the_interval_is_the_one_of_scipy_for_a_sample_of_clusters() -> None:
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(20), rng.integers(3, 15, 20))
    value = rng.normal(size=20)[cluster] + rng.normal(size=len(cluster))
    total, size = np.bincount(cluster, value), np.bincount(cluster)

    def mean(counts: FloatArray) -> FloatArray:
        return counts @ value / counts.sum(axis=1)

    mine = bca_interval(
        float(value.mean()),
        cluster_bootstrap([mean], cluster, 20_000, np.random.default_rng(0))[0],
        leave_cluster_out([mean], cluster)[0],
    )
    assert mine is not None
    theirs = stats.bootstrap(
        (total, size),
        lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="BCa",
        **{SEED: np.random.default_rng(0)},
    ).confidence_interval
    assert mine == pytest.approx((theirs.low, theirs.high), abs=0.015)
    by_patients = bootstrap([mean], len(cluster), 2000, np.random.default_rng(0))[0]
    assert mine.high - mine.low > 2 * np.ptp(np.quantile(by_patients, [0.025, 0.975]))


def test_clusters_of_one_patient_are_patients() -> None:
    value = np.random.default_rng(3).normal(size=30)

    def mean(counts: FloatArray) -> FloatArray:
        return counts @ value / counts.sum(axis=1)

    alone = np.arange(30)
    rng = np.random.default_rng
    assert np.array_equal(cluster_bootstrap([mean], alone, 50, rng(0)), bootstrap([mean], 30, 50, rng(0)))
    assert np.array_equal(leave_cluster_out([mean], alone), leave_out([mean], 30))


def test_what_hangs_on_one_cluster_has_no_interval() -> None:
    cluster = np.repeat(np.arange(6), 10)
    positive, score = cluster == 2, np.random.default_rng(0).normal(size=60)
    measure = Measure("AUROC", partial(labels.auroc, positive, score), 0.5, units=10)
    found = score_measures([measure], 60, resamples=100, rng=np.random.default_rng(0), cluster=cluster)[0]
    assert found.value is not None and found.low is None
    assert "undefined without one of the groups" in found.note


def test_all_right_and_ends_of_single_patients_have_none_either() -> None:
    cluster, positive = np.arange(60) % 6, np.arange(60) % 4 == 0
    right = Measure("AUROC", partial(labels.auroc, positive, positive * 1.0), 0.5, units=15)
    given = Measure("error", lambda counts: np.full(len(counts), 0.1), None, ends=lambda: None)
    found = score_measures([right, given], 60, resamples=100, rng=np.random.default_rng(0), cluster=cluster)
    assert [(score.low, score.high) for score in found] == [(None, None)] * 2
    assert "no resample differs" in found[0].note
