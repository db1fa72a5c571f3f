"""The values of an explanation: where their colours end, and the highest and lowest of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from histonic.core.errors import StoreError
from histonic.data.maps.cell_maps import read_cell_map

ROBUST = 99.0
"""Percentile of the size of values at which colours end, so that one cell does not pale all others."""


def colour_scale(values: npt.NDArray[np.float32], signed: bool) -> tuple[float, float]:
    """Values at the two ends of the colours.

    Example:
        >>> colour_scale(np.array([[-1.0, 1.0]], np.float32), True)
        (-1.0, 1.0)
    """
    known = values[np.isfinite(values)]
    most = float(np.percentile(np.abs(known), ROBUST)) if len(known) else 0.0
    most = most or float(np.abs(known).max(initial=0.0)) or 1.0
    return (-most, most) if signed else (0.0, most)


def greatest_value(folder: Path) -> float | None:
    """Size at which colours of one slide's map would end; None if the map cannot be read.

    Args:
        folder: Of one explanation.
    """
    try:
        cells = read_cell_map(folder / "values.zarr")
    except StoreError:
        return None
    known = cells.values[np.isfinite(cells.values)]
    return colour_scale(cells.values, True)[1] if known.any() else 0.0


def common_scale(folders: Iterable[Path]) -> float:
    """Size at which the colours of all maps of a target end, so that no slide's are cut off; 1 if all are 0.

    Args:
        folders: Of all explanations of the target by one method.
    """
    return max((greatest_value(folder) or 0.0 for folder in folders), default=0.0) or 1.0


def choose_cells(
    values: npt.NDArray[np.float32], count: int, *, signed: bool = False
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The cells of highest and of lowest value, no cell in both, the most extreme first.

    Args:
        values: ``(R, K)``, NaN on glass.
        count: Of each, at most; half of the cells if there are fewer.
        signed: Only cells below 0 are lowest. Highest are only cells above 0 in any case.

    Example:
        >>> choose_cells(np.array([[3.0, np.nan, 1.0, 2.0]], np.float32), 1)
        ([(0, 0)], [(0, 2)])
        >>> choose_cells(np.array([[3.0, np.nan, 1.0, 2.0]], np.float32), 1, signed=True)
        ([(0, 0)], [])
    """
    cells = np.argwhere(np.isfinite(values))
    order = np.argsort(-values[cells[:, 0], cells[:, 1]], kind="stable")
    count = min(count, len(cells) // 2)
    ranked = [(int(row), int(col)) for row, col in cells[order]]
    highest, lowest = ranked[:count], ranked[::-1][:count]
    lowest = [cell for cell in lowest if values[cell] < 0] if signed else lowest
    return [cell for cell in highest if values[cell] > 0], lowest
