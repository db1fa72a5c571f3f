"""One band of a strip: from rows of the inputs and what the band before handed on, to rows of the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.layers import Part
from histonic.nn.streaming.plan import Band, Cut, Strip, rows_at_hand
from histonic.nn.streaming.steps import Step
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
    graph: Graph,
    steps: Sequence[Step],
    plan: Cut,
    band: Band,
    strip: Strip,
    pieces: Sequence[Tensor],
    kept: Mapping[int, Tensor],
) -> tuple[Tensor | None, Handed]:
    """Compute one band.

    Args:
        graph: What is computed.
        steps: Its layers.
        plan: How the map is cut.
        band: Its rows.
        strip: Its columns.
        pieces: Of the inputs, see :func:`input_places`.
        kept: What the band before handed on.

    Returns:
        The new rows of the result, None if there are none yet, and copies of what the band after this needs.
    """
    walk = _Walk(graph, plan, band, strip)
    values: dict[int, Tensor | None] = dict(enumerate(pieces))
    running = [step for step in steps if any(walk.computes(number) for number in step.layers)]
    left = Counter(below for step in running for below in step.below)
    handed: Handed = {}
    for step in steps:
        given = [
            *(values.get(below) for below in step.below),
            *(kept.get(number) for number in step.layers),
        ]
        if step.again and torch.is_grad_enabled():
            # It ends as soon as what is needed is there again: the convolution at the end is not repeated.
            found = checkpoint(walk.run, step, *given, use_reentrant=False, preserve_rng_state=False)
        else:
            found = walk.run(step, *given)
        values[step.kept] = found[0]
        handed.update(found[1])
        if step in running:
            left.subtract(step.below)
        for number in (*step.below, step.kept):
            if not left[number] and number != len(graph.layers) - 1:
                values[number] = None  # freed as soon as nothing looks at it any more
    return (values[len(graph.layers) - 1] if band.new[-1].size else None), handed


class _Walk:
    """Computes the steps of one band of a strip."""

    def __init__(self, graph: Graph, plan: Cut, band: Band, strip: Strip) -> None:
        self.graph = graph
        self.plan = plan
        self.band = band
        self.strip = strip

    def computes(self, number: int) -> bool:
        """Whether there are new rows of a layer."""
        return bool(self.band.new[number].size and self.strip.columns[number].size)

    def run(self, step: Step, *given: Tensor | None) -> tuple[Tensor | None, Handed]:
        """The map of a step's last layer, as far as it is looked at, and rows that its layers hand on.

        Args:
            step: Its layers.
            given: Maps of the layers below, then what the band before handed on of its own layers.
        """
        values = dict(zip(step.below, given, strict=False))
        kept = dict(zip(step.layers, given[len(step.below) :], strict=True))
        handed: Handed = {}
        for number in step.layers:
            value = kept[number]
            if self.computes(number):
                made = self._compute(number, values)
                value = made if value is None else torch.cat([value, made], 2)
                del made
            values[number] = value
            for below in self.graph.layers[number].below:
                if below in step.layers:
                    values.pop(below, None)  # nothing else looks at it
            rows = self.band.handed[number]
            if value is not None and rows.size and number != len(self.graph.layers) - 1:
                # Copied, since a view would keep the whole band.
                first = rows.start - rows_at_hand(self.band, number).start
                handed[number] = value.narrow(2, first, rows.size).clone()
        return values[step.kept], handed

    def _compute(self, number: int, values: dict[int, Tensor | None]) -> Tensor:
        layer = self.graph.layers[number]
        if layer.rule is None:
            raise AttributeError(layer.name)
        spans = (self.band.new[number], self.strip.columns[number])
        needs = [window.needs(span) for window, span in zip(layer.windows, spans, strict=True)]
        given, pads, sizes = [], (0, 0, 0, 0), (0, 0)
        for below in layer.below:
            sizes = self.plan.sizes[below]
            rows, cols = (need.within(side) for need, side in zip(needs, sizes, strict=True))
            pads = (*_missing(needs[0], rows), *_missing(needs[1], cols))
            corner = (rows_at_hand(self.band, below).start, self.strip.columns[below].start)
            given.append(_piece(values[below], rows, cols, corner))
        return layer.rule.compute(given, Part(spans, sizes, pads))


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
