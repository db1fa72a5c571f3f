"""Writing results so that a kill or a full disk never leaves a half-written one."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from histonic.core.errors import OutputError
from histonic.core.processes.owners import Owner

PARTIAL_PREFIX = ".partial-"
PARTIAL_LASTS_S = 86_400
"""So long a half-written result of another host may be silent before it counts as left behind."""
SIGN = "-sign"
"""At the end of a partial name: a file that shows others the folder as long as its owner lives."""
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_cleared: set[Path] = set()


def output_error(path: Path, error: OSError) -> OutputError:
    """The three-part error for a failed write to ``path``."""
    advice = {
        errno.ENOSPC: "Free some disk space or choose another folder; what is finished is kept.",
        errno.EDQUOT: "Your disk quota is used up: free some space or choose another folder.",
        errno.EFBIG: "Files may not grow so large there (ulimit, file system): choose another folder.",
        errno.ENOENT: "No folder can be made there: choose another one.",
        errno.EROFS: "The file system is read-only: choose another folder.",
        errno.EACCES: "You may not write there: choose another folder or change its permissions.",
        errno.EPERM: "You may not write there: choose another folder or change its permissions.",
        errno.ENOTDIR: "A file stands where a folder is needed: choose another folder.",
        errno.EEXIST: "A file stands where a folder is needed: choose another folder.",
        errno.EISDIR: "A folder stands where a file is needed: give the name of a file.",
    }
    todo = advice.get(error.errno or 0, "Check the folder and its disk, then run the same command again.")
    made = OutputError(f"Write {path}.", f"{error.strerror or error} (errno {error.errno}).", todo)
    made.is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    return made


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed onto ``path``.

    The temporary name is this call's own, so that two writers never meet in one file; what killed ones left
    in the folder is removed.

    Raises:
        OutputError: The folder is read-only, the disk is full, or the rename fails. Nothing is left behind.
    """
    final = Path(path)
    partial = partial_path(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        clear_partials(final.parent)
        yield partial
        os.replace(partial, final)
    except OSError as error:
        raise output_error(final, error) from error
    finally:
        # What cannot be removed was never made (no such folder); its error must not hide the first one.
        with suppress(OSError):
            partial.unlink()


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a fresh temporary folder beside ``path``; on success it takes the place of ``path``.

    Raises:
        OutputError: The folder is read-only, the disk is full, or the rename fails. Nothing is left behind.
    """
    final = Path(path)
    with new_folder(final) as partial:
        yield partial
        while not publish_folder(partial, final):
            set_aside(final)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a fresh temporary folder beside ``path``, removed at the end unless it was published.

    Raises:
        OutputError: The folder is read-only, or the disk is full. Nothing is left behind.
    """
    final = Path(path)
    partial = partial_path(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        clear_partials(final.parent)
        partial.mkdir()
        yield partial
    except OSError as error:
        raise output_error(final, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish_folder(partial: Path, final: Path) -> bool:
    """Give a folder its final name in one step; False, and nothing happens, if one of that name is there.

    Raises:
        OSError: The disk refuses.
    """
    try:
        os.rename(partial, final)  # takes the place of nothing, or of an empty folder
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    return True


def set_aside(final: Path) -> None:
    """Remove a folder in one step, whoever else does so at the same time.

    Raises:
        OSError: The disk refuses.
    """
    # Renamed first: a kill while deleting must not leave half of the folder under its name.
    aside = partial_path(final)
    with suppress(FileNotFoundError):
        os.rename(final, aside)
    shutil.rmtree(aside, ignore_errors=True)


def partial_path(final: Path) -> Path:
    """A name beside ``final`` that no other writer uses, and that says which process does."""
    # Names hold up to 255 bytes. The suffix stays, since some libraries choose the format by it.
    return final.with_name(f"{PARTIAL_PREFIX}{Owner.this().token()}-{final.stem[:30]}{final.suffix[:10]}")


def clear_partials(folder: Path) -> None:
    """Remove what writers left in a folder that have ended, or (on other hosts) were silent for a day.

    A folder is looked through once a process, so that writing many files into it costs nothing.
    """
    if folder in _cleared:
        return
    _cleared.add(folder)
    with os.scandir(folder) as entries:
        found = [folder / entry.name for entry in entries if entry.name.startswith(PARTIAL_PREFIX)]
    for path in found:
        owner = Owner.of(path.name.removeprefix(PARTIAL_PREFIX))
        with suppress(OSError):
            old = time.time() - path.stat().st_mtime > PARTIAL_LASTS_S
            may_go = old and not path.name.endswith(SIGN)
            if owner is not None and (owner.has_ended or (may_go and not owner.is_here)):
                remove(path)


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, sorted; links are followed, in a circle only once.

    A link to a folder that it lies in is passed over, so that the walk ends; a link that leads nowhere is
    among the files, as only its user knows whether it is missed.

    Args:
        folder: Where to look; it may be a link itself.
    """
    found: list[Path] = []
    waiting = [(folder, frozenset([os.path.realpath(folder)]))]
    while waiting:
        place, above = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                path = place / entry.name
                real = os.path.realpath(path) if entry.is_dir() else ""
                if not real:
                    found.append(path)
                elif real not in above:
                    waiting.append((path, above | {real}))
    return sorted(found)


def hash_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Remove a file, a link (never what it leads to) or a folder.

    Raises:
        OSError: The disk refuses.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, all or nothing."""
    with replacing_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def guard_cell(value: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula.

    Text that begins with = + - @, a tab or a carriage return and is no number gets an apostrophe before it,
    which :func:`restore_cell` takes off again; numbers and other texts stay as they are.

    Example:
        >>> guard_cell("=1+1"), guard_cell("-1.5"), guard_cell("P-1"), restore_cell(guard_cell("'=x"))
        ("'=1+1", '-1.5', 'P-1', "'=x")
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def restore_cell(text: str) -> str:
    """The inverse of :func:`guard_cell`."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV with a header; None is an empty cell, and no text a formula (:func:`guard_cell`)."""
    lines = [[guard_cell(column) for column in columns]]
    lines += [[guard_cell(value) for value in row] for row in rows]
    text = io.StringIO()
    for line in lines:
        # A writer whose lines end with \n alone leaves \r unquoted, which readers take for the end of a line.
        odd = any(isinstance(cell, str) and "\r" in cell for cell in line)
        csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL).writerow(
            line
        )
    return text.getvalue()


def write_csv(
    path: str | os.PathLike[str], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write rows of plain values by :func:`csv_text`; numbers have six digits."""
    values = ([row[column] for column in columns] for row in rows)
    cells = ([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in values)
    write_text(path, csv_text(columns, cells))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON with sorted keys; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def require_writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make ``path`` a folder that can be written to, before any compute is spent.

    Raises:
        OutputError: It cannot be made or written to.
    """
    folder = Path(path)
    probe = folder / f"{PARTIAL_PREFIX}probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"histonic")
        probe.unlink()
    except OSError as error:
        probe_exists = folder.is_dir() and probe.exists()
        if probe_exists:
            probe.unlink(missing_ok=True)
        raise output_error(folder, error) from error
    return folder


def require_writable_file(path: str | os.PathLike[str]) -> Path:
    """Make sure that a file can be written as ``path``, before any compute is spent.

    Raises:
        OutputError: A folder is there, or its own folder cannot be made or written to.
    """
    file = Path(path)
    if file.is_dir():
        raise output_error(file, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    require_writable_folder(file.parent)
    return file
