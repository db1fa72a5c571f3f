"""Slides and pictures of any format to pyramidal OME-TIFF, one file after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt
import tifffile

from histonic.core.errors import HistonicError, OutputError, SettingsError, SlideError
from histonic.core.files import require_writable_folder
from histonic.core.notebooks.results import Result
from histonic.core.progress import Progress, heard, tell_slide
from histonic.core.settings import resolve
from histonic.data.maps.failures import MOST_ID_BYTES, Failure, names_a_file
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.slides.base import Slide, open_slide
from histonic.slides.damage import BROKEN
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.formats.tiff_ome import ome_facts, write_ome
from histonic.stages.convert.settings import ConvertKeywords, ConvertSettings

ENDING = ".ome.tif"
ROWS, COLUMNS = 256, 4096
"""Pixels that are read at a time; they stay together, so that no stored tile is decoded often."""
STEPS_PER_SLIDE = 100


@dataclass(repr=False)
class ConvertResult(Result):
    """What a conversion did.

    Attributes:
        out: The folder of the files.
        done: Slides converted now.
        skipped: Slides whose files were there already.
        failures: Slides that could not be converted.
    """

    out: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def convert(
    settings: ConvertSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ConvertKeywords],
) -> ConvertResult:
    """Write each slide as a tiled pyramidal OME-TIFF that OpenSlide and QuPath open.

    Files appear whole, by one rename. Those that the same slide and settings made are skipped, so the same
    command resumes after an interruption. A slide that fails is listed, and the run goes on. Label and
    overview pictures, and what the header says of the patient, are not copied.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slides=["fields"]``, ``out="slides"``, ``mpp=0.5``.

    Raises:
        SettingsError: A setting is wrong, or no slide was given.
        OutputError: The folder cannot be written, or the disk is full.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (900, 700), (200, 120, 180)).save(f"{folder}/a.png")
        ...     result = convert(slides=[f"{folder}/a.png"], out=f"{folder}/out", mpp=0.5)
        ...     with open_slide(f"{folder}/out/a.ome.tif") as slide:
        ...         result.done, slide.mpp, slide.size_wh
        (['a'], 0.5, WH(w=900, h=700))
    """
    resolved = resolve(ConvertSettings, settings, values)
    listener = heard(progress)
    if not resolved.slides:
        raise SettingsError(
            "Convert slides.", "No slide was given.", "Give slide files, folders or a CSV with a path column."
        )
    rows = read_slide_list(resolved.slides, resolved.slide_sheet, resolved.names)
    require_writable_folder(resolved.out)
    result = ConvertResult(resolved.out)
    listener.stage("convert", len(rows) * STEPS_PER_SLIDE)
    for row in rows:
        stage = "open"
        try:
            target = _target(row, resolved)
            with open_slide(row.path, mpp=row.mpp, default_mpp=resolved.mpp, reader=resolved.reader) as slide:
                facts = _facts(slide, resolved)
                if _is_made(row, target, facts, resolved):
                    result.skipped.append(row.slide_id)
                    listener.advance(STEPS_PER_SLIDE)
                    continue
                stage = "write"
                write_pyramid(
                    target,
                    _bands(slide, row.slide_id, listener),
                    mpp=slide.mpp,
                    size_wh=slide.size_wh,
                    quality=None if resolved.lossless else resolved.quality,
                    ome_xml=write_ome(row.slide_id, slide.size_wh, slide.mpp, facts),
                )
            result.done.append(row.slide_id)
            tell_slide(listener, row.slide_id)
        except Exception as error:
            if isinstance(error, OutputError) and error.is_full:
                raise
            reason = error.reason if isinstance(error, HistonicError) else f"{type(error).__name__}: {error}"
            result.failures.append(Failure(row.slide_id, str(row.path), stage, reason))
            tell_slide(listener, row.slide_id, reason)
            listener.say(f"{row.path}: failed at {stage}: {reason}")
    return result


def _target(row: SlideRow, settings: ConvertSettings) -> Path:
    if not names_a_file(row.slide_id):
        raise SlideError(
            f"Convert {row.path}.",
            f"Its slide_id {row.slide_id[:60]!r} cannot name a file.",
            f"Use an identifier of at most {MOST_ID_BYTES} bytes without slashes, that does not begin with a "
            "point.",
        )
    target = settings.out / f"{row.slide_id}{ENDING}"
    if target.exists() and isinstance(row.path, Path) and row.path.exists() and target.samefile(row.path):
        raise SlideError(
            f"Convert {row.path}.", "The result would take its place.", "Choose another folder with --out."
        )
    return target


def _facts(slide: Slide, settings: ConvertSettings) -> dict[str, str]:
    """What a file is made of, kept in it."""
    storage = "deflate" if settings.lossless else f"jpeg {settings.quality}"
    return {"source": slide.fingerprint, "mpp": f"{slide.mpp:.9g}", "storage": storage}


def _is_made(row: SlideRow, target: Path, facts: dict[str, str], settings: ConvertSettings) -> bool:
    """Whether the file is there; refuses one that was made otherwise."""
    if not target.exists():
        return False
    try:
        with tifffile.TiffFile(target) as tiff:
            found = ome_facts(tiff)
    except BROKEN:
        found = {}
    if found == facts:
        return True
    if settings.replace:
        return False
    if not found:
        other = "which this command has not made"
    elif found.get("source") != facts["source"]:
        other = "made of another file"
    else:
        other = ", ".join(f"{key} {found.get(key)}" for key in facts if found.get(key) != facts[key])
        other = f"made with {other}"
    raise SlideError(
        f"Convert {row.path}.",
        f"{target} is there, {other}.",
        "Choose another --out, give the slide another slide_id, or replace the file with --replace.",
    )


def _bands(slide: Slide, name: str, progress: Progress) -> Iterator[npt.NDArray[np.uint8]]:
    """The pixels of a slide from top to bottom."""
    wide, high = slide.size_wh
    shown = 0
    for top in range(0, high, ROWS):
        rows = min(ROWS, high - top)
        band = np.empty((rows, wide, 3), np.uint8)
        for left in range(0, wide, COLUMNS):
            columns = min(COLUMNS, wide - left)
            band[:, left : left + columns] = slide.read((left, top), (columns, rows), slide.mpp)
        yield band
        steps = (top + rows) * STEPS_PER_SLIDE // high - shown
        shown += steps
        progress.advance(steps, name)
