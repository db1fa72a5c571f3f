"""Damage that knows nothing of a format: bits, blocks, cuts, splices; and files of a folder mixed up."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Change:
    """What was done to a copy of an input.

    Attributes:
        what: For a reader.
        file: Name of the damaged file.
        spans: Where in the undamaged file bytes were changed, moved or lost.
        blind: True where no checksum or header can tell, None where the place decides.
    """

    what: str
    file: str
    spans: Spans = ()
    blind: bool | None = None


Damage = Callable[[Path, random.Random], Change]


def _flip(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    places = sorted(rng.randrange(len(data)) for _ in range(rng.choice((1, 1, 1, 2, 4, 8, 64))))
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    return f"{len(places)} bit(s) flipped, first in byte {places[0]}", tuple((at, at + 1) for at in places)


def _overwrite(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    start, stop = _run(data, rng, 64)
    data[start:stop] = rng.randbytes(stop - start)
    return f"bytes {start} to {stop} overwritten", ((start, stop),)


def _fill(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    start, stop = _run(data, rng, 4096)
    value = rng.choice((0, 0, 255))
    data[start:stop] = bytes([value]) * (stop - start)
    return f"bytes {start} to {stop} are {value}", ((start, stop),)


def _truncate(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    length, keep = len(data), rng.choice((0, 1, rng.randrange(64), rng.randrange(len(data)), len(data) - 1))
    del data[keep:]
    return f"cut after byte {keep}", ((min(keep, length - 1), length),)


def _insert(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    at, length = rng.randrange(len(data) + 1), len(data)
    more = rng.randbytes(rng.choice((1, 2, 16, 1000)))
    data[at:at] = more
    return f"{len(more)} bytes put in at {at}", ((at, length),)


def _delete(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    length = len(data)
    start, stop = _run(data, rng, 256)
    del data[start:stop]
    return f"bytes {start} to {stop} taken out", ((start, length),)


def _repeat(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    length = len(data)
    start, stop = _run(data, rng, 4096)
    data[stop:stop] = data[start:stop]
    return f"bytes {start} to {stop} twice", ((stop, length),)


def _exchange(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    size = rng.choice((1, 4, 64, 1024))
    one, two = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    size = min(size, len(data) - two, max(two - one, 1))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]
    return f"{size} bytes at {one} and {two} exchanged", ((one, one + size), (two, two + size))


def _extreme(data: bytearray, rng: random.Random) -> tuple[str, Spans]:
    size = min(rng.choice((2, 4, 8)), len(data))
    at = rng.randrange(len(data) - size + 1)
    value = rng.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, 2 ** (8 * size - 1)))
    data[at : at + size] = (value % 256**size).to_bytes(size, rng.choice(("little", "big")))
    return f"{size} bytes at {at} say {value}", ((at, at + size),)


def _run(data: bytearray, rng: random.Random, most: int) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.randint(1, most))


OF_BYTES = (_flip, _flip, _overwrite, _fill, _truncate, _insert, _delete, _repeat, _exchange, _extreme)


def files_of(folder: Path) -> list[Path]:
    """Every file below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damage_bytes(folder: Path, rng: random.Random) -> Change:
    """Change the bytes of one file; its first kilobyte, where headers are, as often as all the rest."""
    file = rng.choice([path for path in files_of(folder) if path.stat().st_size] or files_of(folder))
    data = bytearray(file.read_bytes())
    if not data:
        return Change("an empty file stays empty", str(file.relative_to(folder)))
    damage = rng.choice(OF_BYTES)
    if rng.random() < 0.5 and damage is not _truncate:
        head = data[:1024]
        what, spans = damage(head, rng)
        # Whatever follows the first kilobyte moves with it.
        spans = tuple((at, len(data) if len(head) != min(1024, len(data)) else stop) for at, stop in spans)
        data[:1024] = head
    else:
        what, spans = damage(data, rng)
    file.write_bytes(bytes(data))
    return Change(f"{file.relative_to(folder)}: {what}", str(file.relative_to(folder)), spans)


def splice(folder: Path, rng: random.Random) -> Change:
    """Join the beginning of one file and the end of another, or of itself."""
    files = files_of(folder)
    file, other = rng.choice(files), rng.choice(files)
    data, more = file.read_bytes(), other.read_bytes()
    at, begin = rng.randrange(len(data) + 1), rng.randrange(len(more) + 1)
    file.write_bytes(data[:at] + more[begin:])
    what = f"{file.relative_to(folder)}: from byte {at} on, {other.name} from byte {begin} on"
    return Change(what, str(file.relative_to(folder)), ((min(at, max(len(data) - 1, 0)), len(data)),))


def mix_members(folder: Path, rng: random.Random) -> Change:
    """Take a member of a folder out, exchange two, empty one, or put a folder in its place."""
    files = files_of(folder)
    file = rng.choice(files)
    name = str(file.relative_to(folder))
    way = rng.choice(("gone", "exchanged", "copied", "emptied", "folder", "folder gone", "renamed"))
    if way == "exchanged" or way == "copied":
        other = rng.choice(files)
        first, second = file.read_bytes(), other.read_bytes()
        file.write_bytes(second)
        if way == "exchanged":
            other.write_bytes(first)
        return Change(f"{name} {way} with {other.relative_to(folder)}", name)
    if way == "folder gone" and file.parent != folder:
        shutil.rmtree(file.parent)
        # A store without a map is what it was before that map was made.
        blind = True if file.parent.suffix == ".zarr" else None
        return Change(f"{file.parent.relative_to(folder)} gone", name, blind=blind)
    if way == "renamed":
        file.rename(file.with_name(f"{rng.choice('xyz')}{file.name}"))
        return Change(f"{name} renamed", name)
    if way == "emptied":
        file.write_bytes(b"")
        return Change(f"{name} emptied", name)
    file.unlink()
    if way == "folder":
        file.mkdir()
    return Change(f"{name} {way}", name)


def chosen(damages: Sequence[Damage], folder: Path, rng: random.Random) -> Change:
    """Damage by one of several ways; another one where the first finds nothing to change."""
    for _ in range(20):
        try:
            return rng.choice(damages)(folder, rng)
        except (LookupError, ValueError, TypeError, AttributeError):
            continue  # such as a file without the part that this damage is about
    return damage_bytes(folder, rng)
