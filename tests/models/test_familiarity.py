"""Slides unlike those of a training: few false alarms, shifts found, files checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from histonic.core.cohort import Patient
from histonic.core.errors import BundleError
from histonic.data.maps.memory import Moments
from histonic.models.familiarity import (
    FEWEST_MAPS,
    _fit,
    familiarity_of,
    fit_familiarity,
    load_familiarity,
    mean_codes,
    save_familiarity,
    shrinkage_of,
)


def cohort(count: int, size: int, seed: int, sites: int = 3) -> np.ndarray:
    """Mean codes of a cohort: a low-rank spread, some noise, and sites with means of their own."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(1)
    axes, means = world.normal(size=(10, size)), world.normal(0, 1.5, (sites, size))
    own = rng.normal(size=(count, 10)) @ axes + 0.3 * rng.normal(size=(count, size))
    return own + means[rng.integers(sites, size=count)]


@pytest.mark.parametrize(("count", "size"), [(60, 128), (300, 128), (300, 1024)])
def test_slides_of_the_same_kind_are_rarely_called_unlike(count: int, size: int) -> None:
    shares, found = [], []
    for seed in range(6):
        known = fit_familiarity(cohort(count, size, seed), [str(number) for number in range(count)])
        assert known is not None
        new = cohort(400, size, 100 + seed)
        shares.append(float((known.distances(new) > 1).mean()))
        shift = np.random.default_rng(1000 + seed).normal(0, 1.5, size)
        found.append(float((known.distances(new + shift) > 1).mean()))
    assert np.mean(shares) < 0.05
    assert np.mean(found) > 0.9


@pytest.mark.parametrize(("count", "size"), [(40, 100), (200, 20)])
def test_the_covariance_is_that_of_ledoit_and_wolf(count: int, size: int) -> None:
    given = cohort(count, size, 0)
    away = given - given.mean(0)
    variances = np.linalg.svd(away, compute_uv=False) ** 2 / count
    wanted, shrinkage = ledoit_wolf(away, assume_centered=True)
    assert shrinkage_of(away, variances) == pytest.approx(shrinkage)
    if size <= 64:  # all axes are kept, and the distance is Mahalanobis'
        scaled = away / given.std(0)
        wanted, _ = ledoit_wolf(scaled, assume_centered=True)
        known = _fit(given)
        by_hand = np.einsum("nd,de,ne->n", scaled, np.linalg.inv(wanted), scaled) / size
        np.testing.assert_allclose(known.distances(given), np.sqrt(by_hand), rtol=1e-6)


def test_slides_of_a_patient_stay_together_and_few_say_nothing() -> None:
    codes = cohort(40, 8, 0)
    twice = np.repeat(codes, 2, axis=0)
    groups = [str(number // 2) for number in range(80)]
    together, apart = fit_familiarity(twice, groups), fit_familiarity(twice, [str(n) for n in range(80)])
    assert together is not None and apart is not None and together.limit > apart.limit
    assert together.patient_limit >= together.limit
    assert together.of_patient(codes[:2]) == pytest.approx(
        together.distances(codes[:2]).max() * together.limit / together.patient_limit
    )
    assert together.of_patient(codes[:1]) == together.distances(codes[:1])[0]
    assert fit_familiarity(codes[: FEWEST_MAPS - 1], groups[: FEWEST_MAPS - 1]) is None
    assert fit_familiarity(twice, ["one"] * 80) is None


def test_a_channel_that_never_changes_and_changes_now_is_noticed() -> None:
    codes = cohort(50, 6, 0)
    codes[:, 2] = 0.0
    known = fit_familiarity(codes, [str(number) for number in range(50)])
    assert known is not None
    changed = codes[:1].copy()
    changed[0, 2] = 50.0
    assert known.distances(codes[:1])[0] < 2 < known.distances(changed)[0]


def test_the_file_gives_the_same_distances(tmp_path: Path) -> None:
    codes = cohort(60, 32, 0)
    known = fit_familiarity(codes, [str(number) for number in range(60)])
    assert known is not None
    save_familiarity(tmp_path / "f.safetensors", known)
    again = load_familiarity(tmp_path / "f.safetensors")
    np.testing.assert_allclose(again.distances(codes), known.distances(codes), rtol=1e-4)
    (tmp_path / "f.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="cannot be read"):
        load_familiarity(tmp_path / "f.safetensors")


def test_maps_are_described_by_their_mean_code() -> None:
    moments = {
        f"s{number}": Moments(4, np.array([4.0 * number, 8.0]), np.array([9.0, 9.0])) for number in range(24)
    }
    assert mean_codes(moments, ["s2", "s0"]).tolist() == [[2.0, 2.0], [0.0, 2.0]]
    patients = [Patient(f"p{number}", (f"s{2 * number}", f"s{2 * number + 1}")) for number in range(12)]
    known = familiarity_of(moments, patients)
    assert known is not None and known.mean[1] == 2.0 and 8 < known.mean[0] < 15
