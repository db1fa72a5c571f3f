"""What is said of a set of tiles: where it is, what is known of it, how it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from histonic.core.documents import read_yaml
from histonic.core.errors import SettingsError
from histonic.core.settings import Settings, make_settings

DECLARATION = "set.yaml"
"""File in a folder of tiles that says what 'sets:' would say; 'histonic tiles extract' writes it."""


class TileSetSettings(Settings):
    """One set of labelled tiles: where it is, what is known of it, and how it is used.

    Attributes:
        name: Of the set, and of its task if it has one label column.
        path: Folder per class (also below train, val, test), folder with ``tiles.csv``, CSV, or
            PatchCamelyon's HDF5 files.
        kind: Of the target; None: binary for two classes, else multiclass.
        label: Label columns; several make several tasks, named ``NAME.COLUMN``.
        classes: Their order, lowest first for ordinal; labels outside of them are refused.
        mpp: Microns per pixel as the source states them.
        assumed_mpp: Microns per pixel that are assumed where it states none.
        scale: ``mpp``: the centre of the tile, at the encoder's resolution; ``fill``: the whole tile, blown
            up or made smaller; ``compose``: a crop of a small object at its true scale, on tissue.
        rest: Of a composed set, the class that shows none of the objects: its crops are the tissue.
        background: Of a composed set, pictures of tissue (fields), or folders of them.
        background_mpp: Their microns per pixel.
        views: Of a composed set, tiles made of each crop.
        group: Column of the patient, slide or field; empty: none, each tile is its own.
        split: Column of train, val and test.
        group_pattern: Regular expression whose group (the one called ``group``, else the first), in a tile's
            path below the set's folder, is its group; for sets whose table or folders name none.
        only: Regular expression: only tiles whose path below the set's folder it fits.
        path_column: Column of the file.
        licence: Of the tiles.
        duplicates: What to do about identical tiles in two splits or classes: refuse the set; or drop the
            training tile of a held-out one (val of test), also if it is turned or mirrored, and all copies of
            an image with two labels.
        related: Sets that share this word are left out together.
    """

    name: str = Field(description="Name of the task in results.")
    path: Path = Field(description="Folder per class, folder with tiles.csv, CSV, or PatchCamelyon .h5.")
    kind: Literal["binary", "multiclass", "ordinal", "regression"] | None = Field(
        default=None, description="Kind of target; by default binary for two classes, else multiclass."
    )
    label: tuple[str, ...] = Field(
        default=("label",), description="Label column; several for several labels a tile."
    )
    classes: tuple[str, ...] = Field(default=(), description="Class names in order; needed for ordinal.")
    mpp: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Microns per pixel, as its source states it."
    )
    assumed_mpp: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Microns per pixel that is assumed where the source states none.",
    )
    scale: Literal["mpp", "fill", "compose"] = Field(
        default="mpp",
        description="fill: the whole tile fills the encoder's tile, whatever its mpp; compose: crops of "
        "small objects at their true scale, on tissue.",
    )
    rest: str = Field(
        default="", description="With compose: class without the objects; its crops are the tissue."
    )
    background: tuple[Path, ...] = Field(
        default=(), description="With compose: pictures of tissue, or folders."
    )
    background_mpp: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Microns per pixel of the pictures of tissue."
    )
    views: int = Field(default=1, ge=1, le=1_000, description="With compose: tiles made of each crop.")
    group: str = Field(default="group", description="Column of the group: patient, slide or field.")
    split: str = Field(default="split", description="Column of the split: train, val, test.")
    group_pattern: str = Field(
        default="",
        description="Regular expression whose group, in a tile's path, is its group (patient, slide).",
    )
    only: str = Field(default="", description="Regular expression: only tiles whose path it fits.")
    path_column: str = Field(default="path", description="Column of the file.")
    licence: str = Field(default="unknown", description="Licence of the tiles, for the model card.")
    duplicates: Literal["refuse", "drop"] = Field(
        default="refuse", description="Identical tiles in two splits or classes: refuse, or drop."
    )
    related: str = Field(default="", description="Related sets share this word; they are left out together.")


def declare(path: Path, mpp: float | None) -> TileSetSettings:
    """The settings of a set given by its path alone: its ``set.yaml``, or its name and ``mpp``.

    Raises:
        SettingsError: ``set.yaml`` cannot be read or holds an unknown key.
    """
    file = path / DECLARATION
    if not file.is_file():
        return TileSetSettings(name=path.stem, path=path, mpp=mpp)
    todo = "Correct it, or use 'sets:'."
    values = read_yaml(file, SettingsError, todo)
    if not isinstance(values or {}, dict):
        raise SettingsError(f"Read {file}.", "It holds no keys.", todo)
    known = {key: value for key, value in dict(values or {}).items() if key in TileSetSettings.model_fields}
    return make_settings(TileSetSettings, {"name": path.name, **known, "path": path}, str(file))
