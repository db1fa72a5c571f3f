"""Simulated patients: independent of the site, driven by the latents, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency, kruskal, spearmanr

from histonic.simulate.patients import SimulatedPatient, draw_patients


@pytest.fixture(scope="module")
def cohort() -> list[SimulatedPatient]:
    return draw_patients(500, seed=3)


def latents_of(cohort: list[SimulatedPatient]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [(p.latents.proliferation, p.latents.differentiation, p.latents.layout) for p in cohort]
    proliferation, differentiation, layout = np.array(rows).T
    return proliferation, differentiation, layout


def test_first_patients_do_not_depend_on_how_many_are_drawn() -> None:
    assert draw_patients(12, seed=5) == draw_patients(40, seed=5)[:12]
    assert draw_patients(12, seed=5) != draw_patients(12, seed=6)


def test_grade_and_score_follow_the_latents_but_not_perfectly(cohort: list[SimulatedPatient]) -> None:
    p, d, _ = latents_of(cohort)
    grade = [int(patient.grade[1]) for patient in cohort]
    score = [patient.proliferation_score for patient in cohort]
    assert 0.87 < spearmanr(score, p)[0] < 0.95
    assert 0.83 < spearmanr(grade, 0.6 * (1 - d) + 0.4 * p)[0] < 0.94
    assert min(np.bincount(grade)[1:]) > 100


def test_survival_is_driven_by_proliferation_and_layout(cohort: list[SimulatedPatient]) -> None:
    p, d, layout = latents_of(cohort)
    months = np.array([patient.os_months for patient in cohort])
    event = np.array([patient.os_event for patient in cohort])
    assert 0.75 <= concordance(months, event, p + layout) <= 0.82
    assert 0.60 < concordance(months, event, p) > concordance(months, event, d) + 0.05
    assert concordance(months, event, layout) > 0.60
    assert 0.35 <= 1 - event.mean() <= 0.50
    assert months.min() > 0


def concordance(months: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    """Harrell's, written out: of the pairs whose order is known, the share in which risk agrees."""
    earlier = (months[:, None] < months[None, :]) & (event[:, None] == 1)
    return float((risk[:, None] > risk[None, :])[earlier].mean())


def test_site_says_nothing(cohort: list[SimulatedPatient]) -> None:
    sites = sorted({patient.site for patient in cohort})
    assert sites == ["east", "north", "south"]
    table = [
        [sum(p.site == site and p.grade == g for p in cohort) for g in ("G1", "G2", "G3")] for site in sites
    ]
    assert chi2_contingency(table).pvalue > 0.01
    for name in ("proliferation_score", "os_months"):
        groups = [[getattr(p, name) for p in cohort if p.site == site] for site in sites]
        assert kruskal(*groups).pvalue > 0.01


def test_about_one_patient_in_eight_has_two_slides(cohort: list[SimulatedPatient]) -> None:
    names = [name for patient in cohort for name in patient.slide_ids]
    assert len(set(names)) == len(names)
    assert 500 * 0.08 < len(names) - 500 < 500 * 0.17
