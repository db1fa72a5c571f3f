"""Patients with two stains: what is brown tells, what is missing is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import SettingsError
from histonic.simulate.patients import Latents
from histonic.simulate.two_stains import POSITIVE, simulate_ki67, simulate_two_stains
from histonic.slides.base import open_slide


def brown_of(image: np.ndarray) -> float:
    """Share of dark pixels that take more blue than red."""
    density = -np.log((image.astype(float) + 1) / 245)
    dark = density.sum(axis=2) > 1.5
    return float((density[..., 2] > density[..., 0])[dark].mean())


def test_more_nuclei_are_brown_where_proliferation_is_higher() -> None:
    low, high = (
        np.mean(
            [
                brown_of(simulate_ki67(Latents(p, 0.5, 0.5), np.random.default_rng(seed), 320))
                for seed in (0, 1)
            ]
        )
        for p in (0.0, 1.0)
    )
    assert high > 2 * low
    assert low < 2 * POSITIVE[0] + 0.1


def test_a_cohort_says_who_lacks_what(tmp_path: Path) -> None:
    made = simulate_two_stains(tmp_path, patients=12, missing=0.5, side_px=256)
    table = pd.read_csv(made.labels_csv)
    slides = {path.stem for folder in made.slides_dirs.values() for path in folder.iterdir()}
    assert set(table["slide_id"]) == slides
    lacking = {f"{name}-{part}" for part, names in made.missing.items() for name in names}
    assert lacking
    assert not lacking & slides
    assert len(lacking) + len(slides) == 24
    assert table.groupby("patient_id")["proliferating"].nunique().max() == 1
    first = sorted(made.slides_dirs["ki67"].iterdir())[0]
    with open_slide(first) as slide:
        assert slide.mpp == 0.5
    # The first patients are the same however many there are.
    few = simulate_two_stains(tmp_path / "few", patients=4, missing=0.5, side_px=256)
    again = sorted(few.slides_dirs["he"].iterdir())[0]
    assert (made.slides_dirs["he"] / again.name).read_bytes() == again.read_bytes()


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"missing": 1.0}, {"side_px": 8}, {"signal": "pas"}])
def test_bad_numbers_are_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(SettingsError, match="two stains"):
        simulate_two_stains(tmp_path, **wrong)
