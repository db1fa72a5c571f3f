"""Ties and ranks for many resamples at once.

A resample of patients is a row of counts: how often each patient was drawn. A metric written for
counts gives its value (all counts 1) and its 2000 resampled values by the same lines of code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def as_floats(values: npt.ArrayLike) -> FloatArray:
    """Numbers as floats; those that an array of :mod:`numpy.ma` masks are missing, NaN.

    Example:
        >>> as_floats(np.ma.array([1, 2, 3], mask=[False, True, False])).tolist()
        [1.0, nan, 3.0]
    """
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values, dtype=np.float64)


def as_counts(counts: npt.ArrayLike | None, n: int) -> FloatArray:
    """Counts as floats, or ones for the patients as they are.

    Args:
        counts: ``(n,)`` or ``(B, n)``, how often each patient was drawn; None for once each.
        n: Number of patients.

    Returns:
        ``(n,)`` or ``(B, n)``.
    """
    return np.ones(n) if counts is None else np.asarray(counts, dtype=np.float64)


def ratio(part: Any, whole: Any) -> FloatArray:
    """``part / whole``, NaN where ``whole`` is 0.

    Example:
        >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
        [0.5, nan]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(whole, 0), np.nan, np.divide(part, whole))[()]


def rows_of_groups(within: npt.NDArray[Any] | None, n: int) -> list[IntArray]:
    """Rows of the patients of each group, groups in the order of their names; all in one if None.

    Args:
        within: ``(n,)`` labels.
        n: Number of patients.

    Example:
        >>> [rows.tolist() for rows in rows_of_groups(np.array(["b", "a", "b"]), 3)]
        [[1], [0, 2]]
    """
    if within is None:
        return [np.arange(n)]
    _, of = np.unique(within, return_inverse=True)
    return np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])


class Levels:
    """The distinct values of an array in rising order, and which patients hold each.

    Args:
        values: ``(n,)``, finite.

    Attributes:
        values: ``(L,)`` distinct values, rising.
        of: ``(n,)`` index of each patient's value among them.

    Example:
        >>> levels = Levels(np.array([3.0, 1.0, 3.0]))
        >>> levels.totals(np.array([1.0, 1.0, 1.0])).tolist()
        [1.0, 2.0]
    """

    def __init__(self, values: FloatArray) -> None:
        self.values, self.of = np.unique(values, return_inverse=True)
        self._order = np.argsort(self.of, kind="stable")
        self._starts = np.searchsorted(self.of[self._order], np.arange(len(self.values)))

    def totals(self, counts: FloatArray) -> FloatArray:
        """Sum of ``counts`` ``(..., n)`` over the patients of each value: ``(..., L)``."""
        ordered = counts[..., self._order]
        if len(self.values) == len(self.of):
            return ordered
        return np.add.reduceat(ordered, self._starts, axis=-1)


def centred_ranks(levels: Levels, counts: FloatArray) -> FloatArray:
    """Mid-ranks minus their mean, exact multiples of a half.

    Args:
        levels: Of the values to rank.
        counts: ``(..., n)``.

    Returns:
        ``(..., n)``; ties share the mean of their ranks.

    Example:
        >>> centred_ranks(Levels(np.array([5.0, 2.0, 5.0])), np.ones(3)).tolist()
        [0.5, -1.0, 0.5]
    """
    held = levels.totals(counts)
    rank = np.cumsum(held, axis=-1) - (held - 1) / 2
    rank -= (counts.sum(axis=-1, keepdims=True) + 1) / 2
    return rank[..., levels.of]
