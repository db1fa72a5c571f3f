"""Bands are as high as the memory allows."""

from __future__ import annotations

import pytest
from torch import nn

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.plan import cut
from histonic.nn.streaming.sizing import choose_tile, tile_of_px

LAYERS = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))


def chosen(most: int, side: int = 256) -> tuple[int, int]:
    graph = Graph.of(LAYERS)
    return choose_tile(graph, graph.sizes([(side, side)]), [3], 4, most)


def test_more_memory_makes_higher_bands_up_to_the_whole():
    heights = [chosen(most)[0] for most in (10**5, 3 * 10**5, 10**6, 10**7)]
    assert heights == sorted(heights) and heights[0] < heights[-1] == 64
    assert all(chosen(most)[1] == 64 for most in (10**5, 10**7))


def test_where_one_row_is_too_much_strips_are_narrower():
    assert chosen(12_288)[1] == 64  # what the layers of one row keep
    assert 1 < chosen(10_000)[1] < 64


@pytest.mark.parametrize("most", [1, 1000, 30_000])
def test_below_one_row_the_edges_of_strips_are_not_most_of_what_is_computed(most):
    """Nine convolutions see 19 columns: of strips one column wide nearly all would be computed many times."""
    graph = Graph.of(nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(9))))
    sizes = graph.sizes([(512, 512)])
    plan = cut(graph, sizes, choose_tile(graph, sizes, [2], 4, most))
    computed = sum(strip.columns[number].size for strip in plan.strips for number in range(1, 10))
    assert len(plan.strips) > 1 and computed <= 2 * 9 * 512
    # Bands of one row would hand on twice as many rows as there are.
    assert len(plan.bands) <= 512 / 16


def test_what_is_reckoned_is_what_is_kept():
    """One row of the result: by hand, in numbers of 4 bytes."""
    # Per row of the result: 2 rows of 8 x 128 (conv), 16 x 64; what ReLU makes of them is computed again.
    per_row = 4 * (2 * 8 * 128 + 16 * 64)
    handed = 4 * (2 * 8 * 128)
    height = 10
    most = per_row * height + handed * 64 / height
    assert chosen(round(most) + 1) == (height, 64)


@pytest.mark.parametrize(("px", "wanted"), [(1, (1, 1)), (64, (16, 16)), ((128, 10_000), (32, 2500))])
def test_pixels_are_rounded_down_to_the_stride(px, wanted):
    assert tile_of_px(px, (1024, 1024), (256, 256)) == wanted
