"""Whether what a network gives hangs on its input alone: codes compared that should be the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
AGAIN = 1e-3
"""Of the same batch: arithmetic is repeated in the same order, or nearly so."""
ALONE, ALONE_COLUMN = 2e-2, 1e-1
"""Of one input alone and in a batch, root mean square over the columns and of any one of them: in bfloat16
a transformer of 16 layers, rounded otherwise in every layer, differs by 0.5e-2 and 2e-2."""
LEAST_SCALE = 0.25
"""Quantile of the columns' scales below which none counts: noise of columns near 0 is that of the others."""


def same_again(codes: Floats, again: Floats) -> bool:
    """Whether codes ``(N, D)`` of the same batch, computed twice, are the same.

    Example:
        >>> codes = np.array([[1e4, 1.0], [1e4, 2.0]])
        >>> same_again(codes, codes * 1.0001), same_again(codes, codes + [0, 0.5])
        (True, False)
    """
    return bool((_shares(codes, again) <= AGAIN).all())


def same_alone(codes: Floats, alone: Floats) -> bool:
    """Whether the first codes ``(N, D)`` of a batch are those ``(n, D)`` of its first inputs alone.

    Example:
        >>> codes = np.array([[1e4, 1.0], [1e4, 2.0]])
        >>> same_alone(codes, codes[:1] * 1.005), same_alone(codes, codes[:1] + [0, 0.5])
        (True, False)
    """
    shares = _shares(codes, alone)
    return bool(np.sqrt((shares**2).mean()) <= ALONE and (shares <= ALONE_COLUMN).all())


def differs(codes: Floats, again: Floats, alone: Floats, one: str) -> str:
    """When a network gave other codes for the same, in words; empty if it never did.

    Args:
        codes: Of a batch, ``(N, D)``.
        again: Of the same batch a second time.
        alone: Of its first inputs alone, ``(n, D)``.
        one: What an input is called.

    Example:
        >>> differs(np.ones((2, 3)), np.ones((2, 3)), np.zeros((1, 3)), "tile")
        'a tile alone'
    """
    if not same_again(codes, again):
        return f"the same {one}s a second time"
    return "" if same_alone(codes, alone) else f"a {one} alone"


def _shares(codes: Floats, others: Floats) -> npt.NDArray[np.float64]:
    """Differences as shares of what their columns hold, so that one of large numbers hides no other."""
    codes, others = np.asarray(codes, np.float64), np.asarray(others, np.float64)
    scales = np.abs(np.concatenate([codes, others])).max(0, initial=0.0)
    used = scales[scales > 0]
    if not used.size:
        return np.zeros_like(others)
    least = np.quantile(used, LEAST_SCALE, method="lower")
    return np.asarray(np.abs(codes[: len(others)] - others) / np.maximum(scales, least))
