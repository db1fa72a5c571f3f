"""One band of a strip: from rows of the inputs and what the band before handed on, to rows of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.layers import Part
from histonic.nn.streaming.plan import Band, Cut, Strip, rows_at_hand
from histonic.nn.streaming.windows import Span

Handed = dict[int, Tensor]
"""Rows by the number of their layer."""


@dataclass(frozen=True)
class Place:
    """Where a piece of an input lies: which input, its rows and its columns."""

    number: int
    rows: Span
    cols: Span

    def of(self, whole: Tensor) -> Tensor:
        """The piece of a whole map, not copied."""
        return whole[:, :, self.rows.start : self.rows.stop, self.cols.start : self.cols.stop]


def input_places(graph: Graph, band: Band, strip: Strip) -> list[Place]:
    """Which pieces of the inputs a band needs; of an input that nothing looks at, an empty one."""
    return [
        Place(number, rows_at_hand(band, number), strip.columns[number]) for number in range(graph.inputs)
    ]


def walk_band(
    graph: Graph, plan: Cut, band: Band, strip: Strip, pieces: Sequence[Tensor], kept: Mapping[int, Tensor]
) -> tuple[Tensor | None, Handed]:
    """Compute one band.

    Args:
        graph: What is computed.
        plan: How the map is cut.
        band: Its rows.
        strip: Its columns.
        pieces: Of the inputs, see :func:`input_places`.
        kept: What the band before handed on.

    Returns:
        The new rows of the result, None if there are none yet, and what the band after this needs.
    """
    values: list[Tensor | None] = list(pieces)
    left = _uses(graph, band, strip)
    for number in range(graph.inputs, len(graph.layers)):
        layer = graph.layers[number]
        spans = (band.new[number], strip.columns[number])
        if not (spans[0].size and spans[1].size):
            values.append(kept.get(number))
            continue
        needs = [window.needs(span) for window, span in zip(layer.windows, spans, strict=True)]
        given, pads, sizes = [], (0, 0, 0, 0), (0, 0)
        for below in layer.below:
            sizes = plan.sizes[below]
            rows, cols = (need.within(side) for need, side in zip(needs, sizes, strict=True))
            pads = (*_missing(needs[0], rows), *_missing(needs[1], cols))
            corner = (rows_at_hand(band, below).start, strip.columns[below].start)
            piece = _piece(values[below], rows, cols, corner)
            given.append(piece)
            left[below] -= 1
            if not left[below] and not band.handed[below].size:
                values[below] = None  # freed as soon as nothing looks at it any more
        if layer.rule is None:
            raise AttributeError(layer.name)
        made = layer.rule.compute(given, Part(spans, sizes, pads))
        before = kept.get(number)
        values.append(made if before is None else torch.cat([before, made], 2))
    handed = {}
    for number in range(graph.inputs, len(graph.layers) - 1):
        rows, value = band.handed[number], values[number]
        if rows.size and strip.columns[number].size and value is not None:
            handed[number] = value.narrow(2, rows.start - rows_at_hand(band, number).start, rows.size)
    return (values[-1] if band.new[-1].size else None), handed


def _uses(graph: Graph, band: Band, strip: Strip) -> list[int]:
    """How often each layer is looked at in a band."""
    found = [0] * len(graph.layers)
    for number in range(graph.inputs, len(graph.layers)):
        if band.new[number].size and strip.columns[number].size:
            for below in graph.layers[number].below:
                found[below] += 1
    return found


def _missing(need: Span, there: Span) -> tuple[int, int]:
    """How many positions have to be filled in before and after those that are there."""
    if not there.size:  # a window that lies wholly in what is filled in
        return need.size, 0
    return there.start - need.start, need.stop - there.stop


def _piece(value: Tensor | None, rows: Span, cols: Span, corner: tuple[int, int]) -> Tensor:
    if value is None:
        raise AttributeError("a layer looks at rows that were not computed")
    top, left = rows.start - corner[0], cols.start - corner[1]
    if not rows.size or not cols.size:
        return value[:, :, : rows.size, : cols.size]
    if (top, left, rows.size, cols.size) == (0, 0, value.shape[2], value.shape[3]):
        return value
    return value[:, :, top : top + rows.size, left : left + cols.size]
