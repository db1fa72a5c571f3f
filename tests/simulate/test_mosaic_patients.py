"""Patients of a mosaic: no group in two of them, outcomes spread evenly, confounding only where planted."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines.utils import concordance_index

from histonic.core.errors import SettingsError
from histonic.simulate.mosaic_patients import (
    MosaicKind,
    MosaicPatient,
    MosaicPlan,
    allot_tiles,
    draw_mosaic_patients,
)

NO_TILES = (np.arange(1), np.arange(1, 2))


def drawn(plan: MosaicPlan, count: int = 200, seed: int = 0) -> list[MosaicPatient]:
    return draw_mosaic_patients(plan, "train", [NO_TILES] * count, np.random.default_rng(seed))


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "a", "b", "c", "d", "e"])), min_size=8, max_size=60
    ),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_groups_stay_whole_and_every_patient_has_both_kinds(
    tiles: list[tuple[bool, str]], patients: int, seed: int
) -> None:
    lesion = np.array([each[0] for each in tiles])
    group = np.array([each[1] for each in tiles])
    try:
        parts = allot_tiles(lesion, group, patients, np.random.default_rng(seed))
    except SettingsError:
        return
    owners = np.full(len(tiles), -1)
    for number, (shows, rest) in enumerate(parts):
        assert len(shows) and len(rest) and lesion[shows].all() and not lesion[rest].any()
        owners[np.concatenate([shows, rest])] = number
    assert (owners >= 0).all()
    for name in set(group) - {""}:
        assert len(set(owners[group == name])) == 1


def test_too_few_groups_are_counted() -> None:
    group = np.array(["a", "a", "b", "b", "c"])
    with pytest.raises(
        SettingsError, match="2 groups of tiles show the lesion, 3 something else; 1 patients"
    ):
        allot_tiles(np.array([1, 0, 1, 0, 0]) > 0, group, 3, np.random.default_rng(0))


@pytest.mark.parametrize("kind", get_args(MosaicKind))
def test_sites_follow_the_outcome_only_if_asked(kind: str) -> None:
    plan = MosaicPlan(kind, sites=2, most_slides=3)  # type: ignore[arg-type]
    column = {"needle": "lesion", "arrangement": "arrangement", "fraction": None, "survival": "os_months"}[
        kind
    ]

    def link(effect: float) -> float:
        cohort = drawn(replace(plan, site_effect=effect), 400)
        site = np.array([patient.site == "site2" for patient in cohort], float)
        if column is None:
            level = np.array([np.mean([slide.share for slide in patient.slides]) for patient in cohort])
        elif column == "os_months":
            level = -np.array([patient.outcome[column] for patient in cohort])
        else:
            level = np.array([patient.outcome[column] in ("present", "rim") for patient in cohort], float)
        return float(np.corrcoef(site, np.argsort(np.argsort(level, kind="stable")))[0, 1])

    assert abs(link(0.0)) < 0.15 and link(1.0) > 0.3


def test_a_needle_lies_in_one_slide_of_half_of_the_patients() -> None:
    cohort = drawn(MosaicPlan("needle", lesion_share=0.1, most_slides=3))
    for patient in cohort:
        shares = sorted(slide.share for slide in patient.slides)
        assert shares[-1] == (0.1 if patient.outcome["lesion"] == "present" else 0) and not any(shares[:-1])
    assert sum(patient.outcome["lesion"] == "present" for patient in cohort) == 100
    assert {len(patient.slides) for patient in cohort} == {1, 2, 3}


def test_fractions_fill_their_range_evenly() -> None:
    shares = sorted(patient.slides[0].share for patient in drawn(MosaicPlan("fraction")))
    assert np.abs(np.array(shares) - np.linspace(0.05, 0.95, 200)).max() < 0.05


def test_a_larger_share_and_a_rim_come_with_earlier_events() -> None:
    cohort = drawn(MosaicPlan("survival"), 600)
    months = [patient.outcome["os_months"] for patient in cohort]
    events = [patient.outcome["os_event"] for patient in cohort]
    share = np.array([patient.slides[0].share for patient in cohort])
    rim = np.array([patient.slides[0].pattern == "rim" for patient in cohort])
    assert 0.3 < np.mean(events) < 0.9
    assert concordance_index(months, -share, events) > 0.62
    assert concordance_index(months, -rim.astype(float), events) > 0.53
    assert concordance_index(months, -(4.0 * share + 1.2 * rim), events) > concordance_index(
        months, -share, events
    )
