"""Which tiles are cut: shares, ties, points, background, the cap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.grid import TileGrid
from histonic.core.units import XY
from histonic.data.annotations.shapes import Annotations, Point, Region
from histonic.stages.tiles.choice import Choice, choose_tiles, inside_slide, near_points
from histonic.stages.tiles.settings import ExtractSettings

GRID = TileGrid.over((560, 400), slide_mpp=0.5, tile_px=100, mpp=0.5)


def box(label: str | None, left: float, top: float, right: float, bottom: float) -> Region:
    return Region(label, (np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float),))


def choose(drawn: Annotations | None, tissue: np.ndarray | None = None, **values: Any) -> Choice:
    settings = ExtractSettings(out=Path("set"), **{"annotations": Path("drawn"), **values})
    return choose_tiles(GRID, drawn, tissue, settings, "slide")


def places(choice: Choice, label: str) -> list[tuple[float, float]]:
    return [tuple(cut.xy) for cut in choice.cuts if cut.label == label]


def test_tiles_lie_wholly_on_the_slide() -> None:
    assert GRID.shape == (4, 6)
    assert inside_slide(GRID).tolist() == [[True] * 5 + [False]] * 4


def test_the_least_share_decides_and_the_largest_is_told() -> None:
    choice = choose(Annotations((box("a", 25, 0, 150, 100),)))
    assert places(choice, "a") == [(0, 0)] and choice.cuts[0].share == pytest.approx(0.75)
    assert choice.largest == {"a": pytest.approx(0.75)}
    assert not choose(Annotations((box("a", 26, 0, 150, 100),))).cuts


def test_of_two_labels_the_larger_wins_and_a_tie_is_left_out() -> None:
    shapes = (
        box("a", 0, 0, 300, 100),
        box("b", 0, 0, 90, 100),
        box("b", 120, 0, 300, 100),
        box("b", 0, 100, 100, 200),
    )
    choice = choose(Annotations(shapes))
    assert places(choice, "a") == [(0, 0), (100, 0)] and places(choice, "b") == [(0, 100)]
    assert choice.left_out == {"two labels cover it alike": 1}


def test_points_are_in_the_middle_of_their_tile() -> None:
    points = (Point("m", XY(200.4, 99.6)), Point("m", XY(200.2, 99.8)), Point("m", XY(49, 200)))
    choice = choose(Annotations(points=points))
    assert places(choice, "m") == [(150, 50)]  # two of them are one tile
    assert choice.cuts[0].share is None
    assert choice.left_out == {"a point too near to the border of the slide": 1}


def test_background_is_tissue_that_nothing_touches() -> None:
    tissue = np.ones(GRID.shape, np.float32)
    tissue[3] = 0.2
    shapes = (box("a", 0, 0, 101, 100), box(None, 250, 150, 260, 160))
    choice = choose(Annotations(shapes), tissue, background_label="other")
    wanted = {(x, y) for x in range(0, 500, 100) for y in range(0, 300, 100)} - {(0, 0), (100, 0), (200, 100)}
    assert set(places(choice, "other")) == wanted
    assert not places(choose(Annotations(shapes), tissue), "other")


def test_background_keeps_its_distance_from_points() -> None:
    point = Point("m", XY(250, 150))
    near = near_points(GRID, [point], 30.0)  # 60 pixels
    # The nearest corner of the tiles on the diagonal is 70.7 pixels away, the sides of the others 50.
    assert np.argwhere(near).tolist() == [[0, 2], [1, 1], [1, 2], [1, 3], [2, 2]]
    assert np.argwhere(near_points(GRID, [point], 0.0)).tolist() == [[1, 2]]
    assert near_points(GRID, [point], 36.0).sum() == 9
    tissue = np.ones(GRID.shape, np.float32)
    choice = choose(Annotations(points=(point,)), tissue, background_label="other")
    assert len(places(choice, "other")) == 20 - 5


def test_labelled_tiles_need_tissue_only_if_asked() -> None:
    tissue = np.zeros(GRID.shape, np.float32)
    tissue[0, 0] = 0.3
    shapes = Annotations((box("a", 0, 0, 200, 100),))
    assert places(choose(shapes, tissue), "a") == [(0, 0), (100, 0)]
    assert places(choose(shapes, tissue, on_tissue=True), "a") == [(0, 0)]


def test_without_annotations_all_tissue_is_cut() -> None:
    tissue = np.zeros(GRID.shape, np.float32)
    tissue[1:3, 1:3] = 0.25
    choice = choose(None, tissue, annotations=None)
    assert places(choice, "") == [(100, 100), (200, 100), (100, 200), (200, 200)]
    assert {cut.share for cut in choice.cuts} == {None}


def test_the_cap_is_a_sample_by_slide_and_seed() -> None:
    shapes = Annotations((box("a", 0, 0, 560, 200), box("b", 0, 200, 200, 300)))
    first, again, other = (choose(shapes, max_per_class_per_slide=4, seed=seed) for seed in (1, 1, 2))
    assert first.cuts == again.cuts != other.cuts
    assert len(places(first, "a")) == 4 and len(places(first, "b")) == 2
    assert places(first, "a") == sorted(places(first, "a"), key=lambda xy: (xy[1], xy[0]))
    assert first.left_out == {"more than max_per_class_per_slide": 6}
    one = Annotations((box("a", 0, 0, 560, 200),))  # another label does not change the draw of this one
    assert places(choose(one, max_per_class_per_slide=4, seed=1), "a") == places(first, "a")
