"""Which mask from outside belongs to a slide, and the tissue of a slide as masks and settings say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from histonic.core.errors import MaskError, SettingsError
from histonic.core.files import hash_of
from histonic.core.settings import MaskSettings, TissueSettings
from histonic.data.names import slide_name
from histonic.data.tables.slide_lists import SlideRow
from histonic.slides.base import Slide
from histonic.slides.tissue.finder import Found, find_tissue, look_for_tissue
from histonic.slides.tissue.masks import read_tissue_mask
from histonic.slides.tissue.rule import TissueMask, TissueRule

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".geojson")


class MaskedSettings(Protocol):
    """Settings that say where tissue comes from."""

    @property
    def tissue(self) -> TissueSettings:
        """What counts as tissue."""

    @property
    def mask(self) -> MaskSettings:
        """What in masks is tissue."""

    @property
    def names(self) -> str:
        """What slides are called that no table names."""


def require_sensible_masks(
    rows: Iterable[SlideRow], settings: MaskedSettings, folder: Path | None = None
) -> None:
    """Refuse masks that cannot be meant, before any slide is opened.

    Args:
        rows: All slides.
        settings: With the rule of the tissue.
        folder: Of the masks, if one was given.

    Raises:
        SettingsError: The folder is absent or holds no mask of any slide; there are masks beside ``--tissue
            all``; or values or classes are chosen where there is no mask.
    """
    if folder is not None and not folder.is_dir():
        found = "That is a file" if folder.exists() else "There is no such folder"
        raise SettingsError(
            f"Take masks of {folder}.", f"{found}.", "Give the folder with the masks as --masks."
        )
    listed = list(rows)
    paths = ((row, find_mask(row, folder, settings.names)) for row in listed)
    masked = next(((row, path) for row, path in paths if path is not None), None)
    if settings.tissue.source == "all" and (masked or folder is not None):
        mask = f"A mask is given for {masked[0].slide_id}: {masked[1]}" if masked else "--masks is given, too"
        raise SettingsError(
            "Take every cell as tissue (--tissue all).",
            f"{mask}.",
            "Leave out --tissue all, so that masks say what is tissue, or leave out the masks.",
        )
    if masked or not listed:
        return
    if folder is not None:
        first = listed[0]
        raise SettingsError(
            f"Take masks of {folder}.",
            f"It holds no mask of any slide: for {first.slide_id}, {_looked_for(first, folder, settings)}.",
            "Name masks like the slides, or leave out --masks.",
        )
    if settings.mask != MaskSettings():
        raise SettingsError(
            "Take chosen values or classes of masks as tissue.",
            "No slide has a mask.",
            "Give masks (--masks, or the column mask of a slide table), or leave the choice out.",
        )


def find_mask(row: SlideRow, folder: Path | None, names: str = "file") -> Path | None:
    """The mask of a slide: that of its table, else the file in the folder that is named like it."""
    if row.mask is not None or folder is None:
        return row.mask
    return next((path for path in _candidates(row, folder, names) if path.is_file()), None)


def mask_of(row: SlideRow, settings: MaskedSettings, folder: Path | None = None) -> Path | None:
    """The mask that says what is tissue on a slide; None if nothing but the slide does.

    Raises:
        MaskError: Every slide needs a mask and it has none, or none may have one and it does.
    """
    path = find_mask(row, folder, settings.names)
    if path is None and settings.tissue.source == "masks":
        raise MaskError(
            f"Take the tissue of {row.path} from its mask.",
            f"It has none, and --tissue masks needs one: {_looked_for(row, folder, settings)}.",
            "Add the mask, leave the slide out, or have tissue found where there is none: --tissue auto.",
        )
    if path is not None and settings.tissue.source == "all":
        raise MaskError(
            f"Take every cell of {row.path} as tissue.",
            f"--tissue all takes every cell, but it has the mask {path}.",
            "Leave out --tissue all or the mask.",
        )
    return path


def found_and_hash(
    slide: Slide, row: SlideRow, settings: MaskedSettings, folder: Path | None = None
) -> tuple[Found, str | None]:
    """The tissue of a slide with its ink and density, and the hash of the mask file that says so, if any.

    Raises:
        MaskError: The mask cannot be used, or should not be there, or should.
        UnreadableSlideError: The pixels are damaged.
    """
    given = _given_tissue(slide, row, settings, folder)
    rule = TissueRule.of(settings.tissue)
    if given is None:
        return look_for_tissue(slide, rule), None
    return replace(look_for_tissue(slide, replace(rule, everything=True)), tissue=given[0]), given[1]


def tissue_and_hash(
    slide: Slide, row: SlideRow, settings: MaskedSettings, folder: Path | None = None
) -> tuple[TissueMask, str | None]:
    """The same without ink and density, for which the slide need not be looked at if there is a mask.

    Raises:
        MaskError: The mask cannot be used, or should not be there, or should.
        UnreadableSlideError: The pixels are damaged.
    """
    given = _given_tissue(slide, row, settings, folder)
    return given or (find_tissue(slide, TissueRule.of(settings.tissue)), None)


def _given_tissue(
    slide: Slide, row: SlideRow, settings: MaskedSettings, folder: Path | None
) -> tuple[TissueMask, str] | None:
    """What the mask of a slide says, and the hash of its file; None if there is none."""
    path = mask_of(row, settings, folder)
    if path is None:
        return None
    mask_hash = hash_of_mask(path, row)
    return read_tissue_mask(path, slide, settings.mask), mask_hash


def hash_of_mask(path: Path, row: SlideRow) -> str:
    """Hash of a mask file.

    Raises:
        MaskError: It cannot be read.
    """
    try:
        return hash_of(path)
    except OSError as error:
        raise MaskError(
            f"Read the mask {path} of {row.path}.", f"{error.strerror}.", "Check the mask column or --masks."
        ) from error


def _candidates(row: SlideRow, folder: Path, names: str) -> list[Path]:
    return [folder / f"{name}{suffix}" for name in _mask_names(row, names) for suffix in MASK_SUFFIXES]


def _mask_names(row: SlideRow, names: str) -> list[str]:
    beside = [str(PurePosixPath(row.place).parent / slide_name(row.place))] if "/" in row.place else []
    return [*(beside if names == "path" else ()), row.slide_id]


def _looked_for(row: SlideRow, folder: Path | None, settings: MaskedSettings) -> str:
    if folder is None:
        return "no slide table names one in its column mask, and no folder of masks was given"
    named = " nor ".join(_mask_names(row, settings.names))
    return f"{folder} holds no {named} with the ending {', '.join(MASK_SUFFIXES[:-1])} or {MASK_SUFFIXES[-1]}"
