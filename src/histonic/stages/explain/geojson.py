"""An explanation as GeoJSON for QuPath: outlines of cells of alike rank, and every cell with its value."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from histonic.core.compressed import CellMap
from histonic.core.grid import TileGrid
from histonic.slides.outlines import BoolGrid, rings

MOST_POLYGONS = 5000
"""In one file; the largest are kept. QuPath becomes slow beyond some ten thousand."""
NAMESPACE = uuid.UUID("6f1c1a52-6a55-5d2c-9a3b-6b1f0f5a7a11")


@dataclass(frozen=True)
class Level:
    """Cells of one range of ranks.

    Attributes:
        name: Class in QuPath.
        colour: Red, green, blue.
        low: Share of the tissue cells below the range.
        high: Share of the tissue cells up to its end.
        sign: 1: only positive values; -1: only negative ones; 0: all.
    """

    name: str
    colour: tuple[int, int, int]
    low: float
    high: float
    sign: int = 0


def signed_levels(name: str) -> tuple[Level, ...]:
    """Levels of a map whose positive cells speak for ``name`` and whose negative ones speak against it."""
    return (
        Level(f"for {name}: highest 5 %", (179, 88, 6), 0.95, 1.0, 1),
        Level(f"for {name}: highest 5 to 20 %", (241, 163, 64), 0.80, 0.95, 1),
        Level(f"against {name}: lowest 5 to 20 %", (103, 169, 207), 0.05, 0.20, -1),
        Level(f"against {name}: lowest 5 %", (33, 102, 172), 0.0, 0.05, -1),
    )


def levels_for(name: str) -> tuple[Level, ...]:
    """The same where no cell can speak against it."""
    return signed_levels(name)[:2]


ATTENTION_LEVELS = (
    Level("attention: highest 5 %", (179, 88, 6), 0.95, 1.0),
    Level("attention: highest 5 to 20 %", (241, 163, 64), 0.80, 0.95),
)


def cells_geojson(cells: CellMap, levels: tuple[Level, ...]) -> dict[str, Any]:
    """A FeatureCollection that QuPath opens beside the slide.

    Cells of a level that touch become one annotation, locked, with its class, colour and measurements: the
    mean, least and greatest value, the number of cells, and the area in square millimetres. Of very
    scattered maps the :data:`MOST_POLYGONS` largest groups are kept.

    Args:
        cells: The explanation.
        levels: Which cells are drawn.

    Example:
        >>> grid = TileGrid.over((512, 256), slide_mpp=0.5, tile_px=256, mpp=0.5)
        >>> cells = CellMap("a", np.array([[-1.0, 1.0]], np.float32), grid, "")
        >>> found = cells_geojson(cells, signed_levels("x"))
        >>> found["features"][0]["geometry"]["coordinates"]
        [[[256, 0], [512, 0], [512, 256], [256, 256], [256, 0]]]
    """
    kept = _largest([level_cells(cells.values, level) for level in levels])
    features = [
        feature
        for level, inside in zip(levels, kept, strict=True)
        for feature in _features(cells, level, inside)
    ]
    features.sort(key=lambda feature: -feature["properties"]["measurements"]["cells"])
    return {"type": "FeatureCollection", "features": features}


def tiles_geojson(cells: CellMap, name: str) -> dict[str, Any]:
    """A FeatureCollection of tile objects, one a cell, for QuPath's measurement maps.

    Each has the measurements ``name`` (the value) and ``name, rank`` (the share of cells with a lower or
    equal value), so that the files of several targets can be opened on one slide.

    Args:
        cells: The explanation.
        name: Of the value, such as ``msi: for yes``.

    Example:
        >>> grid = TileGrid.over((512, 256), slide_mpp=0.5, tile_px=256, mpp=0.5)
        >>> cells = CellMap("a", np.array([[np.nan, 1.0]], np.float32), grid, "")
        >>> (found,) = tiles_geojson(cells, "msi: for yes")["features"]
        >>> found["properties"]["objectType"], found["properties"]["measurements"]
        ('tile', {'msi: for yes': 1.0, 'msi: for yes, rank': 1.0})
    """
    places = np.argwhere(np.isfinite(cells.values))
    values = cells.values[tuple(places.T)]
    ranks = np.searchsorted(np.sort(values), values, "right") / max(len(values), 1)
    side = cells.grid.tile_side_level0
    features = []
    for (row, col), value, rank in zip(places.tolist(), values.tolist(), ranks.tolist(), strict=True):
        left, top = cells.grid.cell_xy((row, col))
        ring = [(left, top), (left + side, top), (left + side, top + side), (left, top + side), (left, top)]
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(NAMESPACE, f"{cells.slide_id}/tile/{row}/{col}")),
                "geometry": {"type": "Polygon", "coordinates": [[_inside(cells.grid, *xy) for xy in ring]]},
                "properties": {
                    "objectType": "tile",
                    "measurements": {
                        name: float(f"{value:.6g}"),
                        f"{name}, rank": float(f"{rank:.6g}"),
                    },
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _largest(levels: list[BoolGrid]) -> list[BoolGrid]:
    """Each level, reduced to its part of the :data:`MOST_POLYGONS` largest groups of cells."""
    if not levels:
        return []
    labels = [ndimage.label(inside) for inside in levels]
    sizes = [np.bincount(pieces.ravel(), minlength=count + 1)[1:] for pieces, count in labels]
    order = np.argsort(-np.concatenate(sizes), kind="stable")
    keep = np.zeros(len(order), bool)
    keep[order[:MOST_POLYGONS]] = True
    parts = np.split(keep, np.cumsum([count for _, count in labels])[:-1])
    return [np.append(False, part)[pieces] for (pieces, _), part in zip(labels, parts, strict=True)]


def level_cells(values: npt.NDArray[np.float32], level: Level) -> BoolGrid:
    """``(R, K)``: which cells belong to a level; equal values are never parted."""
    tissue = np.isfinite(values)
    ranked = np.sort(values[tissue])
    if level.sign < 0:
        smaller = np.searchsorted(ranked, values, "left") / max(len(ranked), 1)
        inside = (smaller >= level.low) & (smaller < level.high) & (values < 0)
    else:
        upto = np.searchsorted(ranked, values, "right") / max(len(ranked), 1)
        inside = (upto > level.low) & (upto <= level.high)
        if level.sign > 0:
            inside &= values > 0
    return inside & tissue


def _features(cells: CellMap, level: Level, inside: BoolGrid) -> Iterator[dict[str, Any]]:
    pieces, _ = ndimage.label(inside)
    boxes = ndimage.find_objects(pieces)
    for number, (shape, box) in enumerate(zip(rings(inside), boxes, strict=True), start=1):
        values = cells.values[box][pieces[box] == number]
        area = len(values) * (cells.grid.cell_um / 1000) ** 2
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(NAMESPACE, f"{cells.slide_id}/{level.name}/{shape[0][0]}")),
            "geometry": {
                "type": "Polygon",
                "coordinates": [[_corner(cells.grid, x, y) for x, y in ring] for ring in shape],
            },
            "properties": {
                "objectType": "annotation",
                "isLocked": True,
                "classification": {"name": level.name, "color": list(level.colour)},
                "measurements": {
                    "mean value": float(f"{values.mean():.6g}"),
                    "least value": float(f"{values.min():.6g}"),
                    "greatest value": float(f"{values.max():.6g}"),
                    "cells": len(values),
                    "area mm^2": round(area, 6),
                },
            },
        }


def _corner(grid: TileGrid, x: int, y: int) -> list[float]:
    """A corner of the lattice in level-0 pixels, not beyond the slide."""
    return _inside(grid, *grid.square_xy((y, x)))


def _inside(grid: TileGrid, x: float, y: float) -> list[float]:
    """A point in level-0 pixels, not beyond the slide."""
    inside = (min(max(x, 0), grid.slide_wh.w), min(max(y, 0), grid.slide_wh.h))
    return [int(each) if float(each).is_integer() else round(each, 2) for each in inside]
