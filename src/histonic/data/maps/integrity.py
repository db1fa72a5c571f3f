"""Whether the files of a map are those that were written: all there, none exchanged, every byte the same."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

FACTS_FILE = "zarr.json"
"""Of a map, and of each of its arrays."""
_CHECKSUM_BYTES = 4


def members_hash(folder: Path) -> str:
    """Hash of the names of all files of a map but its facts, each with the checksum at its end.

    Read when a map is opened: it tells files that are absent, of another map, or in each other's place. What
    is inside a chunk is compared with the chunk's checksum when the chunk is read.

    Raises:
        OSError: A file cannot be read.
    """
    total = hashlib.sha256()
    for name, path in _members(folder):
        with open(path, "rb", buffering=0) as file:
            if name.endswith(f"/{FACTS_FILE}"):
                checksum = zlib.crc32(file.read()).to_bytes(_CHECKSUM_BYTES, "little")
            else:
                file.seek(max(file.seek(0, os.SEEK_END) - _CHECKSUM_BYTES, 0))
                checksum = file.read()
        total.update(f"{name} {checksum.hex()}\n".encode())
    return total.hexdigest()[:32]


def content_hash(folder: Path) -> str:
    """SHA-256 over names and bytes of all files of a map but its facts.

    Raises:
        OSError: A file cannot be read.
    """
    total = hashlib.sha256()
    for name, path in _members(folder):
        with open(path, "rb", buffering=0) as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _members(folder: Path) -> list[tuple[str, str]]:
    """Name and path of the files that hold arrays; what a file manager puts beside them does not matter."""
    found: list[str] = []
    # Texts, not Path: a store is listed by this, and objects would take most of the time.
    top = os.fspath(folder)
    with os.scandir(top) as arrays:
        names = [entry.name for entry in arrays if entry.is_dir(follow_symlinks=False)]
    for name in names:
        for own in (f"{name}/{FACTS_FILE}", f"{name}/c"):  # the one chunk of a single number is called c
            if os.path.isfile(f"{top}/{own}"):
                found.append(own)
        for place, _, files in os.walk(f"{top}/{name}/c"):
            below = place[len(top) + 1 :].replace(os.sep, "/")
            found += [f"{below}/{file}" for file in files if file[0] != "."]
    return [(name, f"{top}/{name}") for name in sorted(found)]
