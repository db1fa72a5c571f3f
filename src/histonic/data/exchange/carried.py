"""What histonic writes of a map beside its features, so that it can be had back as it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import CompressedSlide
from histonic.core.documents import parse_document
from histonic.core.errors import SlideError
from histonic.data.exchange.tile_features import Carried, Floats, Rows, unreadable
from histonic.data.maps.facts import MapFacts

KEY = "histonic"
"""Of the attribute, or column, that holds it."""
FORMAT = "histonic-exchange-1"
_ANEW = "Export the store again, or take the attribute 'histonic' away to read the file as any other."


def carried_text(facts: MapFacts, xy: npt.NDArray[Any], rows: Rows) -> str:
    """What is written beside the rows of a map.

    Args:
        facts: Of the map; only the upright codes are exported, and so they say.
        xy: Positions as they are written.
        rows: Features in the same order.
    """
    settings = facts.settings.model_copy(update={"orientations": 1})
    upright = facts.model_copy(update={"settings": settings, "cells": 0, "members": "", "content": ""})
    values = {"format": FORMAT, "map": upright.to_dict(), "rows": rows_hash(xy, rows)}
    return json.dumps(values, sort_keys=True)


def read_carried(text: Any, slide_id: str, path: Path) -> Carried | None:
    """The inverse of :func:`carried_text`; None where nothing is carried.

    Raises:
        SlideError: It is damaged or of another version.
    """
    if text is None:
        return None
    try:
        values = json.loads(text)
        format_, rows = values["format"], str(values["rows"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise unreadable(slide_id, path, f"Its attribute 'histonic' is damaged: {error}.", _ANEW) from error
    if format_ != FORMAT:
        raise unreadable(slide_id, path, f"Its attribute 'histonic' is of the format {format_!r}.", _ANEW)
    return Carried(parse_document(MapFacts, values.get("map"), path, SlideError, _ANEW), rows)


def require_same_rows(carried: Carried, xy: Floats, rows: Rows, slide_id: str, path: Path) -> None:
    """Refuse features that are not those that were exported.

    Raises:
        SlideError: Positions or features were changed, taken away or put in another order.
    """
    if rows_hash(xy, rows) != carried.rows:
        raise unreadable(slide_id, path, "Its rows are not those that histonic exported.", _ANEW)


def rows_hash(xy: npt.NDArray[Any], rows: Rows) -> str:
    """Hash of positions (in float32, which all forms hold) and features."""
    digest = hashlib.sha256(np.ascontiguousarray(xy, dtype=np.float32).tobytes())
    digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()


def carried_cells(carried: Carried, tiles: int, xy: Floats, unit: str) -> npt.NDArray[np.int64] | None:
    """The cells ``(N, 2)`` of exported tiles on the map's own grid; None if one lies on no cell of it."""
    grid = carried.facts.grid
    scale = grid.slide_mpp if unit == "um" else 1.0
    places = (xy - np.asarray(grid.origin_xy, np.float64) * scale) / (grid.stride_level0 * scale)
    cells = np.floor(places + 0.5).astype(np.int64)[:, ::-1]
    inside = bool(tiles) and (cells >= 0).all() and (cells < np.array(grid.shape)).all()
    single = inside and len(np.unique(cells, axis=0)) == tiles
    return cells if single else None


def upright_note(slide: CompressedSlide) -> str:
    """What an export leaves out of a map; empty if nothing."""
    return "" if slide.orientations is None else "codes of turned tiles are not exported"
