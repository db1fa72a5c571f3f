"""How the report's figures are drawn: one style, and the pieces that several figures share."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from histonic.stages.evaluate.curves import Bins, IncidenceGroup, RiskGroup
from histonic.stages.report.figures.marks import Mark, read_marks
from histonic.stages.report.wording import words

INK, PALE = "#333333", "#999999"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#8a5a9e", "#b08900", "#333333")
"""After Okabe and Ito, darkened where they would be too pale on white; told apart by line style as well."""
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)))
MARKS = "os^Dv"
SIZE_INCHES = (4.2, 3.95)
NAMES_INSIDE = 4
"""Names that a legend may have and still stand inside the axes."""
CLASSES_WITH_NUMBERS = 8
VECTOR_POINTS = 1500
"""A scatter of more points is drawn as pixels, so that the page stays small."""
STYLE = {
    "svg.hashsalt": "histonic",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "path.simplify": True,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Drawing:
    """A drawn figure.

    Attributes:
        svg: Its file.
        numbers: What is drawn in it.
        draw: Fills another figure, or a part of one, with the same.
        size_inches: Width and height that it is made for.
    """

    svg: bytes
    numbers: tuple[Mark, ...]
    draw: Callable[[Any], None]
    size_inches: tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """One figure of the page.

    Attributes:
        title: Heading above it.
        drawing: What is drawn.
        alt: What it shows, for readers who do not see it.
        caption: How to read it.
    """

    title: str
    drawing: Drawing
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.drawing.svg).decode("ascii")


def draw_figure(draw: Callable[[Figure], None], size_inches: tuple[float, float] = SIZE_INCHES) -> Drawing:
    """Draw on a fresh figure and return it as SVG, the same bytes each time, with the numbers drawn.

    Args:
        draw: Fills the figure.
        size_inches: Width and height.
    """
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size_inches, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=150)
    return Drawing(buffer.getvalue(), read_marks(figure), draw, size_inches)


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the index-th of several lines."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


def dot_style(index: int) -> dict[str, Any]:
    """Colour of the index-th of several sets of dots that no line joins."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": "", "fillstyle": "none"}


def short_name(text: str, width: int = 22) -> str:
    """A name that fits into a figure."""
    folded = shorten(text, width, placeholder="…")
    folded = f"{text[: width - 1]}…" if folded == "…" else folded
    # Matplotlib leaves names with an underscore in front out of its legends.
    return f" {folded}" if folded.startswith("_") else folded


def draw_unit_square(axes: Axes, x: str, y: str) -> None:
    """Axes from 0 to 100 % both ways, with their labels."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])


def place_legend(figure: Figure, axes: Axes, count: int, place: str, title: str | None = None) -> None:
    """Inside the axes while there is room, else below; see :func:`with_legend`."""
    if count <= NAMES_INSIDE:
        axes.legend(loc=place, title=title, handlelength=2.6, alignment="left")
    else:
        figure.legend(loc="outside lower center", ncols=2, title=title, handlelength=2.2, fontsize=9)


def name_width(count: int) -> int:
    """Letters of each of ``count`` names that fit into a legend."""
    return 22 if count <= NAMES_INSIDE else 14


def with_legend(count: int) -> tuple[float, float]:
    """Width and height in inches of a figure whose legend has ``count`` names."""
    rows = 0 if count <= NAMES_INSIDE else 1.5 + (count + 1) // 2
    return SIZE_INCHES[0], SIZE_INCHES[1] + 0.21 * rows


def draw_identity(axes: Axes, values: Any) -> None:
    """Equal axes over all values, and the line on which both are the same."""
    low, high = float(np.min(values)), float(np.max(values))
    room = 0.06 * (high - low) or 1.0
    ends = (low - room, high + room)
    axes.plot(ends, ends, color=PALE, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    axes.set(xlim=ends, ylim=ends, aspect="equal")


def draw_dots(axes: Axes, x: Any, y: Any) -> None:
    """One dot a patient."""
    many = len(x) > VECTOR_POINTS
    look: dict[str, Any] = {"markersize": 3, "alpha": 0.45} if many else {"markersize": 5.5, "alpha": 0.75}
    edge = "none" if many else "white"
    axes.plot(x, y, "o", color=COLOURS[0], markeredgecolor=edge, markeredgewidth=0.5, rasterized=many, **look)


def draw_numbers_at_risk(
    axes: Axes, groups: Sequence[RiskGroup | IncidenceGroup], at: Sequence[float], unit: str
) -> None:
    """A row of counts per group below the curves."""
    axes.set_ylim(len(groups) - 0.4, -0.7)
    axes.set_xticks(at, [words.compact(time) for time in at])
    axes.set_yticks(range(len(groups)), [group.name for group in groups])
    axes.tick_params(axis="y", length=0, pad=16)
    axes.spines["left"].set_visible(False)
    axes.set_title("Patients at risk", loc="left", fontsize=10.5, pad=2)
    axes.set_xlabel(f"Time ({short_name(unit)})")
    for row, group in enumerate(groups):
        for time, count in zip(at, group.at_risk, strict=True):
            axes.text(time, row, str(count), ha="center", va="center", clip_on=False)


def draw_cell_texts(axes: Axes, counts: Any, share: Any) -> None:
    """Counts, and shares while there is room, in the cells of a confusion matrix."""
    few = len(counts) <= CLASSES_WITH_NUMBERS
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count}\n{share[row, column]:.0%}".replace("%", " %") if few else str(count)
        size = 12 if len(counts) < 5 else 8
        axes.text(column, row, text, ha="center", va="center", fontsize=size)


def bin_pairs(bins: Bins) -> str:
    """Calibration bins in words: predicted and observed, patients in brackets."""
    return ", ".join(
        f"{words.significant(p, 2)} and {words.significant(o, 2)} ({n})"
        for p, o, n in zip(bins.predicted, bins.observed, bins.count, strict=True)
    )


def floats(values: Sequence[Any]) -> Any:
    """A list of report.json as an array, NaN where there is no number."""
    return np.array(values, dtype=np.float64)
