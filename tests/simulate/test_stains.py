"""Beer and Lambert by hand, and the shades of the sites."""

from __future__ import annotations

import math

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.simulate.stains import SITE_STAINS, SITES, Stain, compose, draw_stain


def test_colours_by_hand() -> None:
    stain = Stain((1.0, 0.5, 0.0), (0.0, 1.0, 0.25), (240.0, 240.0, 200.0), strength=(1.0, 2.0))
    h, e = np.array([[0.7]], np.float32), np.array([[0.3]], np.float32)
    red, green, blue = 240 * math.exp(-0.7), 240 * math.exp(-0.35 - 0.6), 200 * math.exp(-0.15)
    assert compose(h, e, stain).tolist() == [[[round(red), round(green), round(blue)]]]


def test_nuclei_are_bluer_than_stroma_in_every_site() -> None:
    one, none = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    for site in SITES:
        nucleus = compose(one, none, SITE_STAINS[site])[0, 0].astype(int)
        stroma = compose(none, 0.7 * one, SITE_STAINS[site])[0, 0].astype(int)
        assert nucleus[2] > nucleus[0] > nucleus[1]
        assert stroma[0] > stroma[2] > stroma[1]


def test_slides_of_one_site_differ_less_than_sites() -> None:
    stains = [draw_stain("east", np.random.default_rng(k)) for k in range(2)]
    assert stains[0].eosin == stains[1].eosin != SITE_STAINS["south"].eosin
    assert stains[0].strength != stains[1].strength


def test_unknown_site_is_named() -> None:
    with pytest.raises(SettingsError, match="west"):
        draw_stain("west", np.random.default_rng(0))
