"""Needle images: the paper's table, exactly one target, and what is the same from set to set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.errors import SettingsError
from histonic.simulate.low_signal.digits import read_digits
from histonic.simulate.low_signal.needles import DISTRACTORS, NeedleImages, NeedlePlan, lay

DIGITS = read_digits(side_px=8)


@pytest.mark.parametrize(
    ("canvas", "distractors", "percent"),
    [
        (64, 2, 19.1), (128, 6, 4.79), (256, 25, 1.20), (512, 100, 0.299), (1024, 400, 0.0748),
        (2048, 1600, 0.0187), (4096, 6400, 0.0047), (6144, 14400, 0.0021),
    ],
)  # fmt: skip
def test_the_rows_of_the_paper(canvas: int, distractors: int, percent: float) -> None:
    plan = NeedlePlan(canvas)
    assert plan.clutter == distractors and plan.side_px == canvas and plan.cell_px == 64
    assert 100 * plan.ratio == pytest.approx(percent, rel=0.02)
    small = NeedlePlan(canvas, digit_px=14)
    assert small.ratio == pytest.approx(plan.ratio) and small.cells == plan.cells
    assert set(DISTRACTORS) >= {canvas}


@given(canvas=st.sampled_from([64, 90, 128, 256]), seed=st.integers(0, 99), index=st.integers(0, 19))
@settings(max_examples=25, deadline=None)
def test_one_target_or_none(canvas: int, seed: int, index: int) -> None:
    images = NeedleImages(NeedlePlan(canvas, digit_px=8, seed=seed), DIGITS["train"], "train", 20)
    needle, plan = images[index], images.plan
    kinds = DIGITS["train"].labels[needle.digits[:, 0]]
    assert len(kinds) == plan.clutter + 1 and (kinds == 3).sum() == needle.label == images.labels[index]
    assert (needle.digits[:, 1:] >= 0).all() and (needle.digits[:, 1:] <= plan.side_px - 8).all()
    assert needle.cells.sum() == needle.label and images.target_xy(index) == needle.target_xy
    if needle.target_xy is not None:
        row, col = np.argwhere(needle.cells)[0]
        x, y = needle.target_xy
        assert col * plan.cell_px <= x <= (col + 1) * plan.cell_px - 8
        assert row * plan.cell_px <= y <= (row + 1) * plan.cell_px - 8
        own = DIGITS["train"].images[needle.digits[-1, 0]]
        assert (needle.pixels[y : y + 8, x : x + 8] >= own).all()
    total = min(int(DIGITS["train"].images[needle.digits[:, 0]].sum(dtype=int)), needle.pixels.size * 255)
    assert needle.pixels.sum(dtype=int) <= total


def test_a_longer_set_begins_alike_and_parts_differ() -> None:
    plan = NeedlePlan(128, digit_px=8)
    short, long = (NeedleImages(plan, DIGITS["train"], "train", count) for count in (4, 40))
    assert all(np.array_equal(short[k].pixels, long[k].pixels) for k in range(4))
    other = NeedleImages(plan, DIGITS["test"], "test", 4)
    assert not np.array_equal(short[1].pixels, other[1].pixels)
    assert not np.array_equal(short[0].pixels, NeedleImages(NeedlePlan(128, digit_px=8, seed=1), DIGITS["train"], "train", 4)[0].pixels)  # fmt: skip  # noqa: E501


def test_every_target_is_used_as_often_as_any_other() -> None:
    images = NeedleImages(NeedlePlan(64, digit_px=8), DIGITS["val"], "val")
    targets = [images[k].digits[-1, 0] for k in range(0, len(images), 2)]
    assert set(np.unique(targets, return_counts=True)[1]) == {2}
    assert set(targets) == set(DIGITS["val"].of(3))
    with pytest.raises(SettingsError, match="--duplicates 3"):
        NeedleImages(NeedlePlan(64, digit_px=8), DIGITS["val"], "val", len(images) + 1)


def test_ink_is_added_up_to_white() -> None:
    images = np.array([[[100, 250]], [[200, 3]]], np.uint8).reshape(2, 1, 2).repeat(2, 1)
    laid = lay(images, np.array([[0, 0, 0], [1, 1, 1]]), 3)
    assert laid.tolist() == [[100, 250, 0], [100, 255, 3], [0, 200, 3]]


def test_what_cannot_be_laid_is_refused() -> None:
    with pytest.raises(SettingsError, match="A digit has 8 px"):
        NeedleImages(NeedlePlan(64), DIGITS["train"], "train", 2)
    with pytest.raises(IndexError):
        NeedleImages(NeedlePlan(64, digit_px=8), DIGITS["train"], "train", 2)[2]
