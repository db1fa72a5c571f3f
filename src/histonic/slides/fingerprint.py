"""Whether a slide file is the same as before: a hash of size, directories and samples of its tiles."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from histonic.core.errors import UnreadableSlideError
from histonic.core.places.images import HeldSlide
from histonic.core.places.urls import Url
from histonic.slides.sources.places import Source, announce, open_source, size_of
from histonic.slides.sources.remote import RemoteFile
from histonic.slides.sources.series import series_files

END_BYTES = 65_536
SPREAD, FEW, SPREAD_BYTES = 64, 4, 8_192
TILES, TILE_BYTES = 512, 2_048
MOST_DIRECTORIES = 1_000
MOST_TAGS = 512
MOST_TABLE_BYTES = 16_000_000
MOST_FILES = 256
MOST_KNOWN = 10_000
_KNOWN: dict[tuple[Url, int, str], str] = {}
DIRECTORY_TAGS = (330, 34665)
PLACES, COUNTS = (273, 324), (279, 325)
# Bytes of a value of each TIFF type, by its number.
TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
COMPANIONS = (".mrxs",)
LISTS_ITS_FILES = (".vms", ".vmu")


def fingerprint_file(path: str | os.PathLike[str] | Url | HeldSlide | RemoteFile) -> str:
    """Hash of what a slide file holds; bounded reads, so that gigabytes take milliseconds.

    Read are the size, both ends and samples spread over the file; of a TIFF also every directory with its
    tables of tiles, and some bytes of up to 512 stored tiles. Of formats of several files (MRXS, VMS, DICOM
    series) the others count too. Name, place and time of the file do not.

    Args:
        path: The file; at a URL it has the fingerprint that it has on a disk.

    Returns:
        64 hexadecimal digits.

    Raises:
        UnreadableSlideError: The file cannot be read.
    """
    if isinstance(path, HeldSlide):
        return str(path.given.fingerprint)
    if isinstance(path, Url):
        with closing(RemoteFile.open(path)) as opened:
            return _of_remote(opened)
    if isinstance(path, RemoteFile):
        return _of_remote(path)
    file = Path(path)
    digest = hashlib.sha256()
    try:
        _add_file(digest, file)
        for other in sorted(_hash_of_other(other, file) for other in _others(file)):
            digest.update(other)
    except OSError as error:
        raise UnreadableSlideError(
            f"Read {file}.", f"{error.strerror}.", "Check the file and its disk."
        ) from error
    return digest.hexdigest()


def _of_remote(file: RemoteFile) -> str:
    """Of one state of a remote file once a process, where the server tells states apart."""
    state = (file.url, file.size, file.mark)
    if file.mark and state in _KNOWN:
        return _KNOWN[state]
    digest = hashlib.sha256()
    _add_file(digest, file)
    if len(_KNOWN) >= MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[state] = digest.hexdigest()
    return _KNOWN[state]


def _hash_of_other(other: Path, file: Path) -> bytes:
    """Hash of a further file of a slide; its name counts, too, where the slide's format gives it."""
    digest = hashlib.sha256()
    if _names_its_files(file):
        digest.update(os.fsencode(other.name))
    _add_samples(digest, other, FEW)
    return digest.digest()


def _names_its_files(file: Path) -> bool:
    return file.suffix.lower() in (*COMPANIONS, *LISTS_ITS_FILES)


def _add_file(digest: Any, file: Source) -> None:
    _add_samples(digest, file, SPREAD)
    tiles: list[tuple[int, int]] = []
    with open_source(file) as opened:
        for part in _directories(opened, size_of(file), tiles):
            digest.update(part)
    some = tiles[:: -(-len(tiles) // TILES) or 1]
    # The middle of a tile: the beginning may be a header that all tiles share.
    _add_ranges(
        digest, file, [(at + max(0, (count - TILE_BYTES) // 2), min(count, TILE_BYTES)) for at, count in some]
    )


def _add_samples(digest: Any, file: Source, spread: int) -> None:
    """Size, both ends and samples in between."""
    size = size_of(file)
    digest.update(f"{size} ".encode())
    between = [(max(0, (size - SPREAD_BYTES) * index // spread), SPREAD_BYTES) for index in range(1, spread)]
    _add_ranges(digest, file, [(0, END_BYTES), *between, (max(0, size - END_BYTES), END_BYTES)])


def _add_ranges(digest: Any, file: Source, ranges: list[tuple[int, int]]) -> None:
    announce(file, ranges)
    with open_source(file) as opened:
        for at, count in ranges:
            opened.seek(at)
            digest.update(opened.read(count))


def _directories(file: BinaryIO, size: int, tiles: list[tuple[int, int]]) -> Iterator[bytes]:
    """Bytes of all TIFF directories and of the values that they point to; the places of the tiles on the way.

    Of a file that is no TIFF, or damaged, whatever can be read.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    if not order or len(head) < 16 or struct.unpack(order + "H", head[2:4])[0] not in (42, 43):
        return
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    number, entry_bytes, inline = ("Q", 20, 8) if big else ("I", 12, 4)
    waiting = [struct.unpack(order + number, head[8:16] if big else head[4:8])[0]]
    seen: set[int] = set()
    left = MOST_TABLE_BYTES
    while waiting and len(seen) < MOST_DIRECTORIES:
        at = waiting.pop()
        if not 0 < at < size or at in seen:
            continue
        seen.add(at)
        file.seek(at)
        raw = file.read(8 if big else 2)
        if len(raw) < (8 if big else 2):
            continue
        count = min(struct.unpack(order + ("Q" if big else "H"), raw)[0], MOST_TAGS)
        entries = file.read(count * entry_bytes + inline)
        yield entries
        places: tuple[int, ...] = ()
        counts: tuple[int, ...] = ()
        for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
            tag, kind = struct.unpack(order + "HH", entries[start : start + 4])
            (many,) = struct.unpack(order + number, entries[start + 4 : start + 4 + inline])
            length = many * TYPE_BYTES.get(kind, 0)
            value = entries[start + 4 + inline : start + entry_bytes][:length]
            if length > inline:
                (where,) = struct.unpack(order + number, entries[start + 4 + inline : start + entry_bytes])
                file.seek(min(where, size))
                value = file.read(min(length, left))
                left -= len(value)
                yield value
            if tag in DIRECTORY_TAGS:
                waiting += _numbers(value, kind, order)
            elif tag in PLACES:
                places = _numbers(value, kind, order)
            elif tag in COUNTS:
                counts = _numbers(value, kind, order)
        tiles += [(a, b) for a, b in zip(places, counts, strict=False) if b and a + b <= size]
        following = entries[count * entry_bytes :]
        if len(following) == inline:
            waiting.append(struct.unpack(order + number, following)[0])


def _numbers(value: bytes, kind: int, order: str) -> tuple[int, ...]:
    form = WHOLE_NUMBERS.get(kind)
    if form is None:
        return ()
    many = len(value) // TYPE_BYTES[kind]
    return struct.unpack(f"{order}{many}{form}", value[: many * TYPE_BYTES[kind]])


def _others(file: Path) -> list[Path]:
    """The further files of a slide."""
    suffix = file.suffix.lower()
    found: list[Path] = []
    if suffix in COMPANIONS:
        found = [each for each in file.with_suffix("").glob("*") if each.is_file()]
    elif suffix in LISTS_ITS_FILES:
        with file.open("rb") as opened:
            text = opened.read(END_BYTES).decode("utf-8", "replace")
        names = {line.partition("=")[2].strip() for line in text.splitlines()}
        beside = {each.name: each for each in file.parent.iterdir()} if file.parent.is_dir() else {}
        found = [beside[name] for name in names if name in beside and beside[name].is_file()]
    else:
        found = series_files(file)
    return sorted(each for each in found if each != file)[:MOST_FILES]
