"""Copies of DataFrames beside the results that were made of them, so that these can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from histonic.core.errors import OutputError
from histonic.core.places.frames import FrameTable
from histonic.core.settings import Settings
from histonic.data.tables.files import store_table

S = TypeVar("S", bound=Settings)
RESULTS = ("settings.yaml", "run.json", "audit.json", "external.json")
"""One of them lies in a folder where a result was made before."""


def with_copies(settings: S, folder: Path | None) -> S:
    """The settings, in which each DataFrame has a place for its copy: ``FOLDER/FIELD.csv``.

    Args:
        settings: Of a verb; saved beside its result they name the copies.
        folder: Of the result; None where nothing is kept.
    """
    if folder is None:
        return settings
    held = {name: getattr(settings, name) for name in type(settings).model_fields}
    copies = {
        name: value.stored_at(folder / f"{name}.csv")
        for name, value in held.items()
        if isinstance(value, FrameTable)
    }
    return settings.model_copy(update=copies) if copies else settings


def store_copies(settings: Settings, folder: Path | None = None) -> list[Path]:
    """Write the copies that the settings name.

    Args:
        settings: From :func:`with_copies`.
        folder: Where the result is made at first, if it is renamed to its own place when it is whole.

    Returns:
        The files.

    Raises:
        TableError: A table would be another one as a file.
        OutputError: A file cannot be written.
    """
    written = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, FrameTable) and value.copy is not None:
            place = value.copy if folder is None else folder / value.copy.name
            if place.exists() and not any((place.parent / each).exists() for each in RESULTS):
                raise OutputError(
                    f"Keep a copy of the table {name!r} as {place}.",
                    "Another file of that name lies there, and no result of histonic beside it.",
                    "Give another --out.",
                )
            store_table(value.stored_at(place))
            written.append(place)
    return written
