"""What is said of a set of tiles: where it is, what is known of it, how it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from histonic.core.task import TaskKind


@dataclass(frozen=True)
class TileSetPlan:
    """Where a set of tiles is, and what is known of it.

    Attributes:
        name: Of the set, and of its task if it has one label column.
        path: Folder per class (also below train, val, test), folder with ``tiles.csv``, CSV, or
            PatchCamelyon's HDF5 files.
        kind: Of the target; None: binary for two classes, else multiclass.
        label: Label columns; several make several tasks, named ``NAME.COLUMN``.
        classes: Their order, lowest first for ordinal; labels outside of them are refused.
        mpp: Microns per pixel as the source states them.
        assumed_mpp: Microns per pixel that are assumed where it states none.
        scale: ``mpp``: the centre of the tile, at the encoder's resolution; ``fill``: the whole tile.
        group: Column of the patient, slide or field; empty: none, each tile is its own.
        split: Column of train, val and test.
        path_column: Column of the file.
        licence: Of the tiles.
        duplicates: What to do about identical tiles in two splits or classes: refuse the set; or drop the
            training tile of a held-out one (val of test), also if it is turned or mirrored, and all copies of
            an image with two labels.
    """

    name: str
    path: Path
    kind: TaskKind | None = None
    label: tuple[str, ...] = ("label",)
    classes: tuple[str, ...] = ()
    mpp: float | None = None
    assumed_mpp: float | None = None
    scale: Literal["mpp", "fill"] = "mpp"
    group: str = "group"
    split: str = "split"
    path_column: str = "path"
    licence: str = "unknown"
    duplicates: Literal["refuse", "drop"] = "refuse"
