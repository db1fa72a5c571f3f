"""Shares of variance against an analysis of variance of statsmodels, and by what they must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from histonic.core.errors import CohortError
from histonic.metrics.discrimination.variance import variance_shares


def made(
    rng: np.random.Generator, classes: float, sources: float, tiles: int = 6
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Codes of 40 patients of two classes, with so much spread between classes and patients."""
    names = np.repeat(np.arange(40), tiles)
    labels = (names % 2).astype(float)
    means = rng.normal(size=(40, 5)) * sources
    codes = rng.normal(size=(len(names), 5)) + means[names] + classes * labels[:, None]
    return codes, labels, [f"p{name}" for name in names]


@pytest.mark.parametrize(("classes", "sources"), [(0.0, 0.0), (1.0, 0.5), (2.0, 2.0)])
def test_shares_are_those_of_adjusted_r_squared(classes: float, sources: float) -> None:
    codes, labels, names = made(np.random.default_rng(3), classes, sources)
    expected = []
    for column in codes.T:
        frame = pd.DataFrame({"y": (column - column.mean()) / column.std(), "c": labels, "s": names})
        by_class = smf.ols("y ~ C(c)", frame).fit()
        by_source = smf.ols("y ~ C(s)", frame).fit()
        expected.append((by_class.rsquared_adj, by_source.rsquared_adj))
    first, both = np.mean(expected, axis=0)
    found = variance_shares(codes, labels, names)
    assert found.classes == pytest.approx(max(first, 0), abs=1e-9)
    assert found.sources == pytest.approx(max(both - first, 0), abs=1e-9)
    assert (found.tiles, found.groups) == (240, 40)


def test_what_means_nothing_has_no_share_on_average() -> None:
    draws = [
        variance_shares(*made(np.random.default_rng(seed), 0.0, 0.0, tiles=3)).sources or 0.0
        for seed in range(20)
    ]
    # Unadjusted, 40 sources of 120 tiles would seem to explain a third.
    assert np.mean(draws) < 0.03


def test_a_scale_of_one_number_and_the_order_of_tiles_change_nothing() -> None:
    rng = np.random.default_rng(4)
    codes, labels, names = made(rng, 1.0, 1.0)
    order = rng.permutation(len(codes))
    found = variance_shares(codes, labels, names)
    other = variance_shares((codes * [1, 9, 1e3, 1, 1] + 5)[order], labels[order], [names[i] for i in order])
    assert other.classes == pytest.approx(found.classes) and other.sources == pytest.approx(found.sources)


def test_what_cannot_be_told_is_none() -> None:
    rng = np.random.default_rng(5)
    codes = rng.normal(size=(8, 3))
    assert variance_shares(codes, [0, 1] * 4, [""] * 8).sources is None
    assert variance_shares(codes, [0] * 8, list("aabbccdd")).classes is None
    assert variance_shares(codes, [0, 1] * 4, list("abcdefgh")).sources is None
    assert variance_shares(np.ones((8, 3)), [0, 1] * 4, list("aabbccdd")).classes is None
    nothing = variance_shares(codes, [np.nan] * 8, list("aabbccdd"))
    assert (nothing.classes, nothing.sources, nothing.tiles) == (None, None, 0)


def test_masked_codes_and_classes_are_missing() -> None:
    rng = np.random.default_rng(0)
    codes, classes = rng.normal(size=(40, 3)), np.arange(40) % 2
    kept = np.arange(40) > 4
    wanted = variance_shares(codes[kept], classes[kept], [""] * 35)
    hidden = np.ma.array(classes, mask=~kept)
    assert variance_shares(codes, hidden, [""] * 40) == wanted
    mask = np.zeros(codes.shape, bool)
    mask[:5, 1] = True
    assert variance_shares(np.ma.array(codes, mask=mask), classes, [""] * 40) == wanted


def test_tiles_without_class_or_source_are_left_out() -> None:
    codes, labels, names = made(np.random.default_rng(6), 1.0, 1.0)
    found = variance_shares(codes, labels, names)
    more = np.concatenate([codes, 100 + codes[:2]])
    other = variance_shares(more, np.append(labels, [np.nan, 0.0]), [*names, "p1", ""])
    assert other == found


def test_codes_of_one_number_need_no_second_dimension() -> None:
    codes, labels, names = made(np.random.default_rng(7), 1.0, 1.0)
    assert variance_shares(codes[:, 0], labels, names) == variance_shares(codes[:, :1], labels, names)
    nothing = variance_shares([], [], [])
    assert (nothing.classes, nothing.sources, nothing.tiles, nothing.groups) == (None, None, 0, 0)


@pytest.mark.parametrize(
    ("codes", "count"), [(np.zeros((4, 2)), 3), (np.zeros(4), 5), (np.zeros((4, 2, 2)), 4), (1.0, 1)]
)
def test_codes_and_classes_of_unlike_shapes_are_refused(codes: np.ndarray, count: int) -> None:
    with pytest.raises(CohortError, match=r"Codes of shape \(.*classes of shape"):
        variance_shares(codes, np.zeros(count), ["a"] * count)
