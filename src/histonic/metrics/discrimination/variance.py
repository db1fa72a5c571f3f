"""How much of the variance of codes goes with the class of a tile, how much with where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import CohortError
from histonic.metrics.ranks import as_floats

FloatArray = npt.NDArray[np.float64]
LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class VarianceShares:
    """Parts of the variance of codes, each number of the code counting alike.

    Attributes:
        classes: Share that goes with the classes, 0..1; None with one class.
        sources: Share that goes with the source (patient, slide, site) among tiles of one class, 0..1; None
            where sources are unknown, or no source has two tiles of a class.
        tiles: Tiles that were counted.
        groups: Sources of them; 0 if unknown.
    """

    classes: float | None
    sources: float | None
    tiles: int
    groups: int


def variance_shares(codes: npt.ArrayLike, classes: npt.ArrayLike, sources: Sequence[str]) -> VarianceShares:
    """Split the variance of codes between class, source within class, and the rest.

    A nested analysis of variance of each number, standardised. Shares are of mean squares (adjusted for the
    degrees of freedom: classes and sources that mean nothing have a share of 0 on average; Ezekiel 1930), a
    negative one is 0.

    Args:
        codes: ``(N, D)``, or ``(N,)`` of one number; a tile that lacks a number is left out.
        classes: ``(N,)`` of each tile; NaN where unknown, which leaves the tile out.
        sources: ``(N,)`` names; all empty where they are unknown, and tiles without one are left out else.

    Raises:
        CohortError: Their lengths differ, or codes have more dimensions.

    Example:
        >>> codes = np.array([[0.0], [0.1], [1.0], [1.1], [4.0], [4.1], [5.0], [5.1]])
        >>> found = variance_shares(codes, [0, 0, 0, 0, 1, 1, 1, 1], list("aabbccdd"))
        >>> round(found.classes, 2), round(found.sources, 2)
        (0.93, 0.07)
    """
    numbers, labels = as_floats(codes), as_floats(classes)
    names = np.asarray(sources, dtype=str)
    if numbers.ndim == 1:
        numbers = numbers[:, None]
    if numbers.ndim != 2 or not len(numbers) == labels.size == names.size:
        raise CohortError(
            "Split the variance of codes between classes and sources.",
            f"Codes of shape {numbers.shape}, classes of shape {labels.shape} and sources of {names.shape}.",
            "Give (N, D) codes, and one class and one source of each.",
        )
    labels, names = labels.ravel(), names.ravel()
    known = np.isfinite(labels) & np.isfinite(numbers).all(axis=1)
    if has_sources := bool((names != "").any()):
        known &= names != ""
    numbers, labels, names = numbers[known], labels[known], names[known]
    groups = len(np.unique(names)) if has_sources else 0
    count = len(numbers)
    spread = numbers.std(axis=0) if count else np.zeros(numbers.shape[1])
    numbers = numbers[:, spread > LEAST_SPREAD]
    if not numbers.size:
        return VarianceShares(None, None, count, groups)
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    total = _mean_square(numbers, np.zeros(count, np.int64))
    by_class = np.unique(labels, return_inverse=True)[1]
    among = _mean_square(numbers, by_class)
    if total is None or among is None:
        return VarianceShares(None, None, count, groups)
    share = max(0.0, 1 - among / total) if by_class.max() else None
    within = None
    if has_sources:
        pairs = np.stack([by_class, np.unique(names, return_inverse=True)[1]])
        within = _mean_square(numbers, np.unique(pairs, axis=1, return_inverse=True)[1].ravel())
    source = None if within is None else max(0.0, (among - within) / total)
    return VarianceShares(share, source, count, groups)


def _mean_square(numbers: FloatArray, cells: npt.NDArray[Any]) -> float | None:
    """Mean square within cells, over all numbers; None where no cell has two rows."""
    size = int(cells.max()) + 1
    free = len(numbers) - size
    if free <= 0:
        return None
    sums = np.zeros((size, numbers.shape[1]))
    np.add.at(sums, cells, numbers)
    means = sums / np.bincount(cells, minlength=size)[:, None]
    return float(((numbers - means[cells]) ** 2).sum() / (free * numbers.shape[1]))
