"""How many rows and columns of the result are computed at a time, so that a band fits into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.steps import steps_of
from histonic.nn.streaming.windows import Span

MOST_COMPUTED = 2
"""How many times as much strips may compute as the full width: columns at their edges are done twice."""
LEAST_COLUMNS = 8
"""Of a strip, so that there are not as many of them as columns."""


def tile_of_px(
    tile_px: int | tuple[int, int], image: tuple[int, int], result: tuple[int, int]
) -> tuple[int, int]:
    """Rows and columns of the result that come of so many pixels of the image, at least one.

    Example:
        >>> tile_of_px(100, (1000, 500), (125, 62))
        (12, 12)
    """
    asked = (tile_px, tile_px) if isinstance(tile_px, int) else tile_px
    rows, cols = (
        max(1, int(px / max(1, round(image[axis] / result[axis])))) for axis, px in enumerate(asked)
    )
    return rows, cols


def choose_tile(
    graph: Graph, sizes: Sequence[tuple[int, int]], channels: Sequence[int], width: int, most: int
) -> tuple[int, int]:
    """Rows and columns of the result at a time, so that all that is kept for gradients takes ``most`` bytes.

    That is what the layers of one band keep (:mod:`~histonic.nn.streaming.steps`: light ones nothing), and
    what each band hands on to the next, which is kept of all.
    Bands are over the full width and as high as fits; where nothing fits, of the height that needs the
    least. Where even the layers of one row are too much, the width is halved until a band fits; where none
    does before strips are a few columns wide, or their edges most of what is computed, it is cut as needs
    the least.

    Args:
        graph: What is computed.
        sizes: Rows and columns of each layer.
        channels: Of the inputs.
        width: Bytes of a number, times the maps in the batch.
        most: Bytes.

    Example:
        >>> from torch import nn
        >>> graph = Graph.of(nn.Conv2d(1, 2, 3))
        >>> choose_tile(graph, [(102, 102), (100, 100)], [1], 4, 10**6)
        (100, 100)
        >>> choose_tile(graph, [(102, 102), (100, 100)], [1], 4, 40_000)
        (50, 100)
        >>> choose_tile(graph, [(102, 102), (100, 100)], [1], 4, 400)
        (1, 50)
    """
    rows, cols = sizes[-1]
    line = [width * each for each in _channels(graph, channels)]
    row, handed = _reckoned(graph, sizes, line, 1)
    if row <= most:
        return _height(rows, row, handed, most), cols
    whole, strips, found = row, 1, []
    while row * strips <= MOST_COMPUTED * whole:
        height = _height(rows, row, strips * handed, most)
        need = row * height + strips * handed * (rows / height - 1)
        found.append((need, height, -(-cols // strips)))
        strips *= 2
        if need <= most or cols < strips * LEAST_COLUMNS:
            break
        row, handed = _reckoned(graph, sizes, line, strips)
    _, height, columns = min(found)
    return height, columns


def _height(rows: int, row: float, handed: float, most: int) -> int:
    """How many rows at a time: as many as fit, where nothing fits those that need the least.

    Args:
        rows: Of the result.
        row: Bytes that the layers of one row keep.
        handed: Bytes that a band hands on.
        most: Bytes.
    """
    left = most**2 - 4 * row * handed * rows
    height = (most + math.sqrt(left)) / (2 * row) if left >= 0 else math.sqrt(rows * handed / row)
    return min(rows, max(1, int(height)))


def _reckoned(
    graph: Graph, sizes: Sequence[tuple[int, int]], line: Sequence[int], strips: int
) -> tuple[float, float]:
    """Bytes that the layers of one row of the result keep, and those that a band hands on, of one strip.

    Args:
        graph: What is computed.
        sizes: Rows and columns of each layer.
        line: Bytes of a position of each layer.
        strips: In how many the width is cut; the one in the middle is looked at.
    """
    rows, cols = sizes[-1]
    wide = -(-cols // strips)
    middle = (cols - wide) // 2
    columns = graph.needed(Span(middle, middle + wide), [size[1] for size in sizes], 1)
    kept = {step.kept for step in steps_of(graph)}
    row, handed = 0.0, 0.0
    for number, each in enumerate(line):
        seen_again = (
            max((graph.layers[user].windows[0].extent for user in graph.users[number]), default=1) - 1
        )
        if number in kept:
            row += each * columns[number].size * sizes[number][0] / rows
        if number >= graph.inputs:
            handed += each * columns[number].size * seen_again
    return row, handed


def _channels(graph: Graph, given: Sequence[int]) -> list[int]:
    found = list(given)
    for layer in graph.layers[graph.inputs :]:
        below = [found[number] for number in layer.below]
        told = layer.rule.channels if layer.rule is not None else None
        joins = layer.rule is not None and layer.rule.joins
        found.append(told or (sum(below) if joins else max(below)))
    return found
