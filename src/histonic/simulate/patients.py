"""Simulated patients: what drives their tissue, and what a registry would know about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from histonic.simulate.stains import SITES

TWO_SLIDES_SHARE = 1 / 8
GRADE_NOISE = 0.07
GRADE_LIMITS = (0.405, 0.595)
SCORE_NOISE = 8.0
RISK_SLOPE = 3.2
MEDIAN_MONTHS = 33.0
FOLLOW_UP_MONTHS = (6.0, 96.0)
PATIENT_STREAM, SLIDE_STREAM = 1, 2


@dataclass(frozen=True)
class Latents:
    """What drives a patient's tissue, each from 0 to 1.

    Attributes:
        proliferation: More tumour nuclei and more mitosis-like figures.
        differentiation: Glands with a lumen instead of solid sheets; small, even nuclei.
        layout: Tumour nuclei in nests instead of dispersed.
    """

    proliferation: float
    differentiation: float
    layout: float


@dataclass(frozen=True)
class SimulatedPatient:
    """One row of the label table and the latents behind it."""

    patient_id: str
    slide_ids: tuple[str, ...]
    site: str
    latents: Latents
    grade: str
    proliferation_score: float
    os_months: float
    os_event: int


def draw_patients(patients: int, seed: int) -> list[SimulatedPatient]:
    """Draw patients; the first ones are the same however many are drawn.

    The site is drawn independently of everything else. A higher grade comes with less differentiation and
    more proliferation; the hazard of death is exponential in proliferation and layout; censoring is
    independent.

    Args:
        patients: How many.
        seed: Seed of the cohort.

    Example:
        >>> [patient.patient_id for patient in draw_patients(2, seed=0)]
        ['P001', 'P002']
    """
    return [_draw(index, np.random.default_rng([seed, PATIENT_STREAM, index])) for index in range(patients)]


def _draw(index: int, rng: np.random.Generator) -> SimulatedPatient:
    p, d, layout = (float(value) for value in rng.random(3))
    months, event = draw_follow_up(RISK_SLOPE * ((p - 0.5) + (layout - 0.5)), rng)
    slides = 2 if rng.random() < TWO_SLIDES_SHARE else 1
    return SimulatedPatient(
        patient_id=f"P{index + 1:03d}",
        slide_ids=tuple(f"P{index + 1:03d}-{number + 1}" for number in range(slides)),
        site=SITES[int(rng.integers(len(SITES)))],
        latents=Latents(p, d, layout),
        grade=_grade(p, d, rng),
        proliferation_score=round(12.0 + 60.0 * p + float(rng.normal(0.0, SCORE_NOISE)), 2),
        os_months=round(months, 2),
        os_event=event,
    )


def _grade(p: float, d: float, rng: np.random.Generator) -> str:
    badness = 0.6 * (1 - d) + 0.4 * p + float(rng.normal(0.0, GRADE_NOISE))
    return f"G{1 + sum(badness > limit for limit in GRADE_LIMITS)}"


def draw_follow_up(log_hazard: float, rng: np.random.Generator) -> tuple[float, int]:
    """Months under observation and whether they ended with the event (1) or with censoring (0).

    Args:
        log_hazard: Against that of a patient who is expected to live :data:`MEDIAN_MONTHS`.
        rng: Source of randomness; censoring is independent of the hazard.

    Example:
        >>> months, event = draw_follow_up(0.0, np.random.default_rng(0))
        >>> months > 0, event in (0, 1)
        (True, True)
    """
    months = float(rng.exponential(MEDIAN_MONTHS / np.log(2) / np.exp(log_hazard)))
    censored = float(rng.uniform(*FOLLOW_UP_MONTHS))
    # A registry counts from the first tenth of a month on.
    return max(0.1, min(months, censored)), int(months <= censored)
