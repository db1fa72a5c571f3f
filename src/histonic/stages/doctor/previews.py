"""The pictures of the doctor: one file for one slide or a sheet of several, or a folder with one each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from histonic.core.errors import SettingsError
from histonic.core.files import require_writable_folder
from histonic.core.places.frames import FrameTable
from histonic.core.places.urls import Place
from histonic.data.maps.shares import TissueOutlier
from histonic.data.names import PICTURE_EXTENSIONS
from histonic.data.tables.slide_lists import SlideRow
from histonic.stages.compress.inspection import Inspected
from histonic.stages.compress.preview import MOST_ON_SHEET, Panel, write_preview, write_sheet

SUFFIX = ".png"


@dataclass
class Previews:
    """Draws what the doctor looked at.

    Attributes:
        path: As given.
        count: Slides of the command.
    """

    path: Path
    count: int
    _panels: list[Panel] = field(default_factory=list)
    _drawn: int = 0

    @classmethod
    def at(cls, path: Path, rows: Sequence[SlideRow], given: Sequence[Place | FrameTable]) -> Previews:
        """Previews of some slides, after a look at where they are to lie.

        Args:
            path: A PNG file, or a folder.
            rows: The slides.
            given: Files and folders that the slides came from.

        Raises:
            SettingsError: It is neither, would lie among the slides or replace one, or so many do not fit.
            OutputError: It cannot be written.
        """
        asked = f"Draw previews into {path}."
        if not rows:
            raise SettingsError(
                asked, "No slide was given.", "Give slide files or a folder, or leave it out."
            )
        is_file = path.suffix.lower() == SUFFIX
        if not is_file and path.suffix and not path.is_dir():
            raise SettingsError(
                asked, f"It is a {path.suffix} file.", f"Give a name that ends with {SUFFIX}, or a folder."
            )
        if is_file and path.is_dir():
            raise SettingsError(asked, "It is a folder.", "Give a folder without suffix, or another name.")
        if is_file and len(rows) > MOST_ON_SHEET:
            raise SettingsError(
                asked,
                f"{len(rows):,} slides do not fit on one sheet of {MOST_ON_SHEET}.",
                "Give a folder instead, for one picture a slide.",
            )
        folder = path.parent if is_file else path
        _require_apart(asked, path, folder, rows, given)
        require_writable_folder(folder)
        return cls(path, len(rows))

    def take(self, looked: Inspected) -> None:
        """Draw a slide, or keep it for the sheet.

        Raises:
            OutputError: The disk is full, or the picture cannot be written.
        """
        self._drawn += 1
        if self.path.suffix.lower() != SUFFIX:
            write_preview(self.path / f"{looked.row.slide_id}{SUFFIX}", looked)
        elif self.count == 1:
            write_preview(self.path, looked)
        else:
            self._panels.append(Panel.of(looked))

    def finish(self, outliers: Sequence[TissueOutlier]) -> str:
        """Write the sheet, if it is one; what was drawn, in words.

        Raises:
            OutputError: It cannot be written.
        """
        if self._panels:
            write_sheet(self.path, self._panels, outliers)
        if not self._drawn:
            return "no slide could be drawn, so nothing was written"
        without = self.count - self._drawn
        drawn = "1 slide" if self._drawn == 1 else f"{self._drawn} slides"
        return f"{drawn} drawn" + (f", {without} could not be read" if without else "")


def _require_apart(
    asked: str, path: Path, folder: Path, rows: Sequence[SlideRow], given: Sequence[Place | FrameTable]
) -> None:
    """Refuse to write over a slide, or among slides of a folder, where a preview would be taken for one."""
    # In a folder of slides in other formats pictures are passed over (see read_slide_list).
    files = [row.path.resolve() for row in rows if isinstance(row.path, Path)]
    pictures = [file for file in files if file.suffix.lower() in PICTURE_EXTENSIONS]
    around = [each.resolve() for each in given if isinstance(each, Path) and each.is_dir()]
    around = [each for each in around if any(each in picture.parents for picture in pictures)]
    place = folder.resolve()
    slides = {*files} | {row.mask.resolve() for row in rows if row.mask}
    if path.resolve() in slides:
        raise SettingsError(asked, "That is one of the slides.", "Give another name.")
    if any(place == each or each in place.parents for each in around):
        raise SettingsError(
            asked,
            "It would lie among the slides, and be taken for one of them.",
            "Give a file or folder elsewhere.",
        )
    if path != folder:
        return
    written = {(place / f"{row.slide_id}{SUFFIX}") for row in rows}
    if taken := sorted(written & slides):
        raise SettingsError(
            asked, f"{taken[0].name} lies there, which is a slide or mask.", "Give another folder."
        )
