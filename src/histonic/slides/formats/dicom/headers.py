"""What the headers of a DICOM series say: which files are the slide, and whether all of it is there."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.filereader import read_partial

from histonic.core.errors import UnreadableSlideError
from histonic.slides.damage import BROKEN, can_come_from
from histonic.slides.resolution import HeaderMpp, assess_mpp
from histonic.slides.sources.series import series_files

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
PER_FRAME = 0x52009230
PIXELS = 0x7FE00000
SAME_PLACE_MM = 0.02
MOST_TILES = 50_000_000
NEEDED = {
    "SOPInstanceUID": "the identifier of the image (SOP Instance UID)",
    "ImageType": "what it shows (Image Type: the slide, or its label)",
    "Rows": "the height of a tile (Rows)",
    "Columns": "the width of a tile (Columns)",
    "TotalPixelMatrixColumns": "the width of the slide (Total Pixel Matrix Columns)",
    "TotalPixelMatrixRows": "the height of the slide (Total Pixel Matrix Rows)",
    "SamplesPerPixel": "the number of colours (Samples per Pixel)",
    "PhotometricInterpretation": "the kind of colours (Photometric Interpretation)",
    "BitsAllocated": "the depth of the colours (Bits Allocated)",
}
SPACING = "the size of a pixel (Pixel Spacing)"
LEVEL, BESIDE = "VOLUME", ("LABEL", "OVERVIEW", "THUMBNAIL")
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_JPEG_2000 = ("RGB", "YBR_ICT", "YBR_RCT")
_TRANSFORMED = {
    JPEG_BASELINE: ("RGB", "YBR_FULL_422", "YBR_FULL"),
    "1.2.840.10008.1.2.4.90": _JPEG_2000,
    "1.2.840.10008.1.2.4.91": _JPEG_2000,
    "1.2.840.10008.1.2.4.201": _JPEG_2000,
    "1.2.840.10008.1.2.4.202": _JPEG_2000,
    "1.2.840.10008.1.2.4.203": _JPEG_2000,
}
"""Colours that the decoder of a transfer syntax turns into RGB; of the others RGB alone is read."""


@dataclass(frozen=True)
class DicomFile:
    """One file of the slide, as its header describes it.

    Attributes:
        path: The file.
        header: Its elements before those of each frame.
        kind: VOLUME for a level, else LABEL, OVERVIEW or THUMBNAIL.
    """

    path: Path
    header: Any
    kind: str

    def number(self, name: str, default: int = 0) -> int:
        """A whole number of the header."""
        value = getattr(self.header, name, None)
        return default if value is None else int(value)

    @property
    def wh(self) -> tuple[int, int]:
        """Size of the level in pixels."""
        return self.number("TotalPixelMatrixColumns"), self.number("TotalPixelMatrixRows")

    @property
    def tile_wh(self) -> tuple[int, int]:
        """Size of a tile in pixels."""
        return self.number("Columns"), self.number("Rows")

    @property
    def tile_bytes(self) -> int:
        """Bytes of a decoded tile."""
        return self.tile_wh[0] * self.tile_wh[1] * 3

    @property
    def frames(self) -> int:
        """How many tiles the file holds."""
        return self.number("NumberOfFrames", 1)

    @property
    def image(self) -> str:
        """The image it is a part of: its own identifier, or that of the concatenation."""
        source = getattr(self.header, "SOPInstanceUIDOfConcatenationSource", None)
        return str(source or self.header.SOPInstanceUID)

    @property
    def is_full(self) -> bool:
        """Whether tiles are stored without places, row by row."""
        return str(getattr(self.header, "DimensionOrganizationType", "")) == "TILED_FULL"

    @property
    def corner(self) -> tuple[float, float] | None:
        """Where the level begins on the glass, millimetres; None if it does not say."""
        try:
            origin = self.header.TotalPixelMatrixOriginSequence[0]
            return float(origin.XOffsetInSlideCoordinateSystem), float(origin.YOffsetInSlideCoordinateSystem)
        except (AttributeError, LookupError, TypeError, ValueError):
            return None

    def shows_area_of(self, finest: DicomFile) -> bool:
        """Whether it is the finest level, or that made smaller: of its place and shape."""
        ratios = [mine / its for mine, its in zip(finest.wh, self.wh, strict=True)]
        # Sizes are rounded to whole pixels, or to whole tiles, which shows on small levels.
        slack = 0.02 + 1.0 / min(self.wh)
        if abs(ratios[0] - ratios[1]) > slack * ratios[0]:
            return False
        if self.corner is None or finest.corner is None:
            return True
        far = max(abs(mine - its) for mine, its in zip(self.corner, finest.corner, strict=True))
        pixel_mm = (header_mpp(self).mpp or 0.0) / 1000
        return far <= max(SAME_PLACE_MM, 2 * pixel_mm)

    @property
    def syntax(self) -> str:
        """Identifier of how pixels are stored."""
        return str(self.header.file_meta.TransferSyntaxUID)

    @property
    def colours(self) -> str:
        """Kind of colours."""
        return str(self.header.PhotometricInterpretation)


def read_level_files(path: Path) -> list[DicomFile]:
    """The files of the slide that a DICOM file belongs to, those of its levels only.

    Raises:
        UnreadableSlideError: The file or another of its series is damaged, no whole-slide image, lacks what
            is needed to read it, or has pixels that cannot be shown; or a part of the slide is absent.
    """
    found = [DicomFile(each, _header(each, path), "") for each in series_files(path)]
    own = next(each for each in found if each.path == path)
    _require_whole_slide(path, own)
    of_slides = [each for each in found if str(getattr(each.header, "SOPClassUID", "")) == WHOLE_SLIDE]
    for each in of_slides:
        _require_needed(path, each)
    files = [DicomFile(each.path, each.header, _kind(path, each)) for each in of_slides]
    levels = _without_copies(path, [each for each in files if each.kind == LEVEL])
    if not levels:
        kinds = " and ".join(sorted({each.kind.lower() for each in files}))
        raise unreadable(
            path,
            f"It holds no level of a slide, but its {kinds}.",
            "Put the other files of the series into the same folder.",
        )
    for each in levels:
        _require_shown(path, each)
    _require_whole_images(path, levels)
    return levels


def unreadable(path: Path, found: str, todo: str) -> UnreadableSlideError:
    """The refusal of a DICOM slide."""
    return UnreadableSlideError(f"Open the DICOM slide {path}.", found, todo)


def damaged(path: Path, found: str) -> UnreadableSlideError:
    """The refusal of a DICOM slide that contradicts itself."""
    return unreadable(
        path,
        f"It is damaged: {found}.",
        "Copy all files of the series again from where they came; if that does not help, export them again.",
    )


def header_mpp(level: DicomFile) -> HeaderMpp:
    """Microns per pixel of a level, from Pixel Spacing (down, across; millimetres)."""
    try:
        measures = level.header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        down, across = (float(each) * 1000 for each in measures.PixelSpacing)
    except (AttributeError, LookupError, TypeError, ValueError):
        return HeaderMpp()
    return assess_mpp(across, down, "DICOM Pixel Spacing")


def _header(file: Path, asked: Path) -> Any:
    try:
        with file.open("rb") as opened:
            return read_partial(opened, stop_when=lambda tag, *_: tag == PER_FRAME or tag >= PIXELS)
    except (*BROKEN, pydicom.errors.InvalidDicomError) as error:
        which = "" if file == asked else f" of {file.name}"
        raise damaged(asked, f"the header{which} cannot be read ({said(error)})") from error


def said(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _require_whole_slide(path: Path, own: DicomFile) -> None:
    kind = getattr(own.header, "SOPClassUID", None)
    if str(kind) != WHOLE_SLIDE:
        what = getattr(kind, "name", None) or "unknown"
        raise unreadable(
            path, f"It is a DICOM file of the kind {what!r}, no whole-slide image.", "Give one that is."
        )


def _require_needed(path: Path, file: DicomFile) -> None:
    absent = [words for name, words in NEEDED.items() if getattr(file.header, name, None) in (None, "")]
    words = getattr(file.header, "ImageType", None) or (LEVEL,)
    # Labels and overviews may have no size of a pixel.
    if LEVEL in words and header_mpp(file) == HeaderMpp():
        absent.append(SPACING)
    if absent:
        which = "Its header" if file.path == path else f"The header of {file.path.name}, of the same series,"
        raise unreadable(
            path,
            f"{which} does not say: {'; '.join(absent)}.",
            "Export the slide again with a program that writes whole DICOM headers, or as a pyramidal TIFF.",
        )


def _kind(path: Path, file: DicomFile) -> str:
    words = file.header.ImageType
    kind = str(words[2]) if not isinstance(words, str) and len(words) > 2 else ""
    if kind not in (LEVEL, *BESIDE):
        raise damaged(path, f"{file.path.name} is of the unknown kind {words!s}")
    return kind


def _without_copies(path: Path, levels: Sequence[DicomFile]) -> list[DicomFile]:
    """One file of those that are the same to the last byte."""
    kept: dict[str, DicomFile] = {}
    for level in levels:
        twin = kept.setdefault(str(level.header.SOPInstanceUID), level)
        if twin is not level and not filecmp.cmp(twin.path, level.path, shallow=False):
            raise unreadable(
                path,
                f"Two files say that they are the same image, but differ: {_names([twin, level])}.",
                "Move away the one that does not belong to the slide.",
            )
    return list(kept.values())


def _require_shown(path: Path, level: DicomFile) -> None:
    what = _why_unshown(level)
    if what:
        raise unreadable(
            path,
            f"Its pixels cannot be read: {what} (in {level.path.name}).",
            "Export it as RGB with 8 bits a colour.",
        )
    if min(*level.wh, *level.tile_wh) < 1:
        raise damaged(path, f"{level.path.name} is said to have {level.wh[0]} x {level.wh[1]} px")


def _why_unshown(level: DicomFile) -> str:
    samples, colours = level.number("SamplesPerPixel"), level.colours
    if samples == 1 or colours.startswith(("MONOCHROME", "PALETTE")):
        return f"they are {colours}, one channel, as of fluorescence; read are colours"
    if samples != 3 or level.number("BitsAllocated") != 8 or level.number("BitsStored", 8) != 8:
        return f"they have {samples} channels of {level.number('BitsStored', 8)} bits"
    if level.number("PixelRepresentation") or level.number("PlanarConfiguration"):
        return "their numbers have a sign, or each colour is stored as a plane of its own"
    known = _TRANSFORMED.get(level.syntax, ("RGB",))
    if colours not in known:
        return f"their colours are stored as {colours}, where {' or '.join(known)} can be read"
    if level.number("NumberOfOpticalPaths", 1) > 1 or len(level.header.get("OpticalPathSequence", ())) > 1:
        return "there are several optical paths, that is pictures of the same place"
    return ""


def _require_whole_images(path: Path, levels: Sequence[DicomFile]) -> None:
    """Refuse an image of which parts are absent, or twice there."""
    images: dict[str, list[DicomFile]] = {}
    for level in levels:
        images.setdefault(level.image, []).append(level)
    for parts in images.values():
        parts.sort(key=lambda part: part.number("ConcatenationFrameOffsetNumber"))
        _require_all_parts(path, parts)
        first = parts[0]
        if any(
            (each.wh, each.tile_wh, each.syntax) != (first.wh, first.tile_wh, first.syntax) for each in parts
        ):
            raise damaged(path, f"parts of one image differ: {_names(parts)}")
        planes = first.number("TotalPixelMatrixFocalPlanes", 1)
        needed = -(-first.wh[0] // first.tile_wh[0]) * -(-first.wh[1] // first.tile_wh[1]) * planes
        frames = sum(part.frames for part in parts)
        stored = sum(part.path.stat().st_size for part in parts)
        if needed > MOST_TILES or frames > stored or not can_come_from(first.tile_bytes, stored):
            raise damaged(
                path,
                f"{_names(parts)}: {frames:,} tiles of {first.tile_wh[0]} x {first.tile_wh[1]} px "
                f"cannot come from {stored:,} bytes",
            )
        if frames > needed or (first.is_full and frames != needed):
            raise damaged(
                path,
                f"{_names(parts)}: there are {frames} tiles, but {first.wh[0]} x {first.wh[1]} px in tiles "
                f"of {first.tile_wh[0]} x {first.tile_wh[1]} px are {needed}",
            )


def _require_all_parts(path: Path, parts: Sequence[DicomFile]) -> None:
    frames = 0
    for part in parts:
        offset = part.number("ConcatenationFrameOffsetNumber")
        if offset != frames:
            raise _absent_part(path, parts, f"tiles {frames} to {offset - 1}")
        frames += part.frames
    total = max(part.number("InConcatenationTotalNumber") for part in parts)
    if total > len(parts):
        raise _absent_part(path, parts, f"{len(parts)} of {total} parts are there")


def _absent_part(path: Path, parts: Sequence[DicomFile], what: str) -> UnreadableSlideError:
    return unreadable(
        path,
        f"A part of it is absent ({what}): {_names(parts)}.",
        "Copy all files of the series into one folder.",
    )


def _names(files: Iterable[DicomFile]) -> str:
    return ", ".join(each.path.name for each in files)
