"""Distance of predicted chances from a smooth curve of what was observed: ICI, E50 and E90.

Austin and Steyerberg, Statistics in Medicine 38:4051 (2019). The curve here is a logistic regression of the
truth on a restricted cubic spline of the logit of the chance, with knots at its quantiles 0.1, 0.5 and 0.9
(Harrell, Regression Modeling Strategies, 2015, section 2.4.6), where that paper took loess: beyond the outer
knots, where there are few patients, it is a straight line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from histonic.metrics.calibration.probabilities import logits
from histonic.metrics.ranks import BoolArray, FloatArray

KNOTS_AT = (0.1, 0.5, 0.9)
FEWEST_OF_A_CLASS = 100
"""Below so many patients with or without the event a curve shows noise, and there is none (Vergouwe et al.,
Journal of Clinical Epidemiology 58:475, 2005; Collins et al., Statistics in Medicine 35:214, 2016)."""
NEWTON_STEPS = 40
NOISE_DRAWS = 200
NOISE_SEED = 0
"""The noise is the same each time: it follows from the predictions alone."""


class SmoothErrors(NamedTuple):
    """Absolute distances of predicted and observed chance over the patients."""

    ici: float
    """Integrated calibration index: their mean."""
    e50: float
    """Their median."""
    e90: float
    """Their 0.9 quantile."""


class SmoothCalibration(NamedTuple):
    """A smooth calibration curve, its errors, and what noise alone would make of them."""

    observed: FloatArray
    """``(n,)``, the curve at each patient's predicted chance."""
    errors: SmoothErrors
    by_noise: SmoothErrors
    """Means over outcomes drawn from the predicted chances: of a perfect model of as many patients."""
    by_noise_most: SmoothErrors
    """0.95 quantiles over the same."""


def smooth_calibration(positive: BoolArray, probability: FloatArray) -> SmoothCalibration | None:
    """Smooth calibration curve of predicted chances, with ICI, E50 and E90.

    Noise makes the errors of a perfect model positive; they are to be read beside ``by_noise``.

    Args:
        positive: ``(n,)`` bool.
        probability: ``(n,)`` in [0, 1].

    Returns:
        None with fewer than :data:`FEWEST_OF_A_CLASS` patients of a class, with chances that do not vary, or
        that separate the classes, so that no curve fits best. Where knots fall together, as many patients
        have the same chance, the curve is straight in the logit.

    Example:
        >>> chance = np.repeat([0.2, 0.4, 0.6, 0.8], 100)
        >>> positive = np.concatenate([np.arange(100) < 100 * each for each in (0.2, 0.4, 0.6, 0.8)])
        >>> round(smooth_calibration(positive, chance).errors.ici, 4)
        0.0
    """
    if min(int(positive.sum()), int((~positive).sum())) < FEWEST_OF_A_CLASS:
        return None
    x = logits(probability)
    if float(np.ptp(x)) < 1e-9:
        return None
    design = spline_basis(x)
    # From the predictions themselves, which are near the curve of a model worth looking at.
    start = np.array([x.mean(), x.std(), 0.0])[: design.shape[1]]
    observed = _fitted(positive[None], design, start)[0]
    if not np.isfinite(observed).all():
        return None
    rng = np.random.default_rng(NOISE_SEED)
    # In pieces: memory stays small with many patients.
    pieces = [rng.random((20, len(x))) < probability for _ in range(NOISE_DRAWS // 20)]
    drawn = np.concatenate([distances(_fitted(piece, design, start), probability) for piece in pieces])
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if not len(drawn):
        return None
    return SmoothCalibration(
        observed,
        SmoothErrors(*distances(observed[None], probability)[0].tolist()),
        SmoothErrors(*drawn.mean(axis=0).tolist()),
        SmoothErrors(*np.quantile(drawn, 0.95, axis=0).tolist()),
    )


def spline_basis(x: FloatArray) -> FloatArray:
    """Columns of a restricted cubic spline: 1, ``x`` and the curved one, linear beyond the outer knots.

    Args:
        x: ``(n,)``, not constant.

    Returns:
        ``(n, 3)``, standardised; ``(n, 2)`` where knots fall together.

    Example:
        >>> spline_basis(np.arange(5.0)).shape
        (5, 3)
    """
    scaled = (x - x.mean()) / x.std()
    straight = np.column_stack([np.ones_like(scaled), scaled])
    first, middle, last = np.quantile(scaled, KNOTS_AT)
    if min(middle - first, last - middle) < 1e-6:
        return straight
    cubes = [np.maximum(scaled - knot, 0) ** 3 for knot in (first, middle, last)]
    curved = cubes[0] - ((last - first) * cubes[1] - (middle - first) * cubes[2]) / (last - middle)
    spread = float(curved.std())
    if spread < 1e-9:
        return straight
    return np.column_stack([straight, (curved - curved.mean()) / spread])


def _fitted(positive: BoolArray, design: FloatArray, start: FloatArray) -> FloatArray:
    """Chances ``(B, n)`` of logistic regressions of ``positive`` ``(B, n)``; NaN without convergence.

    Predictions that promise far too much begin so far from their curve that Newton's method loses its way;
    it begins anew from no slope at all.
    """
    found = _from(positive, design, start)
    lost = ~np.isfinite(found).all(axis=1)
    if lost.any():
        found[lost] = _from(positive[lost], design, np.zeros_like(start))
    return found


def _from(positive: BoolArray, design: FloatArray, start: FloatArray) -> FloatArray:
    """The same by Newton's method from one place."""
    width = design.shape[1]
    weights = np.tile(start, (len(positive), 1))
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    step = np.full_like(weights, np.inf)
    for _ in range(NEWTON_STEPS):
        chance = special.expit(weights @ design.T)
        score = (positive - chance) @ design
        information = ((chance * (1 - chance)) @ products).reshape(-1, width, width)
        # A trace of a ridge keeps separated classes solvable; they do not converge, and say so.
        information += 1e-10 * np.eye(width)
        step = np.linalg.solve(information, score[..., None])[..., 0]
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    found = (np.abs(step).max(axis=1) < 1e-6) & (np.abs(weights).max(axis=1) < 30)
    return np.where(found[:, None], special.expit(weights @ design.T), np.nan)


def distances(observed: FloatArray, probability: FloatArray) -> FloatArray:
    """ICI, E50 and E90 in columns ``(B, 3)`` of curves ``(B, n)`` about predicted chances ``(n,)``.

    Example:
        >>> distances(np.array([[0.2, 0.4]]), np.array([0.1, 0.4])).round(2).tolist()
        [[0.05, 0.05, 0.09]]
    """
    apart = np.abs(observed - probability)
    return np.column_stack([apart.mean(axis=1), np.median(apart, axis=1), np.quantile(apart, 0.9, axis=1)])
