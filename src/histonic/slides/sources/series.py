"""Which files of a folder are one DICOM slide: those of one series, found by their first bytes."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

from histonic.core.errors import UnreadableSlideError

ENDING = ".dcm"
MAGIC, MAGIC_AT = b"DICM", 128
SERIES_WITHIN_BYTES = 65_536
KNOWN_FILES = 65_536
# SeriesInstanceUID (0020,000E), with its kind of value written out or left out.
_SERIES = re.compile(rb"\x20\x00\x0e\x00(?:UI(..)|(..)\0\0)(?=[0-9.]{2})", re.DOTALL)


def is_dicom(file: Path) -> bool:
    """Whether a file has the preamble of DICOM; False too where it cannot be read."""
    try:
        with file.open("rb") as opened:
            opened.seek(MAGIC_AT)
            return opened.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def dicom_series(file: Path) -> bytes | None:
    """SeriesInstanceUID of a little-endian DICOM file, if it is near the start.

    Example:
        >>> dicom_series(Path("no such file")) is None
        True
    """
    try:
        found = file.stat()
        return _series_of(file, found.st_size, found.st_mtime_ns)
    except OSError:
        return None  # the run lists it as unreadable


@functools.lru_cache(KNOWN_FILES)
def _series_of(file: Path, size: int, time_ns: int) -> bytes | None:
    """Remembered, as each slide of a folder looks through all files of it."""
    with file.open("rb") as stream:
        head = stream.read(SERIES_WITHIN_BYTES)
    found = _SERIES.search(head)
    if found is None:
        return None
    length = int.from_bytes(found.group(1) or found.group(2), "little")
    return head[found.end() : found.end() + length].rstrip(b"\0 ") or None


def series_files(file: Path) -> list[Path]:
    """The files of a DICOM file's series, itself included, sorted; they lie in its folder.

    Files without the ending ``.dcm`` are looked at only for a file that has none itself.
    """
    series = dicom_series(file) if file.suffix.lower() == ENDING or is_dicom(file) else None
    if series is None:
        return [file]
    named = file.suffix.lower() == ENDING
    beside = [each for each in _files_in(file.parent) if (each.suffix.lower() == ENDING) == named]
    if not named:
        beside = [each for each in beside if is_dicom(each)]
    return sorted({each for each in beside if dicom_series(each) == series} | {file})


def series_in(folder: Path) -> dict[bytes, list[Path]]:
    """The DICOM files that lie in a folder, by series."""
    found: dict[bytes, list[Path]] = {}
    for file in _files_in(folder):
        series = dicom_series(file) if is_dicom(file) else None
        if series is not None:
            found.setdefault(series, []).append(file)
    return found


def chief_file(files: Iterable[Path]) -> Path:
    """The file that stands for a series: the largest, which holds the finest pixels."""
    return min(files, key=lambda file: (-file.stat().st_size, file.name))


def file_of_folder(folder: Path) -> Path:
    """The file that stands for the DICOM series in a folder.

    Raises:
        UnreadableSlideError: It holds none, or several.
    """
    series = series_in(folder)
    if len(series) == 1:
        return chief_file(*series.values())
    found = f"There are {len(series)} DICOM series in it." if series else "It is a folder."
    raise UnreadableSlideError(f"Open the slide {folder}.", found, "Give the slide file in it.")


def _files_in(folder: Path) -> list[Path]:
    try:
        return [
            Path(entry.path)
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
            if entry.is_file() and not entry.name.startswith((".", "~$"))
        ]
    except OSError:
        return []
