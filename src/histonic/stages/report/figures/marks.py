"""The numbers of a figure, read from what was drawn: no figure can be without them, nor have others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

COLUMNS = ("panel", "x_axis", "y_axis", "series", "kind", "x", "y", "low", "high", "text")


@dataclass(frozen=True)
class Mark:
    """One row of a figure's numbers.

    Attributes:
        panel: Number of the axes, the first 1.
        x_axis: Label of its x axis.
        y_axis: Label of its y axis.
        series: What the legend calls it; else ``line 1``, ``band 1`` and so on.
        kind: ``point`` of a line or cloud, ``band`` with both ends, ``interval`` upright or level, ``cell``
            of a matrix, or a ``text`` at a place.
        x: Place; of a level interval its middle.
        y: Place; of an upright interval its middle.
        low: Lower end of a band or interval.
        high: Upper end.
        text: What is written there; of a level of a named axis its name.
    """

    panel: int
    x_axis: str
    y_axis: str
    series: str
    kind: Literal["point", "band", "interval", "cell", "text"]
    x: float | None = None
    y: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""

    def row(self) -> list[object]:
        """Its cells in the order of :data:`COLUMNS`; empty where there is no number."""
        numbers = ["" if each is None else each for each in (self.x, self.y, self.low, self.high)]
        return [self.panel, self.x_axis, self.y_axis, self.series, self.kind, *numbers, self.text]


def read_marks(figure: Figure) -> tuple[Mark, ...]:
    """All lines, clouds, bands, intervals, cells and texts of a drawn figure.

    Args:
        figure: After it was drawn.

    Example:
        >>> figure = Figure()
        >>> _ = figure.subplots().plot([0, 1], [2, 3], label="loss")
        >>> [(mark.series, mark.x, mark.y) for mark in read_marks(figure)]
        [('loss', 0.0, 2.0), ('loss', 1.0, 3.0)]
    """
    return tuple(mark for panel, axes in enumerate(figure.axes, start=1) for mark in _of_axes(panel, axes))


def _of_axes(panel: int, axes: Axes) -> Iterator[Mark]:
    labels = axes.get_xlabel(), axes.get_ylabel()
    names = {
        round(float(place), 9): label.get_text()
        for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=False)
        if label.get_text() and not _is_number(label.get_text())
    }
    for number, line in enumerate(axes.lines, start=1):
        name = _named(line.get_label(), f"line {number}")
        x, y = (np.asarray(each, dtype=np.float64) for each in line.get_data(orig=False))
        for one, other in zip(x, y, strict=True):
            if np.isfinite([one, other]).all():
                text = names.get(round(float(other), 9), "")
                yield Mark(panel, *labels, name, "point", float(one), float(other), text=text)
    bands = intervals = 0
    for found in axes.collections:
        if isinstance(found, PolyCollection):
            bands += 1
            yield from _of_band(panel, labels, _named(found.get_label(), f"band {bands}"), found)
        elif isinstance(found, LineCollection):
            intervals += 1
            yield from _of_segments(panel, labels, _named(found.get_label(), f"interval {intervals}"), found)
    for image in axes.images:
        values = np.asarray(image.get_array(), dtype=np.float64)
        if values.ndim == 2:
            for (row, column), value in np.ndenumerate(values):
                yield Mark(
                    panel, *labels, "share", "cell", float(column), float(row), text=f"{float(value):.9g}"
                )
    for written in axes.texts:
        place = written.get_position()
        said = " ".join(written.get_text().split())
        yield Mark(panel, *labels, "written", "text", float(place[0]), float(place[1]), text=said)


def _is_number(text: str) -> bool:
    plain = text.replace("−", "-").replace("%", "").strip()
    try:
        float(plain)
    except ValueError:
        return False
    return True


def _named(label: object, other: str) -> str:
    text = str(label)
    return other if text.startswith("_") else text


def _of_band(panel: int, labels: tuple[str, str], name: str, band: PolyCollection) -> Iterator[Mark]:
    ends: dict[float, list[float]] = {}
    for path in band.get_paths():
        vertices: Any = path.vertices
        for x, y in vertices:
            if np.isfinite([x, y]).all():
                ends.setdefault(float(x), []).append(float(y))
    for x in sorted(ends):
        yield Mark(panel, *labels, name, "band", x, low=min(ends[x]), high=max(ends[x]))


def _of_segments(panel: int, labels: tuple[str, str], name: str, found: LineCollection) -> Iterator[Mark]:
    for segment in found.get_segments():
        first, last = np.asarray(segment, dtype=np.float64)[[0, -1]]
        upright = abs(first[0] - last[0]) <= abs(first[1] - last[1])
        ends = sorted(float(each) for each in ((first[1], last[1]) if upright else (first[0], last[0])))
        x, y = (float(each) for each in (first + last) / 2)
        yield Mark(panel, *labels, name, "interval", x, y, ends[0], ends[1])
