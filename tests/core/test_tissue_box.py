"""The box around the tissue, and windows laid over it."""

from __future__ import annotations

import numpy as np

from histonic.core.tissue_box import TissueBox
from histonic.core.units import RC, Shape


def test_the_box_holds_all_tissue_and_no_row_more() -> None:
    mask = np.zeros((9, 7), bool)
    mask[2, 3] = mask[5, 1] = True
    box = TissueBox.of(mask)
    assert (box.corner, box.shape) == (RC(2, 1), Shape(4, 3))
    assert mask[box.slices].sum() == 2 and mask[box.slices][0].any() and mask[box.slices][:, -1].any()


def test_without_tissue_it_is_the_whole_map() -> None:
    assert TissueBox.of(np.zeros((3, 4), bool)) == TissueBox(RC(0, 0), Shape(3, 4))


def test_windows_stay_within_the_box_or_around_it() -> None:
    box = TissueBox(RC(10, 20), Shape(30, 4))
    assert box.window_around(RC(0, 0), 8) == RC(10, 18)
    assert box.window_around(RC(99, 99), 8) == RC(32, 18)
    assert not box.fits(8) and box.fits(30)
