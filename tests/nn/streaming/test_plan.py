"""Bands: every row once, and what is handed on is what is looked at again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.plan import cut
from histonic.nn.streaming.windows import Span

CHAIN = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 5, 2), nn.MaxPool2d(3, 1, 1))


def test_a_plan_by_hand():
    graph = Graph.of(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)))
    plan = cut(graph, graph.sizes([(12, 12)]), (4, 8))
    assert [band.new for band in plan.bands] == [
        (Span(0, 6), Span(0, 4), Span(0, 2)),
        (Span(6, 12), Span(4, 9), Span(2, 6)),
        (Span(12, 12), Span(9, 10), Span(6, 8)),
    ]
    # The second band looks at two rows of each map again.
    assert plan.bands[0].handed[:2] == (Span(4, 6), Span(2, 4))
    assert plan.bands[1].kept == plan.bands[0].handed
    assert [strip.columns for strip in plan.strips] == [(Span(0, 12), Span(0, 10), Span(0, 8))]


def test_no_layer_runs_ahead_so_that_bands_take_the_same_memory():
    deep = nn.Sequential(*(nn.Conv2d(1, 1, 9, padding=4) for _ in range(6)))
    graph = Graph.of(deep)
    plan = cut(graph, graph.sizes([(100, 100)]), (10, 100))
    assert max(span.size for band in plan.bands for span in band.new) <= 10
    assert plan.bands[0].new[-1].size == 0


@given(st.integers(8, 60), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_rows_are_computed_once_and_columns_cover_the_map(side, rows, cols):
    graph = Graph.of(CHAIN)
    plan = cut(graph, graph.sizes([(side, side)]), (rows, cols))
    for number in range(len(graph.layers)):
        edges = [0, *(band.new[number].stop for band in plan.bands)]
        assert [band.new[number] for band in plan.bands] == [Span(*pair) for pair in pairwise(edges)]
        for before, after in pairwise(plan.bands):
            assert after.kept[number] == before.handed[number]
    assert {col for strip in plan.strips for col in range(*strip.columns[-1])} == set(
        range(plan.sizes[-1][1])
    )
