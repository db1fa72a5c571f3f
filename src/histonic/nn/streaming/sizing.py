"""How many rows and columns of the result are computed at a time, so that a band fits into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.steps import steps_of


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
    Bands are over the full width and as high as fits. Where nothing fits, the height that needs the least;
    narrower strips only where the layers of a band of one row are too much.

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
    found = _channels(graph, channels)
    kept = {step.kept for step in steps_of(graph)}
    row, handed = 0.0, 0.0
    for number in range(len(graph.layers)):
        line = width * found[number] * sizes[number][1]
        seen_again = (
            max((graph.layers[user].windows[0].extent for user in graph.users[number]), default=1) - 1
        )
        if number in kept:
            row += line * sizes[number][0] / rows
        if number >= graph.inputs:
            handed += line * seen_again
    if row > most:
        return 1, max(1, int(cols * most // row))
    left = most**2 - 4 * row * handed * rows
    height = (most + math.sqrt(left)) / (2 * row) if left >= 0 else math.sqrt(rows * handed / row)
    return min(rows, max(1, int(height))), cols


def _channels(graph: Graph, given: Sequence[int]) -> list[int]:
    found = list(given)
    for layer in graph.layers[graph.inputs :]:
        below = [found[number] for number in layer.below]
        told = layer.rule.channels if layer.rule is not None else None
        joins = layer.rule is not None and layer.rule.joins
        found.append(told or (sum(below) if joins else max(below)))
    return found
