"""Which nuclei a slide holds, and where: tumour cells in nests and dispersed, stroma, lymphocytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from histonic.simulate.nuclei import (
    COLUMNAR,
    ROUND,
    Bank,
    blank,
    direction_of,
    inner,
    nucleus_bank,
    size_of,
    stamp,
)
from histonic.simulate.patients import Latents
from histonic.simulate.textures import FloatImage, jittered_points, smooth_noise
from histonic.simulate.tissue import COARSE, Floats, TissueLayout

# Nuclei for each pixel of tissue.
TUMOUR_DENSITY = (0.00036, 0.00042)
NEST_DENSITY = (0.00085, 0.00085)
MOST_NESTED = 0.97
SPINDLE_DENSITY = 0.00030
LYMPHOCYTE_DENSITY = 0.00016


def place_nuclei(
    latents: Latents, plan: TissueLayout, rng: np.random.Generator
) -> tuple[FloatImage, Floats, Floats]:
    """Draw all nuclei of a slide.

    Args:
        latents: Density, size and mitosis-like figures of the tumour nuclei.
        plan: Where the tissue lies.
        rng: Source of randomness.

    Returns:
        Haematoxylin of the nuclei, how much of each pixel they cover, and eosin of red blood cells, float32
        ``(3, side, side)``; the places ``(N, 2)`` of the tumour nuclei in nests; those of the dispersed ones.
    """
    canvas, bank = blank(plan.side_px), nucleus_bank()
    tissue_px = float((plan.tissue > 0).sum() - (plan.fat > 0).sum()) * COARSE**2
    nested, angles, columnar = _nested(latents, plan, rng)
    wanted = (
        tissue_px * (TUMOUR_DENSITY[0] + TUMOUR_DENSITY[1] * latents.proliferation) * rng.lognormal(0, 0.05)
    )
    # The number of tumour nuclei depends on proliferation alone, however much room the nests have.
    kept = np.sort(rng.permutation(len(nested))[: int(MOST_NESTED * wanted)])
    nested, angles, columnar = nested[kept], angles[kept], columnar[kept]
    lone = _dispersed(plan, int(wanted) - len(nested), rng)
    points = np.concatenate([nested, lone])
    angles = np.concatenate([angles, plan.at(plan.directions, lone) + rng.normal(0, 0.5, len(lone))])
    columnar = np.concatenate([columnar, np.zeros(len(lone), bool)])
    _stamp_stroma(canvas, bank, plan, tissue_px, rng)
    _stamp_blood(canvas, bank, plan, rng)
    _stamp_tumour(canvas, bank, latents, points, angles, columnar, rng)
    return inner(canvas), nested, lone


def _nested(
    latents: Latents, plan: TissueLayout, rng: np.random.Generator
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Places, angles and shapes of the nuclei in solid nests and in the lining of glands."""
    density = NEST_DENSITY[0] + NEST_DENSITY[1] * latents.proliferation
    spacing = float(np.sqrt(2 / np.sqrt(3) / density))
    grid = jittered_points(rng, plan.side_px, spacing, 0.16)
    points, angles, columnar = [], [], []
    for unit in plan.units:
        if not unit.lumen:
            near = grid[(np.abs(grid - (unit.x, unit.y)) < 1.7 * unit.radius).all(axis=1)]
            off = near - (unit.x, unit.y)
            inside = np.hypot(*off.T) < unit.rim(np.arctan2(off[:, 1], off[:, 0])) - 8
            points.append(near[inside])
            angles.append(rng.uniform(0, np.pi, int(inside.sum())))
            columnar.append(np.zeros(int(inside.sum()), bool))
            continue
        count = int(density * np.pi * unit.radius**2 * 0.92)
        theta = (np.arange(count) + rng.normal(0, 0.25, count)) * 2 * np.pi / count
        depth = unit.lumen + (1 - unit.lumen) * rng.uniform(0.34, 0.82, count)
        reach = depth * unit.rim(theta)
        points.append(np.column_stack([unit.x + reach * np.cos(theta), unit.y + reach * np.sin(theta)]))
        angles.append(theta + rng.normal(0, 0.15, count))
        columnar.append(np.ones(count, bool))
    found = np.concatenate([np.empty((0, 2)), *points])
    fits = np.flatnonzero(((found >= 0) & (found < plan.side_px)).all(axis=1))
    fits = fits[plan.at(plan.nests, found[fits]) > 3]
    angle, shape = np.concatenate([np.empty(0), *angles]), np.concatenate([np.empty(0, bool), *columnar])
    return found[fits], angle[fits], shape[fits]


def _stroma_points(plan: TissueLayout, spacing: float, rng: np.random.Generator) -> Floats:
    """Jittered points in the stroma, away from nests, fat and glass."""
    points = jittered_points(rng, plan.side_px, spacing, 0.22)
    stroma = np.minimum(plan.tissue - 6, np.minimum(-plan.nests - 8, -plan.fat - 6))
    return points[plan.at(stroma, points) > 0]


def _dispersed(plan: TissueLayout, count: int, rng: np.random.Generator) -> Floats:
    """Tumour nuclei strewn over the stroma."""
    points = _stroma_points(plan, 21.0, rng)
    taken = rng.permutation(len(points))[: max(count, 0)]
    return points[np.sort(taken)]


def _stamp_tumour(
    canvas: FloatImage,
    bank: Bank,
    latents: Latents,
    points: Floats,
    angles: Floats,
    columnar: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """Tumour nuclei: larger and less even the less differentiated; some are mitosis-like figures."""
    n, coarse = len(points), 1 - latents.differentiation
    radii = (7.2 + 2.6 * coarse) * rng.lognormal(0, 0.07 + 0.20 * coarse, n)
    mitotic = rng.random(n) < 0.002 + 0.020 * latents.proliferation**1.5
    sizes, directions = size_of(radii), direction_of(angles)
    strengths, variants = rng.lognormal(0, 0.10, n), rng.integers(0, 10_000, n)
    for k in range(n):
        if mitotic[k]:
            sprite = bank.mitosis[variants[k] % len(bank.mitosis)]
        else:
            kinds = bank.tumour[COLUMNAR if columnar[k] else ROUND, int(sizes[k]), int(directions[k])]
            sprite = kinds[variants[k] % len(kinds)]
        stamp(canvas, sprite, int(points[k, 0]), int(points[k, 1]), float(strengths[k]))


def _stamp_stroma(
    canvas: FloatImage, bank: Bank, plan: TissueLayout, tissue_px: float, rng: np.random.Generator
) -> None:
    """Spindle nuclei along the fibres, and lymphocytes in clusters; their number says nothing."""
    places = _stroma_points(plan, 18.0, rng)
    order = rng.permutation(len(places))
    spindles = places[order[: int(tissue_px * SPINDLE_DENSITY * rng.lognormal(0, 0.25))]]
    directions = direction_of(plan.at(plan.directions, spindles) + rng.normal(0, 0.25, len(spindles)))
    variants = rng.integers(0, 10_000, len(spindles))
    for (x, y), direction, variant in zip(spindles, directions, variants, strict=True):
        kinds = bank.spindle[int(direction)]
        stamp(canvas, kinds[variant % len(kinds)], int(x), int(y), 0.6 + 0.5 * float(variant) / 10_000)
    places = _stroma_points(plan, 14.0, rng)
    crowd = plan.at(smooth_noise(rng, len(plan.tissue), 35.0), places) + rng.normal(0, 0.5, len(places))
    count = int(tissue_px * LYMPHOCYTE_DENSITY * rng.lognormal(0, 0.6))
    variants = rng.integers(0, len(bank.lymphocyte), count)
    for (x, y), variant in zip(places[np.argsort(-crowd, kind="stable")[:count]], variants, strict=False):
        stamp(canvas, bank.lymphocyte[variant], int(x), int(y), 1.0)


def _stamp_blood(canvas: FloatImage, bank: Bank, plan: TissueLayout, rng: np.random.Generator) -> None:
    """Red blood cells in most vessels, packed or few."""
    grid = jittered_points(rng, plan.side_px, 9.5, 0.2)
    filled = rng.random(len(plan.vessels)) ** 0.5
    for vessel, share in zip(plan.vessels, filled, strict=True):
        near = grid[(np.abs(grid - (vessel.x, vessel.y)) < 1.6 * vessel.radius).all(axis=1)]
        off = near - (vessel.x, vessel.y)
        inside = np.hypot(*off.T) < vessel.rim(np.arctan2(off[:, 1], off[:, 0])) - 4
        inside &= plan.at(plan.lumens, near) > 0
        for x, y in near[inside & (rng.random(len(near)) < share)]:
            stamp(canvas, bank.red_cell[int(rng.integers(len(bank.red_cell)))], int(x), int(y), 1.0)
