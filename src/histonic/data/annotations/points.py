"""Points in a CSV, as challenges on mitoses ship them: a row a point, with or without a header."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from histonic.core.errors import MaskError, TableError
from histonic.core.units import XY
from histonic.data.annotations.shapes import Annotations, Point
from histonic.data.tables.formats.csv import Rows, read_csv_rows
from histonic.data.tables.values import to_number
from histonic.slides.tissue.polygons import UNCLASSIFIED

PointsOrder = Literal["row,column", "x,y"]
"""What the first two columns of a file without a header are."""
X_NAMES = ("x", "coord_x", "col", "column")
Y_NAMES = ("y", "coord_y", "row")
CLASS_NAMES = ("class", "label", "classification", "category")
MOST_COLUMNS = 3
"""Of a file without header: both coordinates, and a confidence that is not used."""


def read_points(file: Path, asked: str, order: PointsOrder | None) -> Annotations:
    r"""Read points in level-0 pixels from a CSV; an empty file says that there are none.

    A header names the columns: x and y, or row and column (``coord_x``, ``col`` ... too), and the class if
    there is one. Without a header the first two columns are what ``order`` says; nothing is guessed, since
    in a square field either order looks right. A third column of numbers is a confidence and is not used.

    Args:
        file: The file.
        asked: What was asked, for messages.
        order: Of the columns where there is no header; None: nobody says.

    Raises:
        MaskError: It is no table; a cell is no coordinate; its columns are not known.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "01.csv").write_text("1208,345\n")
        ...     read_points(Path(folder, "01.csv"), "Read it.", "row,column").points[0].xy
        XY(x=345.0, y=1208.0)
    """
    rows = _rows(file, asked)
    if not rows:
        return Annotations()
    first = rows[0][1]
    if has_header(rows):
        return _by_header(rows, [cell.strip().lower() for cell in first], asked)
    if order is None:
        raise MaskError(
            asked,
            f"It has no header (its first row is {', '.join(first)}), and nobody says which column is x.",
            "Say it: --points-order row,column (TUPAC16, AMIDA13) or --points-order x,y.",
        )
    widest = max(len(cells) for _, cells in rows)
    if widest > MOST_COLUMNS:
        raise MaskError(
            asked,
            f"It has no header and {widest} columns; points have two, and maybe a confidence.",
            "Add a header that names x and y, or row and column.",
        )
    at_x, at_y = (1, 0) if order == "row,column" else (0, 1)
    return Annotations(
        points=tuple(Point(UNCLASSIFIED, _xy(cells, at_x, at_y, row, asked)) for row, cells in rows)
    )


def is_without_class(file: Path, asked: str) -> bool:
    """Whether a file of points says no class, so that the user has to.

    Raises:
        MaskError: It is no table.
    """
    rows = _rows(file, asked)
    named = has_header(rows) and any(cell.strip().lower() in CLASS_NAMES for cell in rows[0][1])
    return bool(rows) and not named


def has_header(rows: Rows) -> bool:
    """Whether the first row holds words."""
    return bool(rows) and any(cell and to_number(cell) is None for cell in rows[0][1])


def _rows(file: Path, asked: str) -> Rows:
    if not file.stat().st_size:
        return []
    try:
        return read_csv_rows(file)[0]
    except TableError as error:
        raise MaskError(asked, error.found, error.todo) from error


def _by_header(rows: Rows, names: list[str], asked: str) -> Annotations:
    found_x = [names.index(name) for name in X_NAMES if name in names]
    found_y = [names.index(name) for name in Y_NAMES if name in names]
    if len(found_x) != 1 or len(found_y) != 1:
        what = "names several columns" if found_x and found_y else "does not name both coordinates"
        raise MaskError(
            asked,
            f"Its header {what}: {', '.join(names)}.",
            "Name one column x (or column) and one y (or row), in level-0 pixels.",
        )
    label = next((names.index(name) for name in CLASS_NAMES if name in names), None)
    points = []
    for row, cells in rows[1:]:
        name = cells[label].strip() if label is not None and len(cells) > label else ""
        points.append(Point(name or UNCLASSIFIED, _xy(cells, found_x[0], found_y[0], row, asked)))
    return Annotations(points=tuple(points))


def _xy(cells: Sequence[str], at_x: int, at_y: int, row: int, asked: str) -> XY:
    numbers = [to_number(cells[at]) if at < len(cells) else None for at in (at_x, at_y)]
    if any(number is None or not math.isfinite(number) or number < 0 for number in numbers):
        raise MaskError(
            asked,
            f"Row {row} is {', '.join(cells)}, which is no point.",
            "Give coordinates in level-0 pixels, not below 0, with a decimal point.",
        )
    return XY(*(float(number) for number in numbers if number is not None))


def require_inside(points: Sequence[Point], size_wh: tuple[int, int], asked: str) -> None:
    """Refuse points beside the slide: a sign of rows taken for columns, or of another image's file.

    Raises:
        MaskError: Names the first such point, and says if all would lie inside the other way round.
    """
    width, height = size_wh
    outside = [point.xy for point in points if not (point.xy.x < width and point.xy.y < height)]
    if not outside:
        return
    turned = all(point.xy.y < width and point.xy.x < height for point in points)
    raise MaskError(
        asked,
        f"{len(outside)} of {len(points)} point(s) lie beside the image of {width} x {height} px, the first "
        f"at x {outside[0].x:g}, y {outside[0].y:g}.",
        "With row and column exchanged all would lie inside: correct --points-order (or the header)."
        if turned
        else "Is it the file of another image?",
    )
