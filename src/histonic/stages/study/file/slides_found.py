"""What slides there are, and what has to be said before they can be compressed."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from histonic.core.errors import HistonicError, MissingMppError, TableError
from histonic.core.places.urls import Place
from histonic.core.processes.cores import usable_cores
from histonic.core.processes.threads import mapped_by_threads
from histonic.core.progress import Progress
from histonic.core.units import MOST_ENLARGEMENT
from histonic.data.names import SLIDE_EXTENSIONS
from histonic.data.tables.slide_lists import Names, SlideRow, find_slides, read_slide_list
from histonic.encoders.base import EncoderSpec
from histonic.slides.base import open_slide

MOST_OPENED = 200
"""Slides whose headers are read."""
MOST_FILLED_IN = 1.5
"""So many times slides are enlarged without being asked, if all of them need it; as is then said."""
NOT_SLIDES = ("mask", "annotation", "thumb", "overlay", "preview", "label")
"""In names of folders that hold pictures of another kind."""


@dataclass(frozen=True)
class SlidesFound:
    """The slides of a study.

    Attributes:
        given: Files, folders and tables that name them.
        names: What slides are called that no table names.
        rows: The slides.
        opened: How many of them were opened.
        without_mpp: Of those, slides that do not say their resolution.
        unreadable: Of those, slides that cannot be read, with the reason.
        mpps: Microns per pixel of the others, as counted.
        notes: What stands out, a sentence each.
        enlarged: How many times all of them have to be enlarged for the encoder; None if they need not.
    """

    given: tuple[Place, ...]
    names: Names
    rows: tuple[SlideRow, ...]
    opened: int = 0
    without_mpp: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    mpps: tuple[tuple[float, int], ...] = ()
    notes: tuple[str, ...] = ()
    enlarged: float | None = None


def guess_slides(folder: Path, apart: Path) -> list[Path]:
    """Folders beside a file that hold slides.

    Args:
        folder: Of the file.
        apart: What is made by the study.

    Returns:
        The folder itself if slides lie in it; else those folders in it that hold slides, or, if there are
        none, pictures.
    """
    here = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if any(path.is_file() and path.suffix.lower() in SLIDE_EXTENSIONS for path in here):
        return [folder]
    inside = {path: find_slides(path) for path in here if path.is_dir() and path.resolve() != apart.resolve()}
    inside = {path: files for path, files in inside.items() if files and not _is_other(path)}
    real = [path for path, files in inside.items() if files[0].suffix.lower() in SLIDE_EXTENSIONS]
    return real or list(inside)


def _is_other(folder: Path) -> bool:
    return any(word in folder.name.lower() for word in NOT_SLIDES)


def find_study_slides(
    given: Sequence[Place],
    spec: EncoderSpec,
    *,
    mpp: float | None,
    names: Names,
    sheet: str | None,
    progress: Progress,
) -> SlidesFound:
    """List slides, open them, and see what is missing.

    Args:
        given: Files, URLs, folders, tables.
        spec: Of the encoder.
        mpp: Microns per pixel where a header does not say.
        names: What slides are called that no table names.
        sheet: Of tables of slides in Excel.
        progress: Advances once a slide.

    Raises:
        SettingsError: A file is not there, or a folder holds no slide.
        TableError: A table of slides is wrong, or two slides have one name however they are called.
    """
    notes = []
    try:
        rows = read_slide_list(given, sheet, names)
    except TableError as error:
        if names == "path" or "--names path" not in error.todo:
            raise
        rows, names = read_slide_list(given, sheet, "path"), "path"
        notes.append(
            "Slides in several folders have the same file name, so that folders belong to the names."
        )
    some = _spread(rows)
    progress.stage("open slides", len(some))
    without, unreadable, mpps = [], [], Counter[float]()
    looked = mapped_by_threads(lambda row: _mpp_of(row, mpp), some, threads=usable_cores())
    with closing(looked), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row, found in zip(some, looked, strict=True):
            if isinstance(found, MissingMppError):
                without.append(row.slide_id)
            elif isinstance(found, Exception):
                reason = (
                    found.reason if isinstance(found, HistonicError) else f"{type(found).__name__}: {found}"
                )
                unreadable.append(f"{row.slide_id}: {' '.join(reason.split())}")
            else:
                mpps[round(found, 3)] += 1
            progress.advance(1, row.slide_id)
    coarse = sum(count for each, count in mpps.items() if each > spec.mpp * MOST_ENLARGEMENT)
    times = math.ceil(100 * max(mpps, default=0.0) / spec.mpp) / 100
    if coarse:
        kept = coarse == sum(mpps.values()) and times <= MOST_FILLED_IN
        notes.append(
            f"{coarse} slides are coarser than the tiles of the encoder ({spec.mpp:g} µm/px) by up to "
            f"{times:g} times: "
            + (
                "all of them are, so that they are enlarged; that adds no detail."
                if kept
                else "they are refused unless most_enlargement allows it, which adds no detail."
            )
        )
    return SlidesFound(
        tuple(given),
        names,
        tuple(rows),
        len(some),
        tuple(without),
        tuple(unreadable),
        tuple(sorted(mpps.items())),
        tuple(notes),
        times if coarse and kept else None,
    )


def _mpp_of(row: SlideRow, mpp: float | None) -> float | Exception:
    try:
        with open_slide(row.path, mpp=row.mpp, default_mpp=mpp) as slide:
            return float(slide.mpp)
    except Exception as error:  # noqa: BLE001 - told beside the others, as a compression does
        return error


def _spread(rows: Sequence[SlideRow]) -> list[SlideRow]:
    if len(rows) <= MOST_OPENED:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (MOST_OPENED - 1))] for number in range(MOST_OPENED)]
