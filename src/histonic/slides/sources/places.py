"""Name, size and bytes of a slide file, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from histonic.core.errors import UnreadableSlideError
from histonic.core.places.urls import Place
from histonic.slides.sources.remote import RemoteFile

Source = Path | RemoteFile
"""A file on a disk, or an opened one at a URL."""


def size_of(source: Source) -> int:
    """Bytes of a file.

    Raises:
        OSError: It cannot be looked at.
    """
    return source.size if isinstance(source, RemoteFile) else source.stat().st_size


def open_source(source: Source) -> BinaryIO:
    """A file object of its own, at the beginning of the file.

    Raises:
        OSError: The file cannot be opened.
    """
    return source.stream() if isinstance(source, RemoteFile) else source.open("rb")


def announce(source: Source, ranges: list[tuple[int, int]]) -> None:
    """Say which ranges (offset, count) will be read next: of a remote file they are fetched together."""
    if isinstance(source, RemoteFile):
        source.announce(ranges)


def require_file(file: Path) -> None:
    """Refuse what is no file, or an empty one.

    Raises:
        UnreadableSlideError: It is absent, empty, or cannot be read.
    """
    asked = f"Open the slide {file}."
    if not file.exists():
        raise UnreadableSlideError(asked, "There is no such file.", "Check the path.")
    try:
        with file.open("rb") as opened:
            empty = not opened.read(1)
    except OSError as error:
        raise UnreadableSlideError(
            asked, f"{error.strerror}.", "Check the file and its permissions."
        ) from error
    if empty:
        raise UnreadableSlideError(asked, "The file is empty.", "Copy it again.")


def file_stem(path: Place) -> str:
    """File name without its extension, also for ``.ome.tif``."""
    name = path.name
    for suffix in (".ome.tiff", ".ome.tif"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem
