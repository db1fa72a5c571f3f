"""Whether a slide looks like those that a bundle was trained on, by the mean code of its tissue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from histonic.core.cohort import Patient
from histonic.core.errors import BundleError
from histonic.data.maps.memory import Moments
from histonic.nn.weights_files import system_errors

FAMILIAR_FILE = "familiar.safetensors"
FEWEST_MAPS = 20
"""With fewer maps nothing is said: their spread is not known."""
MOST_AXES = 64
FALSE_ALARMS = 0.025
"""Share of slides like those of the training that are called unlike them."""
PARTS = 10
LEAST = 1e-9
FloatArray = npt.NDArray[np.float64]
NAMES = ("mean", "scale", "axes", "spread", "rest", "limit", "patient_limit")


@dataclass(frozen=True)
class Familiarity:
    """The spread of mean codes over the maps of a training.

    The distance is Mahalanobis', by the covariance of Ledoit and Wolf (2004), which stays usable where there
    are fewer maps than numbers in a code: its largest axes are kept, all others count alike.

    Attributes:
        mean: ``(D,)`` of the maps' mean codes.
        scale: ``(D,)`` by which each channel is divided first.
        axes: ``(A, D)`` directions of the largest spread.
        spread: ``(A,)`` variance along them.
        rest: Variance along every other direction.
        limit: Distance above which a map is unlike those of the training.
        patient_limit: The same for the farthest of a patient's maps, of whom some have several.
    """

    mean: FloatArray
    scale: FloatArray
    axes: FloatArray
    spread: FloatArray
    rest: float
    limit: float
    patient_limit: float

    def distances(self, codes: FloatArray) -> FloatArray:
        """Distances ``(N,)`` of mean codes ``(N, D)``, as multiples of the limit: above 1 is unlike."""
        return _distances(self, codes) / self.limit

    def of_patient(self, codes: FloatArray) -> float:
        """Distance of a patient's farthest map, of mean codes ``(N, D)``: above 1 it is unlike."""
        if len(codes) == 1:
            return float(self.distances(codes)[0])
        return float(_distances(self, codes).max() / self.patient_limit)


def fit_familiarity(codes: FloatArray, groups: Sequence[str]) -> Familiarity | None:
    """The spread of mean codes, and a limit that so many of the training's own maps exceed.

    The limit is a quantile of distances of maps to the spread of others' (in ten parts, patients whole), so
    that a new map of the same kind exceeds it in at most 2.5 % (conformal; with fewer than 39 maps in one of
    their number).

    Args:
        codes: Mean codes ``(N, D)``.
        groups: Of each its patient.

    Returns:
        None if there are fewer than :data:`FEWEST_MAPS`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> known = fit_familiarity(rng.normal(size=(200, 8)), [str(number) for number in range(200)])
        >>> float((known.distances(rng.normal(size=(2000, 8))) > 1).mean()) < 0.05
        True
        >>> float((known.distances(rng.normal(3, 1, size=(2000, 8))) > 1).mean()) > 0.95
        True
    """
    if len(codes) < FEWEST_MAPS:
        return None
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    part_of = {names[name]: place % PARTS for place, name in enumerate(order)}
    parts = np.array([part_of[group] for group in groups])
    held_out = np.empty(len(codes))
    fits = []
    for part in np.unique(parts):
        here = parts == part
        if (~here).sum() < 2:
            return None
        fits.append(_fit(codes[~here]))
        held_out[here] = _distances(fits[-1], codes[here])
    farthest = {name: 0.0 for name in names}
    for group, distance in zip(groups, held_out, strict=True):
        farthest[group] = max(farthest[group], float(distance))
    # One of the fits by which the limits were found: with more maps distances would be on another scale.
    return replace(fits[0], limit=_limit(held_out), patient_limit=_limit(np.array(list(farthest.values()))))


def _limit(distances: FloatArray) -> float:
    """The distance that so few of others like these exceed (conformal)."""
    rank = min(len(distances), math.ceil((len(distances) + 1) * (1 - FALSE_ALARMS)))
    return max(float(np.sort(distances)[rank - 1]), LEAST)


def familiarity_of(moments: Mapping[str, Moments], patients: Sequence[Patient]) -> Familiarity | None:
    """What the maps of a training look like.

    Args:
        moments: Of each map.
        patients: With their maps as the networks see them.
    """
    owners = {name: patient.patient_id for patient in patients for name in patient.slide_ids}
    names = sorted(owners)
    return fit_familiarity(mean_codes(moments, names), [owners[name] for name in names])


def mean_codes(moments: Mapping[str, Moments], names: Sequence[str]) -> FloatArray:
    """Mean codes ``(N, D)`` of maps."""
    return np.array([moments[name].total / moments[name].cells for name in names])


def _fit(codes: FloatArray) -> Familiarity:
    """Mean and spread of codes ``(N, D)``, by the singular values of what lies about the mean.

    Ledoit and Wolf move the covariance S towards its mean variance on every axis; S itself, of ``D x D``
    numbers, is never made.
    """
    mean, scale = codes.mean(0), codes.std(0)
    scale = np.where(scale > LEAST * np.maximum(1, np.abs(mean)), scale, 1.0)
    away = (codes - mean) / scale
    count, size = away.shape
    _, singular, axes = np.linalg.svd(away, full_matrices=False)
    variances = singular**2 / count
    shrinkage = shrinkage_of(away, variances)
    usual = variances.sum() / size
    kept = min(MOST_AXES, size, max(1, count - 1))
    shrunk = (1 - shrinkage) * variances + shrinkage * usual
    beside = (1 - shrinkage) * variances[kept:].sum() + shrinkage * usual * (size - kept)
    rest = beside / (size - kept) if size > kept else float(shrunk[:kept].min())
    spread = np.maximum(shrunk[:kept], LEAST)
    return Familiarity(mean, scale, axes[:kept], spread, max(float(rest), LEAST), 1.0, 1.0)


def shrinkage_of(away: FloatArray, variances: FloatArray) -> float:
    """How far a covariance moves towards its mean variance, 0 to 1 (Ledoit and Wolf 2004).

    Args:
        away: Numbers ``(N, D)`` about their mean.
        variances: Of their covariance, the eigenvalues that are not 0.
    """
    count, size = away.shape
    usual = variances.sum() / size
    squares = float((variances**2).sum())
    apart = squares / size - usual**2
    fourth = float(((away**2).sum(1) ** 2).sum())
    noise = min((fourth / count - squares) / (size * count), apart)
    return 0.0 if apart <= 0 else max(noise / apart, 0.0)


def _distances(known: Familiarity, codes: FloatArray) -> FloatArray:
    away = (np.asarray(codes, np.float64) - known.mean) / known.scale
    along = away @ known.axes.T
    beside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
    squared: FloatArray = ((along**2) / known.spread).sum(1) + beside / known.rest
    return np.sqrt(squared / len(known.mean))


def save_familiarity(path: Path, known: Familiarity) -> None:
    """Write it to a safetensors file.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors: dict[str, npt.NDArray[Any]] = {
        "mean": known.mean.astype(np.float32),
        "scale": known.scale.astype(np.float32),
        "axes": np.ascontiguousarray(known.axes, np.float32),
        "spread": known.spread.astype(np.float32),
        "rest": np.array([known.rest]),
        "limit": np.array([known.limit]),
        "patient_limit": np.array([known.patient_limit]),
    }
    with system_errors():
        save_file(tensors, path)


def load_familiarity(path: Path) -> Familiarity:
    """Read what :func:`save_familiarity` wrote.

    Raises:
        BundleError: The file is damaged.
    """
    try:
        found: Mapping[str, npt.NDArray[Any]] = load_file(path)
        mean, scale, axes, spread, rest, limit, patient = (
            np.asarray(found[name], np.float64) for name in NAMES
        )
        if (
            axes.shape != (len(spread), len(mean))
            or scale.shape != mean.shape
            or {each.shape for each in (rest, limit, patient)} != {(1,)}
        ):
            raise ValueError("its arrays do not fit each other")
        return Familiarity(mean, scale, axes, spread, float(rest[0]), float(limit[0]), float(patient[0]))
    except (SafetensorError, OSError, LookupError, ValueError) as error:
        raise BundleError(
            f"Read {path}.", f"It cannot be read: {error}.", "Copy the bundle again or train again."
        ) from error
