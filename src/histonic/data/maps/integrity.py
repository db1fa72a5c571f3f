"""Whether the files of a map are those that were written: all there, none exchanged, every byte the same."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

FACTS_FILE = "zarr.json"
"""Of a map."""
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
        with path.open("rb") as file:
            if path.name == "zarr.json":
                checksum = zlib.crc32(file.read()).to_bytes(_CHECKSUM_BYTES, "little")
            else:
                file.seek(max(file.seek(0, 2) - _CHECKSUM_BYTES, 0))
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
        with path.open("rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _members(folder: Path) -> list[tuple[str, Path]]:
    """The files that hold arrays; what a file manager puts beside them does not matter."""
    found = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        part_of_array = len(parts) > 1 and (parts[1:] == ("zarr.json",) or parts[1] == "c")
        if part_of_array and not parts[-1].startswith(".") and path.is_file():
            found.append(("/".join(parts), path))
    return sorted(found)
