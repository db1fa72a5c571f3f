"""How a map is cut: strips of columns, each walked in bands of rows, and what of a band the next one needs.

Rows are never computed twice: what the next band needs of a layer is handed on. Columns at the edge of a
strip are computed by both neighbours; there is one strip unless a single row does not fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.windows import NONE, Span, hull


@dataclass(frozen=True)
class Band:
    """Rows of each layer while one band is computed.

    Attributes:
        kept: Handed on by the band before; of an input, rows that are looked at again.
        new: Computed now, next to those.
        handed: Needed by the band after this.
    """

    kept: tuple[Span, ...]
    new: tuple[Span, ...]
    handed: tuple[Span, ...]


@dataclass(frozen=True)
class Strip:
    """Columns of each layer, the same in all bands of a strip."""

    columns: tuple[Span, ...]


@dataclass(frozen=True)
class Cut:
    """How a map is cut.

    Attributes:
        sizes: Rows and columns of each layer's whole map.
        bands: From the top to the bottom.
        strips: From the left to the right.
    """

    sizes: tuple[tuple[int, int], ...]
    bands: tuple[Band, ...]
    strips: tuple[Strip, ...]


def cut(graph: Graph, sizes: Sequence[tuple[int, int]], tile: tuple[int, int]) -> Cut:
    """Cut a map so that bands and strips are for about so many rows and columns of the result.

    Args:
        graph: What is computed.
        sizes: Rows and columns of each layer.
        tile: Rows and columns of the result at a time.
    """
    rows, cols = sizes[-1]
    widths = [size[1] for size in sizes]
    strips = [
        Strip(tuple(graph.needed(Span(left, min(left + tile[1], cols)), widths, 1)))
        for left in range(0, cols, tile[1])
    ]
    bands = _bands(graph, [size[0] for size in sizes], -(-rows // tile[0]))
    return Cut(tuple(sizes), tuple(bands), tuple(strips))


def _bands(graph: Graph, heights: Sequence[int], count: int) -> list[Band]:
    """Bands that each take in as many rows of the inputs, and compute in every layer what these allow.

    So layers far from the result do not run ahead of it in the first band, and all bands take the same
    memory; the first ones may have no row of the result yet, the last ones no row of the inputs: layers that
    see far lag behind, and would all be left to the last band.
    """
    done = [0] * len(graph.layers)
    kept = [NONE] * len(graph.layers)
    most = [-(-height // count) for height in heights]
    bands = []
    number = 0
    while done != list(heights):
        number += 1
        reach = _reach(graph, heights, done, min(1, number / count), most)
        if reach == done:
            continue
        new = [Span(before, after) for before, after in zip(done, reach, strict=True)]
        handed = [_handed(graph, heights, layer, new[layer], reach) for layer in range(len(graph.layers))]
        bands.append(Band(tuple(kept), tuple(new), tuple(handed)))
        done, kept = reach, handed
    return bands


def _reach(
    graph: Graph, heights: Sequence[int], done: Sequence[int], share: float, most: Sequence[int]
) -> list[int]:
    """Up to which row each layer can be computed when a share of the inputs' rows is there.

    Args:
        graph: Of the layers.
        heights: Rows of each.
        done: How many of them there are.
        share: Of the inputs' rows.
        most: How many more of each layer at most.
    """
    reach = [max(1, round(share * height)) for height in heights[: graph.inputs]]
    for number in range(graph.inputs, len(graph.layers)):
        layer = graph.layers[number]
        possible = [layer.windows[0].reach(reach[below], heights[below]) for below in layer.below]
        reach.append(max(done[number], min(heights[number], done[number] + most[number], *possible)))
    return reach


def _handed(graph: Graph, heights: Sequence[int], number: int, new: Span, reach: Sequence[int]) -> Span:
    """Rows of a layer up to its last one that layers above look at again."""
    first = new.stop
    for user in graph.users[number]:
        if reach[user] < heights[user]:
            ahead = graph.layers[user].windows[0].needs(Span(reach[user], heights[user]))
            first = min(first, ahead.nearest(heights[number]).start)
    return Span(first, new.stop) if first < new.stop else NONE


def rows_at_hand(band: Band, number: int) -> Span:
    """Rows of a layer that are there while a band is computed."""
    return hull([band.kept[number], band.new[number]])
