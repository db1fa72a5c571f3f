"""Ink goes with its rim, tissue of the same hue stays."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.slides.tissue.finder import tissue_of
from histonic.slides.tissue.glass import around, local_detail, smooth
from histonic.slides.tissue.ink import GREY, find_ink, hue_of

PENS = {
    "black": (25, 25, 30),
    "blue": (35, 60, 170),
    "green": (30, 130, 80),
    "red": (200, 35, 45),
    "purple": (110, 40, 150),
    "orange": (240, 120, 25),
    "brown": (110, 65, 35),
    "pink": (235, 80, 150),
}
STAINS = {
    "H&E": (190, 110, 170),
    "blue counterstain": (150, 160, 195),
    "DAB": (150, 105, 70),
    "Giemsa": (60, 70, 150),
    "teal": (90, 150, 145),
    "silver": (110, 110, 112),
}


def textured(colour: tuple[int, int, int], side: int = 300) -> np.ndarray:
    """Glass with a piece of tissue of some colour, float ``(side, side, 3)``; texture as at 8 µm/px."""
    rng = np.random.default_rng(0)
    density = np.zeros((side, side, 3))
    density[120:250, 60:240] = np.log(243 / np.array(colour)) * rng.uniform(0.6, 1.4, (130, 180, 1))
    return 243 * np.exp(-density) + rng.normal(0, 0.8, (side, side, 3))


def drawn(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A stroke of 0.16 mm above the tissue, right across."""
    inked = pixels.copy()
    inked[40:60] = np.array(colour) + np.random.default_rng(1).normal(0, 0.8, inked[40:60].shape)
    return np.clip(inked, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("pen", PENS)
@pytest.mark.parametrize("stain", ["H&E", "DAB"])
def test_pens_of_all_colours(pen: str, stain: str) -> None:
    tissue = tissue_of(drawn(textured(STAINS[stain]), PENS[pen]), 8.0)
    assert not tissue[:70].any()
    assert tissue[125:245, 65:235].mean() > 0.98


@pytest.mark.parametrize("stain", STAINS)
def test_tissue_of_any_stain_is_no_ink(stain: str) -> None:
    pixels = np.clip(textured(STAINS[stain]), 0, 255).astype(np.uint8)
    assert tissue_of(pixels, 8.0)[125:245, 65:235].mean() > 0.98


def test_a_pen_across_tissue_takes_itself_and_its_rim() -> None:
    pixels = textured(STAINS["H&E"])
    pixels[:, 140:160] *= np.array(PENS["blue"]) / 243
    tissue = tissue_of(np.clip(pixels, 0, 255).astype(np.uint8), 8.0)
    assert tissue[140:230, 142:158].mean() < 0.1
    assert tissue[125:245, 65:130].mean() > 0.98 and tissue[125:245, 170:235].mean() > 0.98


def test_hues_by_hand() -> None:
    density = np.zeros((3, 1, 4), np.float32)
    density[:, 0, 0] = (1, 1, 1)  # grey
    density[:, 0, 1] = (1, 0, 0)  # takes red away: angle atan2(-1/sqrt(3), 1) = -30 degrees
    density[:, 0, 2] = (0, 1, 0)  # takes green away: 90 degrees
    density[:, 0, 3] = (0, 0, 1)  # takes blue away: -150 degrees
    hue, saturation = hue_of(density)
    assert hue[0].tolist() == [GREY, 10, 18, 2]
    assert saturation[0] == pytest.approx([0, 2 / 3**0.5, 2 / 3**0.5, 2 / 3**0.5], abs=1e-6)


def test_without_anything_dense_there_is_no_ink() -> None:
    pixels = np.full((60, 60, 3), 240, np.uint8)
    nothing = np.zeros((60, 60), bool)
    density = np.zeros((3, 60, 60), np.float32)
    assert not find_ink(density, around(local_detail(pixels)), smooth(pixels).mean(0), nothing, 8.0).any()
