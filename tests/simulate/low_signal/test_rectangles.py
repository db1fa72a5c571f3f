"""Rectangles of digits: the paper's figures, what lies inside, and labels that go round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.core.errors import SettingsError
from histonic.simulate.low_signal.digits import Digits, read_digits
from histonic.simulate.low_signal.rectangles import Rectangle, RectangleImages, RectanglePlan, _touch

DIGITS = read_digits(side_px=9)["train"]
# Each class has ink in a column of its own, at its number.
MARKED = np.zeros((10, 10, 10), np.uint8)
MARKED[np.arange(10), 5, np.arange(10)] = 255
MARKS = Digits(MARKED, np.arange(10), "marks")


def test_the_figures_of_the_paper() -> None:
    plan = RectanglePlan()
    assert plan.places == 400 and round(plan.density * plan.places**2) == 25_920
    image = RectangleImages(plan, DIGITS, "train", 1)[0]
    assert image.pixels.shape == (3600, 3600) and set(np.unique(image.pixels)) == {0, 255}
    for each in (image.lesion, image.distractor):
        assert 36 <= each.long_side <= 1800
        sides = np.linalg.norm(np.diff(each.corners, axis=0), axis=1)
        assert sorted(sides)[-1] == pytest.approx(each.long_side)
        assert sorted(sides)[0] == pytest.approx(each.long_side / 2)
    assert image.lesion.angle in (45, 135) and image.distractor.angle in (0, 90)


@given(seed=st.integers(0, 999), index=st.integers(0, 29))
@settings(max_examples=30, deadline=None)
def test_rectangles_lie_inside_and_hold_other_digits(seed: int, index: int) -> None:
    images = RectangleImages(RectanglePlan(400, 10, seed=seed), MARKS, "val", 30)
    lesion, distractor = images.rectangles(index)
    assert lesion.digit != distractor.digit
    for each in (lesion, distractor):
        assert (each.corners >= -1e-9).all() and (each.corners <= 400 + 1e-9).all()
        assert each.holds(each.corners.mean(axis=0)[None])[0]
        assert not each.holds(np.array([[-5.0, -5.0]]))[0]


def test_digits_within_a_rectangle_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[np.ndarray] = []
    paint = RectangleImages._painted

    def watched(images: RectangleImages, corners: np.ndarray, kinds: np.ndarray, rng: Any) -> np.ndarray:
        laid.extend([corners, kinds])
        return paint(images, corners, kinds, rng)

    monkeypatch.setattr(RectangleImages, "_painted", watched)
    plan = RectanglePlan(400, 10, density=1.0, long_sides=(0.4, 0.5), seed=3)
    image = RectangleImages(plan, MARKS, "train", 1)[0]
    corners, kinds = laid
    assert image.label == image.lesion.digit and len(kinds) == 1600
    inside = [each.holds(corners + 5.0) for each in (image.lesion, image.distractor)]
    for each, own in zip((image.lesion, image.distractor), inside, strict=True):
        assert own.sum() > 60 and (kinds[own] == each.digit).all()
    assert len(np.unique(kinds[~inside[0] & ~inside[1]])) == 10
    # One pixel of ink for each, at the column of its class.
    rows, cols = corners[:, 1] + 5, corners[:, 0] + kinds
    wanted = np.zeros((400, 400), np.uint8)
    wanted[rows, cols] = 255
    assert np.array_equal(image.pixels, wanted)


def test_labels_go_round_and_images_do_not_depend_on_the_count() -> None:
    images = RectangleImages(RectanglePlan(360, 9), DIGITS, "train", 30)
    labels = [images.rectangles(k)[0].digit for k in range(30)]
    assert all(sorted(labels[k : k + 10]) == [*range(10)] for k in (0, 10, 20))
    assert labels[:10] != labels[10:20]
    again = RectangleImages(RectanglePlan(360, 9), DIGITS, "train", 8)
    assert np.array_equal(images[7].pixels, again[7].pixels)


def test_touching_is_seen_by_both_pairs_of_sides() -> None:
    square = Rectangle(np.array([[0.0, 0], [4, 0], [4, 2], [0, 2]]), 1, 4.0, 0)
    tilted = np.array([[0.0, 1], [1, 2], [2, 1], [1, 0]])
    assert _touch(square, Rectangle(tilted + np.array([3.0, 1.0]), 2, 2**0.5, 45))
    # Their boxes overlap, they themselves do not.
    assert not _touch(square, Rectangle(tilted + np.array([3.6, 1.6]), 2, 2**0.5, 45))


@pytest.mark.parametrize("change", [{"side_px": 361}, {"long_sides": (0.5, 0.1)}, {"density": 0.0}])
def test_plans_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="multiple of the digit's"):
        RectanglePlan(**{"side_px": 360, **change})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="have 9 px"):
        RectangleImages(RectanglePlan(400, 10), DIGITS, "train", 1)
